"""Real recordings for the tests: a C program with everything that a reader can get wrong, and perf's own tables."""

import os
import re
import shutil
import signal
import struct
import subprocess
import time
from collections import Counter
from functools import lru_cache
from pathlib import Path

_EVENT = re.compile(r"# Samples: .* of events? '(.*)'")

# Threads that rename themselves, a fork, an exec of itself under another name, nested static inline layers, page faults
# and mappings that come and go.
PROGRAM = r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#define INLINE static inline __attribute__((always_inline))
INLINE unsigned mix(unsigned x) { x ^= x << 13; x ^= x >> 17; x ^= x << 5; return x; }
INLINE unsigned mix_twice(unsigned x) { return mix(mix(x)); }
INLINE void *renew(void *old, unsigned r) { free(old); return malloc(16 + (mix_twice(r) & 1023)); }
static __attribute__((noinline)) void touch(void) {
    char *m = mmap(0, 1 << 19, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(m, 1, 1 << 19);
    munmap(m, 1 << 19);
}
static __attribute__((noinline)) void *churn(void *seed) {
    unsigned r = (unsigned)(size_t)seed + 77;
    void *slots[1024] = {0};
    for (long i = 0; i < ROUNDS; i++) {
        r = mix_twice(r);
        slots[r & 1023] = renew(slots[r & 1023], r);
        memset(slots[r & 1023], 1, 16);
        if (!(i & 0xffff)) { prctl(PR_SET_NAME, (i >> 16) & 1 ? "odd name" : "even"); touch(); }
    }
    return 0;
}
int main(int argc, char **argv) {
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], 0, churn, (void *)(size_t)i);
    if (argc < 2 && fork() == 0) { churn((void *)5); execl(argv[0], "again", "child", (char *)0); }
    for (int i = 0; i < 2; i++) pthread_join(threads[i], 0);
    wait(0);
    return 0;
}
"""


@lru_cache(maxsize=1)
def why_not_live() -> str | None:
    """Why no recording can be made here, or None."""
    if not (shutil.which("perf") and shutil.which("gcc")):
        return "perf or gcc is not installed"
    tried = subprocess.run(
        ["perf", "record", "-e", "cpu-clock", "-o", os.devnull, "--", "true"], capture_output=True, check=False
    )
    return None if tried.returncode == 0 else "perf record is not permitted here"


def compile_program(
    folder: Path,
    *flags: str,
    rounds: int = 1_500_000,
    name: str = "churn",
    text: str = PROGRAM,
    compiler: str = "gcc",
) -> Path:
    source, binary = folder / f"{name}.c", folder / name
    source.write_text(text)
    options = ["-O2", "-g", "-fno-omit-frame-pointer", "-pthread", "-Wl,--build-id", f"-DROUNDS={rounds}"]
    # In the folder: clang writes .dwo files to where it runs.
    subprocess.run([compiler, *options, *flags, str(source), "-o", str(binary)], check=True, cwd=folder)
    return binary


def record(folder: Path, *options: str, command: tuple[str, ...], name: str = "perf.data") -> Path:
    output = folder / name
    full = ["perf", "record", "-q", *_without_waiting(options), *options, "-o", str(output), "--", *command]
    subprocess.run(full, check=True, capture_output=True)
    return output


def _without_waiting(options: tuple[str, ...]) -> tuple[str, ...]:
    """Looking for BPF programs keeps perf for a second after each; those of the whole machine are worth it."""
    return () if "-a" in options else ("--no-bpf-event",)


def record_to_pipe(folder: Path, *options: str, command: tuple[str, ...], name: str = "perf.data") -> Path:
    output = folder / name
    with output.open("wb") as stream:
        full = ["perf", "record", "-q", *_without_waiting(options), *options, "-o", "-", "--", *command]
        subprocess.run(full, check=True, stdout=stream, stderr=subprocess.DEVNULL)
    return output


def record_running(folder: Path, *options: str, command: tuple[str, ...], name: str = "perf.data") -> Path:
    """A program that runs already when perf comes to it; it runs until it is killed."""
    output = folder / name
    with subprocess.Popen(command) as running:
        try:
            time.sleep(0.1)
            full = ["perf", "record", "-q", "--no-bpf-event", *options, str(running.pid), "-o", str(output)]
            subprocess.run([*full, "--", "sleep", "0.4"], check=True, capture_output=True)
        finally:
            running.kill()
    return output


def record_unfinished(folder: Path, *options: str, command: tuple[str, ...], name: str = "perf.data") -> Path:
    """A recording whose recorder was killed while the program, started again and again, was running."""
    output = folder / name
    endless = ("sh", "-c", 'while :; do "$@"; done', "sh", *command)
    full = ["perf", "record", "-q", "--no-bpf-event", *options, "-o", str(output), "--", *endless]
    with subprocess.Popen(full, start_new_session=True) as recorder:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and (not output.exists() or output.stat().st_size < 100_000):
            time.sleep(0.05)
        recorder.kill()
        recorder.wait()
        os.killpg(recorder.pid, signal.SIGKILL)
    return output


def as_finished(recording: Path) -> Path:
    """A copy of an unfinished recording up to its last whole record, of which the header knows: perf reads no other."""
    content = bytearray(recording.read_bytes())
    (start,) = struct.unpack_from("<Q", content, 40)
    end = size = start
    while size and end + 8 <= len(content):
        size = int.from_bytes(content[end + 6 : end + 8], "little")
        if end + size > len(content):
            break
        end += size
    struct.pack_into("<Q", content, 48, end - start)
    struct.pack_into("<32x", content, 72)  # no feature sections
    finished = recording.with_suffix(".finished")
    finished.write_bytes(content[:end])
    return finished


def record_injected(folder: Path, *options: str, command: tuple[str, ...], name: str = "perf.data") -> Path:
    """A recording without build ids that `perf inject` has written again with them."""
    plain, output = record(folder, *options, command=command, name=f"plain_{name}"), folder / name
    subprocess.run(["perf", "inject", "-b", "-i", str(plain), "-o", str(output)], check=True, capture_output=True)
    return output


def perf_stats(recording: Path) -> dict[str, int]:
    """Record counts by type, as `perf report --stats` prints them."""
    printed = subprocess.run(
        ["perf", "report", "--stats", "-i", str(recording)], capture_output=True, text=True, check=True
    ).stdout
    counts: dict[str, int] = {}
    for line in printed.splitlines():
        name, found, rest = line.partition(" events:")
        if found and name.strip() not in counts:
            counts[name.strip()] = int(rest.split()[0])
    return counts


def perf_table(recording: Path) -> Counter[tuple[str, str, str, str]]:
    """Samples by (event, comm, dso, symbol) from `perf report`; a symbol that it cannot name is "[unknown]".

    The second event of one name is "name#2".
    """
    printed = _printed_by(
        ["perf", "report", "-i", str(recording), "--stdio", "--no-group", "--no-children", "-g", "none",
         "--percentage", "absolute", "-F", "sample,comm,dso,sym", "-t", "\x01", "-w", "9,16,64,4000",
         "--sort", "comm,dso,sym"]
    )  # fmt: skip
    table: Counter[tuple[str, str, str, str]] = Counter()
    event, seen = "", Counter[str]()
    for line in printed.splitlines():
        found = _EVENT.match(line)
        if found:
            seen[found[1]] += 1
            event = found[1] if seen[found[1]] == 1 else f"{found[1]}#{seen[found[1]]}"
        if line.startswith("#") or "\x01" not in line:
            continue
        count, comm, dso, symbol = (field.strip() for field in line.split("\x01"))
        name = symbol.split("] ", 1)[1]
        table[event, comm, dso, "[unknown]" if name.startswith("0x") else name] += int(count)
    return table


def _printed_by(command: list[str]) -> str:
    """What perf prints. Version 6.1 dies of some recordings that came through a pipe when groups are to be taken apart:
    it is asked again without that, which shows the same where there are none."""
    for options in (command, [each for each in command if each != "--no-group"]):
        result = subprocess.run(options, capture_output=True, text=True, check=False)
        if result.returncode >= 0:
            break
    result.check_returncode()
    return result.stdout
