"""How fast perf.data files are read, against the tools that people would use otherwise. Prints tables as Markdown.

usage: python benchmarks/reading.py [--quick] [--work DIR] [--rounds N] [--only PART …]

All readers of a comparison run in turn in one session, as whole processes, after a run of each that does not count:
A B C A B C …; the tables show medians of wall time and of peak memory. What they print goes to a file. The recordings
are made in the work folder when they are not there (see recordings.py).

The part `scaling` reads 1, 5 and 20 million samples of three kinds: of one long recording, in which ever new call
chains are met; the first million over and over, so that nothing new is met; and the first million over and over with
all processes begun anew each time, so that everything is new.
"""

import argparse
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from recordings import Again, counted_by_perf, record_workload, resize

PERFPARSER = Path("/usr/lib/x86_64-linux-gnu/libexec/hotspot-perfparser")
FIELDS = "comm,tid,time,event,ip,sym,dso"
LAYERS: tuple[str, tuple[str, ...]] = ("hakprof layers", ())
FLAT: tuple[str, tuple[str, ...]] = ("hakprof layers --by comm,dso,symbol", ("--by", "comm,dso,symbol"))


@dataclass(frozen=True)
class Scale:
    """The sizes by name, in samples, and how to record as many as the largest has."""

    sizes: dict[str, int]
    seconds: float
    buffer_pages: int


FULL = Scale({"1M": 1_000_000, "5M": 5_000_000, "20M": 20_000_000}, seconds=190, buffer_pages=2048)  # two processors
QUICK = Scale({"1M": 20_000, "5M": 40_000, "20M": 80_000}, seconds=1, buffer_pages=256)


@dataclass(frozen=True)
class Reader:
    """A command to be timed. ``fresh_cache``: each run finds nothing of the runs before it."""

    name: str
    command: tuple[str, ...]
    fresh_cache: bool = False


@dataclass
class Figures:
    """Wall and CPU times in s, peak memory in MiB, of the runs that count."""

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    mebibytes: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def memory(self) -> float:
        return statistics.median(self.mebibytes)


class Bench:
    """The recordings and a cache of its own in one folder."""

    def __init__(self, work: Path, scale: Scale, rounds: int) -> None:
        self.work, self.scale, self.rounds = work, scale, rounds
        self.sizes = scale.sizes

    def recording(self, size: str) -> Path:
        """The recording of that size, made when it is not there."""
        real = self.work / "workload.data"
        if not real.exists():
            record_workload(self.work, self.scale.seconds, buffer_pages=self.scale.buffer_pages)
        return self._resized(real, self.work / f"{self.sizes[size]}.data", size, Again.ALL)

    def repeated(self, size: str, again: Again) -> Path:
        """A recording of that size that repeats the smallest."""
        name = f"{self.sizes[size]}-{again.value.replace(' ', '-')}-again.data"
        return self._resized(self.recording("1M"), self.work / name, size, again)

    def _resized(self, source: Path, path: Path, size: str, again: Again) -> Path:
        if not path.exists():
            samples = self.sizes[size]
            resize(source, path, samples, again=again)
            counted = counted_by_perf(path)
            if counted != samples:
                path.unlink()
                raise SystemExit(f"perf counts {counted} samples in {path}, not {samples}")
        return path

    def samples(self, size: str) -> str:
        """How many samples that is, in words."""
        return f"{self.sizes[size]:,} samples"

    def compare(self, readers: Sequence[Reader]) -> dict[str, Figures]:
        """Runs all readers in turn, once for warming up and then ``rounds`` times."""
        figures = {reader.name: Figures() for reader in readers}
        for round_number in range(self.rounds + 1):
            for reader in readers:
                seconds, usage = self._run(reader)
                if round_number:
                    figures[reader.name].seconds.append(seconds)
                    figures[reader.name].cpu.append(usage.ru_utime + usage.ru_stime)
                    figures[reader.name].mebibytes.append(usage.ru_maxrss / 1024)
        return figures

    def _run(self, reader: Reader) -> tuple[float, resource.struct_rusage]:
        cache = self.work / "cache"
        if reader.fresh_cache:
            shutil.rmtree(cache, ignore_errors=True)
        with (self.work / "printed").open("wb") as printed, (self.work / "errors").open("wb") as errors:
            begun = time.perf_counter()
            child = subprocess.Popen(
                reader.command,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=errors,
                env=os.environ | {"XDG_CACHE_HOME": str(cache), "LC_ALL": "C"},
                cwd=self.work,
            )
            _, status, usage = os.wait4(child.pid, 0)
            seconds = time.perf_counter() - begun
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit(f"{' '.join(reader.command)} failed:\n{(self.work / 'errors').read_text()[-2000:]}")
        return seconds, usage


