"""What the syscalls of Linux are for, and which of them sleep by design. Names as strace prints them."""

from typing import Literal

Clock = Literal["system", "wall"]

_MEMORY = """
mmap munmap mremap brk madvise process_madvise mprotect pkey_mprotect mincore mlock mlock2 munlock mlockall
munlockall msync mbind set_mempolicy get_mempolicy move_pages migrate_pages membarrier remap_file_pages userfaultfd
"""
_SYNCHRONIZATION = """
futex futex_wait futex_waitv futex_wake futex_requeue semop semtimedop sched_yield
"""
_WAITING = """
nanosleep clock_nanosleep poll ppoll select pselect6 epoll_wait epoll_pwait epoll_pwait2 wait4 waitid waitpid pause
rt_sigsuspend rt_sigtimedwait restart_syscall io_getevents io_pgetevents
"""
_FILE = """
open openat openat2 creat close close_range read write pread64 pwrite64 readv writev preadv pwritev preadv2 pwritev2
lseek stat fstat lstat newfstatat statx statfs fstatfs access faccessat faccessat2 readlink readlinkat getdents
getdents64 fcntl flock ioctl dup dup2 dup3 pipe pipe2 fsync fdatasync ftruncate truncate fallocate mkdir mkdirat
rmdir unlink unlinkat rename renameat renameat2 link linkat symlink symlinkat chmod fchmod fchmodat chown fchown
fchownat umask getcwd chdir fchdir sendfile copy_file_range splice memfd_create inotify_init1 inotify_add_watch
"""
_PROCESS = """
execve execveat clone clone3 fork vfork exit exit_group getpid getppid gettid getuid geteuid getgid getegid setpgid
getpgid getpgrp setsid kill tkill tgkill arch_prctl prctl prlimit64 getrlimit setrlimit getrusage set_tid_address
rseq rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack sched_getaffinity sched_setaffinity sched_getparam
sched_getscheduler sched_setscheduler getpriority setpriority uname set_robust_list get_robust_list
"""

_CATEGORY: dict[str, str] = {
    name: category
    for category, names in (
        ("memory", _MEMORY),
        ("synchronization", _SYNCHRONIZATION),
        ("waiting", _WAITING),
        ("file", _FILE),
        ("process", _PROCESS),
    )
    for name in names.split()
}
# A lock's call is work in the kernel by CPU time; by wall time it is mostly the wait for another thread.
_WAITING_BY_WALL = frozenset({"futex", "futex_wait", "futex_waitv", "semop", "semtimedop"})


def category(syscall: str) -> str:
    """ "memory", "synchronization", "waiting", "file", "process" or "other"."""
    return _CATEGORY.get(syscall, "other")


def is_waiting(syscall: str, clock: Clock) -> bool:
    """Whether the call's time is a wait rather than work. A futex counts as one under the wall clock only."""
    return category(syscall) == "waiting" or (clock == "wall" and syscall in _WAITING_BY_WALL)
