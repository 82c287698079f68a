"""Programs that a reader of recordings can get wrong, each compiled when it is first asked for."""

import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from perf_recordings import compile_program

# Code that is made while the program runs, named in /tmp/perf-<pid>.map; half-way other code takes its place.
_MADE_CODE = r"""
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
static const unsigned char code[] = {0xb9, 0, 0, 0, 2, 0xff, 0xc9, 0x75, 0xfc, 0xc3};
int main(void) {
    char name[64];
    snprintf(name, sizeof name, "/tmp/perf-%d.map", getpid());
    FILE *map = fopen(name, "w");
    char *room = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fprintf(map, "%lx 40 made first\n%lx 40 made_second\n", (long)room, (long)room + 64);
    fclose(map);
    for (int i = 0; i < 4; i++) {
        memcpy(room + 64 * (i & 1), code, sizeof code);
        ((void (*)(void))(room + 64 * (i & 1)))();
    }
    return 0;
}
"""
_CLOCK = r"""
#include <time.h>
int main(void) {
    struct timespec now;
    for (long i = 0; i < 6000000; i++) clock_gettime(CLOCK_MONOTONIC, &now);
    return 0;
}
"""
# Until it is killed: threads that begin and take names all the time, so that a recorder that comes later meets some.
_WORKERS = r"""
#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
static __attribute__((noinline)) void work(int milliseconds) {
    struct timespec now;
    volatile unsigned x = 1;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    long end = now.tv_sec * 1000 + now.tv_nsec / 1000000 + milliseconds;
    do {
        for (int i = 0; i < 100000; i++) x = x * 3 + 1;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    } while (now.tv_sec * 1000 + now.tv_nsec / 1000000 < end);
}
static void *worker(void *unused) {
    const char *names[] = {"early worker", "late worker"};
    for (int i = 0; i < 4; i++) { work(20); prctl(PR_SET_NAME, names[i & 1]); }
    return unused;
}
int main(void) {
    for (;;) {
        pthread_t thread;
        pthread_create(&thread, 0, worker, 0);
        work(50);
        pthread_join(thread, 0);
    }
}
"""
# Two libraries in turn, so that what is mapped where changes; each has a function of the same name.
_LIBRARIES = r"""
#include <dlfcn.h>
int main(int argc, char **argv) {
    for (int i = 0; i < 8; i++) {
        void *library = dlopen(argv[1 + (i & 1)], RTLD_NOW);
        ((unsigned (*)(void))dlsym(library, "work"))();
        dlclose(library);
    }
    return argc < 3;
}
"""
_LIBRARY = r"""
static unsigned __attribute__((noinline, noclone)) NAME(unsigned n) {
    volatile unsigned x = n;
    for (long i = 0; i < 9000000; i++) x = x * 3 + 1;
    return x;
}
unsigned work(void) { return NAME(7); }
"""
# A program in the kernel that counts to 20,000 for each datagram.
_BPF = r"""
#include <linux/bpf.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv) {
    struct bpf_insn code[] = {
        {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 0},
        {.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 0, .imm = 1},
        {.code = BPF_JMP | BPF_JLT | BPF_K, .dst_reg = 0, .imm = 20000, .off = -2},
        {.code = BPF_JMP | BPF_EXIT},
    };
    union bpf_attr attr = {.prog_type = BPF_PROG_TYPE_SOCKET_FILTER, .insn_cnt = sizeof code / sizeof *code};
    attr.insns = (long)code;
    attr.license = (long)"GPL";
    strcpy(attr.prog_name, "counts");
    int program = syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr), ends[2];
    if (program < 0 || socketpair(AF_UNIX, SOCK_DGRAM, 0, ends)) return 3;
    if (setsockopt(ends[1], SOL_SOCKET, SO_ATTACH_BPF, &program, sizeof program)) return 4;
    if (argc > 1) return 0;
    char room[32];
    for (clock_t end = clock() + CLOCKS_PER_SEC / 5; clock() < end;)
        if (write(ends[0], "x", 1) == 1) recv(ends[1], room, sizeof room, MSG_DONTWAIT);
    return 0;
}
"""
_CPP = r"""
#include <algorithm>
#include <map>
#include <string>
#include <vector>
namespace shapes {
template <typename T> struct Box {
    std::map<T, std::string> names;
    __attribute__((noinline)) unsigned fill(T n) const {
        unsigned sum = 0;
        for (T i = 0; i < n; i++) sum = sum * 3 + (i ^ sum >> 3);
        return sum;
    }
    __attribute__((noinline)) bool operator()(const T &a, const T &b) const { return (a ^ 21) < (b ^ 21); }
};
namespace { __attribute__((noinline)) void order(std::vector<int> &v) { std::sort(v.begin(), v.end(), Box<int>{}); } }
}
int main() {
    shapes::Box<long> box;
    unsigned sum = box.fill(150000000);
    std::map<std::string, int> count;
    std::vector<int> v;
    for (int i = 0; i < 300000; i++) { count[std::to_string(i * 79 % 5000)]++; v.push_back(i * 79 % 100003); }
    shapes::order(v);
    return sum + count.size() + v[0] == 3;
}
"""
_RUST = r"""
use std::collections::HashMap;
mod inner {
    pub struct Wrap<T>(pub T);
    impl<T: Clone> Wrap<T> {
        #[inline(never)]
        pub fn spin(&self, n: u64) -> u64 {
            (0..n).fold(1u64, |x, i| x.wrapping_mul(6364136223846793005).wrapping_add(std::hint::black_box(i)))
        }
    }
}
#[inline(never)]
fn fill(names: &mut HashMap<u64, String>, n: u64) -> usize {
    for i in 0..n { names.insert(i % 5000, format!("{i}")); }
    names.len()
}
fn main() {
    let mut names = HashMap::new();
    let thread = std::thread::spawn(|| inner::Wrap(3u8).spin(100_000_000));
    let n = fill(&mut names, 600_000);
    std::process::exit((n as u64 + thread.join().unwrap() == 3) as i32);
}
"""


