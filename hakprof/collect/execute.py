"""Runs one command: no shell, an own session, limits on time and output, and no process left behind.

The wall time is taken from just before the process is made until the kernel says that it has ended (a pidfd wakes us;
no polling interval is in it).
"""

import contextlib
import os
import resource
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from hakprof.children import guarded, start_guard
from hakprof.errors import HakprofError
from hakprof.model.run import CellStatus
from hakprof.store import utc_now

OUTPUT_LIMIT_BYTES = 512 << 20  # for everything that program and tool write into a cell's folder
_TERM_GRACE_SECONDS = 2.0
_WATCH_SECONDS = 0.2
_TAIL_BYTES = 4000
_INHERITED = ("PATH", "HOME", "LD_LIBRARY_PATH", "TMPDIR")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended. Exactly one of exit_code and signal is set."""

    exit_code: int | None
    signal: str | None  # "SIGSEGV"
    timed_out: bool
    over_limit: bool  # ended by us because it wrote more than the limit, or filled the disk
    wall_ns: int
    started_utc: str
    max_rss_bytes: int | None  # None where the kernel's figure may be our own (see _max_rss)

    @property
    def status(self) -> CellStatus:
        """How a program that ran by itself ended; a tool in front of it needs a closer look."""
        if self.timed_out:
            return CellStatus.TIMEOUT
        if self.over_limit:
            return CellStatus.FAILED
        if self.signal is not None:
            return CellStatus.CRASHED
        return CellStatus.OK if self.exit_code == 0 else CellStatus.FAILED


def clean_environment() -> dict[str, str]:
    """The little that programs get of ours: a large or changing environment shifts stacks, and with them timings."""
    kept = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return kept | {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}


def execute(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    cwd: Path,
    stdout: Path,
    stderr: Path,
    timeout_seconds: float,
    watched: Path,
    output_limit_bytes: int,
    stop: threading.Event | None = None,
) -> Outcome:
    """Run ``command`` to its end. Its output goes to the two files; ``watched`` is the folder that the limit counts.

    Raises HakprofError when the program cannot be started, and KeyboardInterrupt soon after ``stop`` is set: only the
    main thread hears Ctrl-C by itself. The whole session is killed first.
    """
    start_guard()
    with stdout.open("wb") as out, stderr.open("wb") as err:
        started_utc = utc_now()
        own_peak = _own_peak_bytes()
        began = time.perf_counter_ns()
        interrupts = _HeldInterrupts()
        try:
            child = subprocess.Popen(
                command,
                env=dict(environment),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except OSError as error:
            interrupts.release()
            raise HakprofError(
                f"{error.filename or command[0]}: cannot be started: {error.strerror}",
                remedy="correct the workload's program in hakprof.toml, or install it",
            ) from error
        watch = _Watch(child.pid, began, timeout_seconds, watched, output_limit_bytes, stop)
        try:
            interrupts.release()
            with contextlib.suppress(ProcessLookupError, PermissionError):
                resource.prlimit(child.pid, resource.RLIMIT_CORE, (0, 0))
            with guarded(child.pid):
                watch.until_ended()
        finally:
            # The leader is not reaped yet, so the session's id cannot have been given to somebody else.
            _kill_session(child.pid, signal.SIGKILL)
            _, wait_status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(wait_status)
    code = child.returncode
    return Outcome(
        exit_code=code if code >= 0 else None,
        signal=signal.Signals(-code).name if code < 0 else None,
        timed_out=watch.timed_out,
        over_limit=watch.over_limit,
        wall_ns=watch.ended_ns - began,
        started_utc=started_utc,
        max_rss_bytes=_max_rss(usage.ru_maxrss * 1024, own_peak),
    )


class _HeldInterrupts:
    """Ctrl-C and SIGTERM wait until the child is known: one in between would leave it running, unseen by anybody."""

    def __init__(self) -> None:
        self._came: int | None = None
        self._before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._hold)

    def _hold(self, number: int, _frame: FrameType | None) -> None:
        self._came = number

    def release(self) -> None:
        """Back to the handlers that were there; what came meanwhile is delivered now."""
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._before.clear()
        came, self._came = self._came, None
        if came is not None:
            signal.raise_signal(came)


class _Watch:
    """Waits for a process, and ends its session when it takes too long or writes too much."""

    def __init__(
        self,
        pid: int,
        began_ns: int,
        timeout_seconds: float,
        folder: Path,
        limit_bytes: int,
        stop: threading.Event | None,
    ) -> None:
        self.pid = pid
        self.stop = stop
        self.deadline_ns = began_ns + int(timeout_seconds * 1e9)
        self.folder = folder
        self.limit_bytes = limit_bytes
        self.timed_out = False
        self.over_limit = False
        self.ended_ns = began_ns

    def until_ended(self) -> None:
        descriptor = os.pidfd_open(self.pid)
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            while not poll.poll(self._pause_ms()):
                if self.stop is not None and self.stop.is_set():
                    raise KeyboardInterrupt
                self.timed_out = time.perf_counter_ns() >= self.deadline_ns
                self.over_limit = _folder_bytes(self.folder) > self.limit_bytes or _is_disk_full(self.folder)
                if self.timed_out or self.over_limit:
                    _kill_session(self.pid, signal.SIGTERM)
                    if not poll.poll(_TERM_GRACE_SECONDS * 1000):
                        _kill_session(self.pid, signal.SIGKILL)
                        poll.poll()
                    break
            self.ended_ns = time.perf_counter_ns()
        finally:
            os.close(descriptor)

    def _pause_ms(self) -> float:
        left = (self.deadline_ns - time.perf_counter_ns()) / 1e6
        return max(0.0, min(_WATCH_SECONDS * 1000, left))


def output_tail(*paths: Path) -> str:
    """The last lines of some outputs, together at most a few kilobytes; undecodable bytes are replaced."""
    parts = []
    for path in paths:
        with contextlib.suppress(OSError), path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _TAIL_BYTES))
            parts.append(stream.read(_TAIL_BYTES).decode("utf-8", "replace").strip())
    return "\n".join(part for part in parts if part)


def cut_to_limit(path: Path, *, limit_bytes: int) -> None:
    """Shorten a file that outgrew the limit before its writer could be stopped."""
    if path.is_file() and path.stat().st_size > limit_bytes:
        os.truncate(path, limit_bytes)


def _kill_session(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _folder_bytes(folder: Path) -> int:
    total = 0
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total


def _is_disk_full(folder: Path) -> bool:
    """A program that ignores failing writes would go on until its time is up."""
    return os.statvfs(folder).f_bavail == 0


def _own_peak_bytes() -> int:
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _max_rss(reported: int, own_peak: int) -> int | None:
    """The child's peak resident set, if it can be known.

    A child starts with the memory of the process that made it, and Linux carries that peak over exec
    (`setmax_mm_hiwater_rss` in fs/exec.c): a figure not above our own says nothing about the program.
    """
    return reported if reported > own_peak else None
