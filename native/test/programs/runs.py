"""One program on hakmem: the same output as without it, no complaint, and proof that hakmem served it.

Each command runs without hakmem, with the release flavour and with the instrumented one. The last writes its counters
for every process that ends: they tell whether its blocks came from hakmem, so that a program that silently ran on
libc's allocator is a failure."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# What no process may say: a report of ours, or the dynamic linker that could not preload.
COMPLAINT = re.compile(r"^.*(?:\[hakmem\]|ERROR: ld\.so).*$", re.MULTILINE)
LEAST_MALLOCS = 20


class Skipped(Exception):
    """The program cannot run here; the text says why."""


class Failed(Exception):
    """The program did not do on hakmem what it should; the text says what."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a case runs: the two libraries, and a folder of its own."""

    release: Path
    instrumented: Path
    folder: Path

    @property
    def inputs(self) -> Path:
        return Path(__file__).resolve().parent / "inputs"

    def fresh(self) -> Path:
        """An empty folder, always of the same name: programs may print or record where they are."""
        work = self.folder / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        return work


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command left: exit status, what it printed, and what it said on stderr."""

    status: int
    output: bytes
    errors: str


@dataclass(slots=True)
class Served:
    """What the counters of all processes of one command add up to."""

    processes: int = 0
    mallocs: int = 0
    libc: int = 0
    foreign: int = 0

    def __str__(self) -> str:
        return f"{self.processes} process{'' if self.processes == 1 else 'es'}, {self.mallocs:,} mallocs"


def environment(library: Path | None, changes: Mapping[str, str]) -> dict[str, str]:
    """Ours without any setting of an allocator or of make, in plain English, with the library preloaded."""
    settings = ("HAKMEM_", "MALLOC_", "MAKE", "LD_PRELOAD")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(settings)} | {"LC_ALL": "C.UTF-8"}
    if library is not None:
        kept["LD_PRELOAD"] = str(library)
    return {**kept, **changes}


def execute(
    command: Sequence[str], folder: Path, library: Path | None = None, *,
    changes: Mapping[str, str] | None = None, limit: int = 120,
) -> Ended:  # fmt: skip
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment(library, changes or {}), capture_output=True,
            stdin=subprocess.DEVNULL, timeout=limit, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise Failed(f"did not end within {limit} s: {' '.join(command)}") from error
    return Ended(done.returncode, done.stdout, done.stderr.decode(errors="replace"))


def python() -> str:
    """A python3 that is the program itself: shims would be counted as well."""
    return shutil.which("/usr/bin/python3") or sys.executable


def require(*programs: str) -> None:
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        raise Skipped(f"{' and '.join(missing)} not installed")


def no_complaint(errors: str) -> None:
    if found := COMPLAINT.search(errors):
        raise Failed(f"complaint: {found[0]}")


def counted(folder: Path) -> Served:
    """The sum over the statistics files that `statistics(folder)` made the processes write."""
    served = Served()
    for path in sorted(folder.glob("served.*.json")):
        told = json.loads(path.read_text())
        served.processes += 1
        served.mallocs += told["calls"]["malloc"]
        served.libc += told["fallback"]["libc_alloc"]
        served.foreign += told["free_routes"]["foreign"]
    return served


def statistics(folder: Path) -> dict[str, str]:
    for path in folder.glob("served.*.json"):
        path.unlink()
    return {"HAKMEM_STATS_FILE": str(folder / "served.%p.json")}


def proven(served: Served, *, processes: int, mallocs: int) -> Served:
    if served.processes < processes or served.mallocs < mallocs:
        raise Failed(f"hakmem served only {served}; expected {processes} and {mallocs:,} at least")
    if served.libc or served.foreign:
        raise Failed(f"{served.libc} blocks came from libc, {served.foreign} frees were foreign")
    return served


@dataclass(frozen=True, slots=True)
class Program:
    """A command and what hakmem is to have done for it. `files` are copied from inputs/ into its folder."""

    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    changes: Mapping[str, str] = field(default_factory=dict)
    processes: int = 1
    mallocs: int = LEAST_MALLOCS
    limit: int = 120

    def once(self, place: Place, library: Path | None, changes: Mapping[str, str]) -> Ended:
        work = place.fresh()
        for file in self.files:
            shutil.copy(place.inputs / file, work)
        return execute(self.command, work, library, changes={**self.changes, **changes}, limit=self.limit)

    def check(self, place: Place) -> str:
        """What hakmem did for it, in words; Skipped or Failed."""
        require(self.command[0], *self.needs)
        expected = self.once(place, None, {})
        if expected.status != 0:
            raise Skipped(f"fails without hakmem as well: {expected.errors.strip()[-300:]}")
        for library, changes in ((place.release, {}), (place.instrumented, statistics(place.folder))):
            actual = self.once(place, library, changes)
            no_complaint(actual.errors)
            if actual.status != 0:
                raise Failed(f"status {actual.status}: {actual.errors.strip()[-2000:]}")
            if actual.output != expected.output:
                raise Failed(f"prints something else: {actual.output[-500:]!r} instead of {expected.output[-500:]!r}")
        return str(proven(counted(place.folder), processes=self.processes, mallocs=self.mallocs))


def shell(script: str, *, needs: Sequence[str], **options: object) -> Program:
    """A program of several commands; the first failure ends it."""
    return Program(("bash", "-euo", "pipefail", "-c", script), needs=tuple(needs), **options)  # type: ignore[arg-type]