def _c(folder: Path, name: str, source: str, *flags: str, compiler: str = "gcc") -> Path:
    file, binary = folder / f"{name}.c", folder / name
    file.write_text(source)
    language = ["-x", "c++" if compiler == "g++" else "c"]
    options = ["-O2", "-g", "-fno-omit-frame-pointer", "-Wl,--build-id", *flags]
    subprocess.run([compiler, *language, str(file), *options, "-o", str(binary)], check=True)
    return binary


def _churn(*flags: str) -> Callable[[Path], tuple[str, ...]]:
    def build(folder: Path) -> tuple[str, ...]:
        return (str(compile_program(folder, *flags, rounds=500_000)),)

    return build


def _stripped(folder: Path) -> tuple[str, ...]:
    """Its symbols are in a file beside it, which its debuglink names."""
    whole, debug = compile_program(folder, "-rdynamic", rounds=500_000, name="whole"), folder / "churn.debug"
    subprocess.run(["objcopy", "--only-keep-debug", str(whole), str(debug)], check=True)
    options = ["--strip-all", f"--add-gnu-debuglink={debug}"]
    subprocess.run(["objcopy", *options, str(whole), str(folder / "churn")], check=True)
    return (str(folder / "churn"),)


def _nameless(folder: Path) -> tuple[str, ...]:
    (binary,) = _churn()(folder)
    subprocess.run(["strip", binary], check=True)
    return (binary,)


def _libraries(folder: Path) -> tuple[str, ...]:
    names, options = ("one_works", "other_works"), ("-shared", "-fPIC")
    parts = [_c(folder, f"{name}.so", _LIBRARY, *options, f"-DNAME={name}") for name in names]
    return (str(_c(folder, "libraries", _LIBRARIES)), *map(str, parts))


def _rust(*flags: str) -> Callable[[Path], tuple[str, ...]]:
    def build(folder: Path) -> tuple[str, ...]:
        source, binary = folder / "rusty.rs", folder / "rusty"
        source.write_text(_RUST)
        options = ["-O", "-g", "-C", "force-frame-pointers=yes", *flags]
        subprocess.run(["rustc", *options, str(source), "-o", str(binary)], check=True, capture_output=True)
        return (str(binary),)

    return build


_BUILDERS: dict[str, Callable[[Path], tuple[str, ...]]] = {
    "churn": _churn(),
    "no-pie": _churn("-no-pie"),
    "static": _churn("-static"),
    "static-pie": _churn("-static-pie"),
    "debuglink": _stripped,
    "stripped": _nameless,
    "made code": lambda folder: (str(_c(folder, "made", _MADE_CODE)),),
    "clock": lambda folder: (str(_c(folder, "clock", _CLOCK)),),
    "libraries": _libraries,
    "workers": lambda folder: (str(_c(folder, "workers", _WORKERS, "-pthread")),),
    "filter": lambda folder: (str(_c(folder, "filter", _BPF)),),
    "c++": lambda folder: (str(_c(folder, "shapes", _CPP, compiler="g++")),),
    "rust": _rust(),
    "rust v0": _rust("-C", "symbol-mangling-version=v0"),
}


def why_not_built(name: str) -> str | None:
    """Why a program cannot be built or run here, or None."""
    compiler = "rustc" if name.startswith("rust") else "g++" if name == "c++" else "gcc"
    if shutil.which(compiler) is None:
        return f"{compiler} is not installed"
    return _why_no_bpf() if name == "filter" else None


@cache
def _why_no_bpf() -> str | None:
    with TemporaryDirectory() as folder:
        done = subprocess.run([_c(Path(folder), "filter", _BPF), "only try"], check=False)
    return None if done.returncode == 0 else "BPF programs cannot be loaded here"


@cache
def program(name: str, folder: Path) -> tuple[str, ...]:
    """The command that runs a program, which is built in a folder of its own on the first call."""
    own = folder / name.replace(" ", "_")
    own.mkdir(parents=True)
    return _BUILDERS[name](own)
