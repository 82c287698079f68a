"""Makes the corpora to start from: small real recordings and objects, and the texts of the tools.

usage: python fuzz/seeds.py FOLDER → FOLDER/perf_data, FOLDER/elf, FOLDER/texts
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

from recordings import assemble, take_apart

_PROGRAM = r"""
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
static inline __attribute__((always_inline)) void fill(char *at) { memset(at, 1, 1 << 15); }
static __attribute__((noinline)) void touch(void) {
    char *fresh = mmap(0, 1 << 15, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fill(fresh);
    munmap(fresh, 1 << 15);
}
int main(int count, char **words) {
    touch();
    prctl(PR_SET_NAME, "renamed");
    if (count < 2 && fork() == 0) execl(words[0], "again", "child", (char *)0);
    touch();
    wait(0);
    return 0;
}
"""
_FAULTS = ("-e", "page-faults", "-c", "4")
_VARIANTS: dict[str, tuple[str, ...]] = {
    "plain": _FAULTS,
    "chains": (*_FAULTS, "-g"),
    "zstd": (*_FAULTS, "-g", "-z"),
    "dwarf": ("-e", "page-faults:u", "-c", "9", "--call-graph", "dwarf,64"),
    "group": ("-e", "{page-faults,minor-faults}:S", "-c", "4", "-g"),
    "two-events": ("-e", "page-faults", "-e", "minor-faults", "-c", "6"),
    "all-cpus": ("-a", *_FAULTS, "-g"),
    "no-times": (*_FAULTS, "--no-timestamp"),
    "clock": ("-F", "999", "-e", "cpu-clock", "-g"),
}
_MAX_RECORDS = 40
_MAX_TEXT = 3000
_OBJECTS: dict[str, tuple[str, ...]] = {
    "dwarf5": ("-g",),
    "dwarf4": ("-gdwarf-4",),
    "zlib": ("-g", "-gz=zlib"),
    "stripped": ("-s",),
    "library": ("-g", "-shared", "-fPIC"),
    "position-dependent": ("-g1", "-no-pie"),
}
# The first letter of a name chooses the parser (texts.py).
_TOOLS: dict[str, tuple[str, ...]] = {
    "perf-stat-json": ("perf", "stat", "-j", "-o", "OUTPUT", "--"),
    "perf-stat-csv": ("perf", "stat", "-x", ";", "-o", "OUTPUT", "--"),
    "perf-stat-intervals": ("perf", "stat", "-I", "10", "-A", "-a", "-x", ",", "-o", "OUTPUT", "--"),
    "strace": ("strace", "-f", "-c", "-o", "OUTPUT", "--"),
    "strace-wall": ("strace", "-f", "-c", "-w", "-U", "name,calls,errors,time-total", "-o", "OUTPUT", "--"),
    "log-of-strace": ("strace", "-f", "-T", "-ttt", "-o", "OUTPUT", "--"),
    "callgrind": ("valgrind", "--tool=callgrind", "--callgrind-out-file=OUTPUT"),
}
_LINES = {
    "allocator-counters": '{"schema": 1, "routes": {"fast": 12, "slow": 3}, "classes": [1, 2, 3], "share": 0.5}',
    "bench": '{"benchmark": "mine", "ops": 1000, "measured_ns": 52000, "ops_per_second": 19230769.2, "threads": 2}',
    "routes": "[FREE_ROUTE] ss_hit ptr=0x7f0012340000\n[FREE_ROUTE] other ptr=(nil)[FREE_ROUTE] x ptr=0x1\n",
    "demangle": "NSt6vectorIiSaIiEE9push_backERKi",
    "demangle-template": "1fI1AS0_EvT_St4pairIS1_S1_E",
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as scratch:
        program = _compile(Path(scratch), "program", "-g")
        make_recordings(folder / "perf_data", program, Path(scratch))
        make_objects(folder / "elf", Path(scratch))
        make_texts(folder / "texts", program)


def make_recordings(folder: Path, program: Path, scratch: Path) -> None:
    """One small recording of each variant, as a file and, where there is a difference, as perf writes it to a pipe."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, options in _VARIANTS.items():
        output = scratch / "perf.data"
        _run("perf", "record", "-q", *options, "-o", str(output), "--", str(program))
        if output.exists():
            (folder / name).write_bytes(_shortened(output.read_bytes()))
            output.unlink()
    for name in ("chains", "group", "zstd"):
        command = ["perf", "record", "-q", *_VARIANTS[name], "-o", "-", "--", str(program)]
        piped = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout
        (folder / f"{name}-pipe").write_bytes(_shortened(piped))


def make_objects(folder: Path, scratch: Path) -> None:
    """Small ELF files with a symbol table, stubs and DWARF of several versions, compressed or not."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, flags in _OBJECTS.items():
        small = ("-Wl,-z,noseparate-code", "-Wl,-z,max-page-size=4096", *flags)
        (folder / name).write_bytes(_compile(scratch, name, *small).read_bytes())


def make_texts(folder: Path, program: Path) -> None:
    """Output of the real tools, cut to its first lines, and lines of the formats that only programs of ours write."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "output"
        for name, command in _TOOLS.items():
            _run(*(word.replace("OUTPUT", str(output)) for word in command), str(program))
            if output.exists():
                (folder / name).write_bytes(_first_lines(name[0].encode(), output.read_bytes()))
                output.unlink()
    kernel = Path("/proc/kallsyms").read_bytes()
    (folder / "kallsyms").write_bytes(_first_lines(b"k", kernel))
    for name, text in _LINES.items():
        (folder / name).write_bytes(name[0].encode() + text.encode())


def _first_lines(letter: bytes, content: bytes) -> bytes:
    return letter + content[:_MAX_TEXT].rpartition(b"\n")[0] + b"\n"


def _shortened(content: bytes) -> bytes:
    """The recording with its first records and without the long feature sections; compressed ones stay whole."""
    parts = take_apart(content)
    if parts is None:
        return content
    del parts.records[_MAX_RECORDS:]
    parts.features = {bit: text for bit, text in parts.features.items() if len(text) <= 1024}
    parts.tail = b""
    return assemble(parts)


def _compile(folder: Path, name: str, *flags: str) -> Path:
    source, binary = folder / f"{name}.c", folder / name
    source.write_text(_PROGRAM)
    options = ("-O2", "-fno-omit-frame-pointer", "-Wl,--build-id", *flags)
    subprocess.run(["gcc", *options, str(source), "-o", str(binary)], check=True)
    return binary


def _run(*command: str) -> None:
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


if __name__ == "__main__":
    main()