def hakprof(*arguments: str) -> tuple[str, ...]:
    """The command as a user runs it: the installed script where there is one."""
    script = Path(sys.executable).with_name("hakprof")
    return (str(script), *arguments) if script.exists() else (sys.executable, "-m", "hakprof", *arguments)


def flat(path: Path) -> tuple[Reader, Reader]:
    """Equal work: samples by (comm, dso, symbol)."""
    return (
        Reader(FLAT[0], hakprof("layers", str(path), *FLAT[1])),
        Reader(
            "perf report --no-children -g none",
            ("perf", "report", "--stdio", "--no-children", "-g", "none", "-i", str(path)),
        ),
    )


def with_chains(path: Path) -> list[Reader]:
    """Layers with inlining and what caused the kernel's part, against what reads call chains at all."""
    readers = [
        Reader(LAYERS[0], hakprof("layers", str(path), *LAYERS[1])),
        Reader("perf report (call graph)", ("perf", "report", "--stdio", "--no-inline", "-i", str(path))),
        Reader("perf script", ("perf", "script", "--no-inline", "-F", FIELDS, "-i", str(path))),
    ]
    if PERFPARSER.exists():
        command = (str(PERFPARSER), "--input", str(path), "--output", "/dev/null")
        readers.append(Reader("hotspot-perfparser", command))
    return readers


def hot_lines(path: Path) -> list[Reader]:
    """The hottest source lines."""
    sort = ("perf", "report", "--stdio", "--no-children", "-g", "none", "-s", "sym,srcline", "-i", str(path))
    return [
        Reader("hakprof annotate benchmark", hakprof("annotate", "benchmark", str(path))),
        Reader("perf report -s sym,srcline", sort),
    ]


def print_comparison(title: str, figures: dict[str, Figures]) -> Iterator[str]:
    """A table whose first row is ours; ratios are of wall times to it."""
    ours = next(iter(figures.values())).median
    yield f"\n### {title}\n"
    yield "| reader | wall (s) | range (s) | × ours | CPU (s) | peak memory (MiB) |"
    yield "|---|---:|---:|---:|---:|---:|"
    for name, each in figures.items():
        extent = f"{min(each.seconds):.2f}–{max(each.seconds):.2f}"
        cpu = statistics.median(each.cpu)
        yield f"| {name} | {each.median:.2f} | {extent} | {each.median / ours:.1f} | {cpu:.2f} | {each.memory:.0f} |"


def flat_tables(bench: Bench) -> Iterator[str]:
    for size in ("1M", "5M"):
        yield from print_comparison(f"{bench.samples(size)} → flat table", bench.compare(flat(bench.recording(size))))


def layer_tables(bench: Bench) -> Iterator[str]:
    figures = bench.compare(with_chains(bench.recording("5M")))
    yield from print_comparison(f"{bench.samples('5M')} → layers, with inlined functions and causes", figures)


def line_tables(bench: Bench) -> Iterator[str]:
    figures = bench.compare(hot_lines(bench.recording("1M")))
    yield from print_comparison(f"{bench.samples('1M')} → hottest lines", figures)


def cache_tables(bench: Bench) -> Iterator[str]:
    command = hakprof("layers", str(bench.recording("1M")))
    figures = bench.compare([Reader("first report", command, fresh_cache=True), Reader("second report", command)])
    yield from print_comparison(f"{bench.samples('1M')} → layers, without and with the cache of symbols", figures)


def scaling_tables(bench: Bench) -> Iterator[str]:
    """Cost of each sample more: differences between sizes, in which start-up cancels out."""
    kinds: list[tuple[str, Callable[[str], Path]]] = [
        ("one recording", bench.recording),
        ("the same samples again", lambda size: bench.repeated(size, Again.SAMPLES)),
        ("all processes anew", lambda size: bench.repeated(size, Again.ALL)),
    ]
    for command in (FLAT, LAYERS):
        yield f"\n### Cost of a sample: {command[0]}\n"
        yield "| samples of | samples | distinct chains | wall (s) | CPU (s) | ns for each sample more | memory (MiB) |"
        yield "|---|---:|---:|---:|---:|---:|---:|"
        for kind, recording in kinds:
            yield from _growth(bench, kind, recording, command)


def _growth(
    bench: Bench, kind: str, recording: Callable[[str], Path], command: tuple[str, tuple[str, ...]]
) -> Iterator[str]:
    paths = {size: recording(size) for size in bench.sizes}
    figures = bench.compare([Reader(size, hakprof("layers", str(path), *command[1])) for size, path in paths.items()])
    before: tuple[int, float] | None = None
    for size, each in figures.items():
        count, more, cpu = bench.sizes[size], "—", statistics.median(each.cpu)
        if before is not None:
            more = f"{(each.median - before[1]) / (count - before[0]) * 1e9:.0f}"
        chains = f"{distinct_chains(paths[size]):,}"
        yield f"| {kind} | {count:,} | {chains} | {each.median:.2f} | {cpu:.2f} | {more} | {each.memory:.0f} |"
        before = count, each.median


def distinct_chains(path: Path) -> int:
    """How many call chains, by process, a recording has. In a process of its own: this one must stay small."""
    script = (
        "import sys; from pathlib import Path; from hakprof.parse.perf_data import read_perf_data\n"
        "print(len(read_perf_data(Path(sys.argv[1])).stacks))"
    )
    command = [sys.executable, "-c", script, str(path)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


PARTS: dict[str, Callable[[Bench], Iterator[str]]] = {
    "flat": flat_tables,
    "layers": layer_tables,
    "lines": line_tables,
    "cache": cache_tables,
    "scaling": scaling_tables,
}


def surroundings() -> Iterator[str]:
    """What the figures depend on."""
    perf = subprocess.run(["perf", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    packages = ", ".join(f"{name} {version(name)}" for name in ("hakprof", "numpy", "polars", "symbolic"))
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    yield f"- {perf}; Python {platform.python_version()}, {packages}"
    if PERFPARSER.exists():
        shown = subprocess.run(["dpkg-query", "-W", "hotspot"], capture_output=True, text=True, check=False).stdout
        yield f"- hotspot-perfparser of Debian's {' '.join(shown.split()) or 'hotspot'}"
    yield f"- {model}, {os.cpu_count()} CPUs, Linux {platform.release()}; walker: {_walker()}"


def _walker() -> str:
    from hakprof.parse.perf_data.compiled import compiled_library

    return "compiled" if compiled_library() is not None else "numpy"


def main() -> None:
    parser = argparse.ArgumentParser(description="How fast perf.data files are read.")
    parser.add_argument("--quick", action="store_true", help="small recordings and one round, to see that it works")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "hakprof-reading")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    options = parser.parse_args()
    work = options.work / ("quick" if options.quick else "full")
    work.mkdir(parents=True, exist_ok=True)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    bench = Bench(work, QUICK if options.quick else FULL, 1 if options.quick else options.rounds)
    for line in surroundings():
        print(line, flush=True)
    for name in options.only:
        for line in PARTS[name](bench):
            print(line, flush=True)


if __name__ == "__main__":
    main()
