"""Every kind of recording that is read, and the comparison of one with perf, for tests and benchmarks/accuracy.py.

A new kind is one line in VARIANTS.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from perf_programs import program
from perf_recordings import (
    as_finished,
    perf_table,
    record,
    record_injected,
    record_running,
    record_to_pipe,
    record_unfinished,
)

from hakprof.layers import attribute, load_rules
from hakprof.parse.perf_data import PerfProfile
from hakprof.symbols import Symbolizer

Key = tuple[str, str, str, str]
Table = Counter[Key]
# What else runs on the machine may be built anew between the recording and the comparison.
OWN_COMMS = frozenset(
    {"churn", "even", "odd name", "again", "swapper", "shapes", "rusty", "made", "clock", "libraries", "filter"}
    | {"workers", "early worker", "late worker"}
)
# libunwind in perf 6.1 goes wrong in a child that executes another program: without one, chains can be compared.
ALONE = ("without a child",)
CHAINS = ("-F", "1999", "-g")


@dataclass(frozen=True, slots=True)
class Variant:
    """Options of perf record and what is recorded. ``shows`` are symbols or objects that the table must have.

    Without ``has_order`` samples of one CPU and an exec on another have no order: no table of them is the right one.
    """

    options: tuple[str, ...]
    program: str = "churn"
    arguments: tuple[str, ...] = ()
    way: str = "file"
    shows: tuple[str, ...] = ()
    needs: Path | None = None
    has_order: bool = True


VARIANTS: dict[str, Variant] = {
    "chains": Variant(("-F", "4999", "-g")),
    "no chains": Variant(("-F", "4999")),
    "two events": Variant(("-F", "2999", "-e", "cpu-clock,page-faults", "-g")),
    "one event twice": Variant(("-F", "999", "-e", "cpu-clock,cpu-clock", "-g")),
    "every page fault": Variant(("-e", "page-faults", "-c", "1", "-g")),
    "leader sampling": Variant(("-F", "1999", "-e", "{cpu-clock,page-faults}:S", "-g"), "c++"),
    "leader sampling, whole machine": Variant(("-F", "1999", "-e", "{cpu-clock,page-faults}:S", "-g", "-a")),
    "dwarf stacks": Variant(("-F", "4999", "--call-graph", "dwarf,16384"), arguments=ALONE),
    "dwarf stacks, cut off": Variant(("-F", "4999", "--call-graph", "dwarf,2048"), arguments=ALONE),
    "dwarf stacks, compressed": Variant(("-F", "1999", "--call-graph", "dwarf,16384", "-z"), arguments=ALONE),
    "dwarf stacks, pipe": Variant(("-F", "1999", "--call-graph", "dwarf,16384"), way="pipe", arguments=ALONE),
    "dwarf stacks, two registers": Variant(
        ("-F", "1999", "--call-graph", "dwarf,16384", "--user-regs=ip,sp"), arguments=ALONE
    ),
    "fixed period": Variant(("-e", "task-clock", "-c", "500000", "-g")),
    "user side only": Variant(("-F", "1999", "-e", "cpu-clock:u", "-g")),
    "per thread": Variant((*CHAINS, "--per-thread"), "clock"),
    "no inheritance": Variant((*CHAINS, "-i"), "clock"),
    "whole machine": Variant((*CHAINS, "-a")),
    "build ids in mmaps": Variant((*CHAINS, "--buildid-mmap")),
    "no build ids": Variant((*CHAINS, "--no-buildid")),
    "no times": Variant((*CHAINS, "--no-timestamp"), has_order=False),
    "switch events": Variant((*CHAINS, "--switch-events")),
    "namespaces": Variant((*CHAINS, "--namespaces")),
    "cgroups": Variant((*CHAINS, "--all-cgroups")),
    "addresses and CPUs": Variant((*CHAINS, "-d", "--sample-cpu", "--phys-data")),
    "identifiers and registers": Variant((*CHAINS, "--sample-identifier", "--user-regs=ip,sp")),
    "tracepoints": Variant(
        ("-e", "syscalls:sys_enter_munmap,syscalls:sys_enter_mmap", "-g"),
        needs=Path("/sys/kernel/tracing/events/syscalls"),
    ),
    "weights and interrupted registers": Variant((*CHAINS, "-W", "-I")),
    "lost": Variant(("-c", "1", "-e", "page-faults", "-g", "-m", "1"), "c++"),
    "lost, with threads": Variant(("-c", "1", "-e", "page-faults", "-g", "-m", "1")),
    "running process": Variant((*CHAINS, "-p"), "workers", way="running"),
    "running process, nothing of before": Variant((*CHAINS, "--synth=no", "-p"), "workers", way="running"),
    "running thread": Variant((*CHAINS, "-t"), "workers", way="running"),
    "stacks of one event only": Variant(
        ("-e", "cpu-clock/freq=1999,call-graph=dwarf,stack-size=8192/,page-faults/period=1,call-graph=fp/"),
        arguments=ALONE,
    ),
    "recorder killed": Variant(("-F", "4999", "-g", "-m", "8"), way="unfinished"),
    "injected": Variant((*CHAINS, "--no-buildid"), way="injected"),
    "compressed": Variant(("-F", "4999", "-g", "-z")),
    "directory": Variant(("-F", "4999", "-g", "--threads")),
    "directory, compressed": Variant(("-F", "4999", "-g", "--threads", "-z")),
    "directory, dwarf stacks": Variant(("-F", "1999", "--call-graph", "dwarf,16384", "--threads"), arguments=ALONE),
    "pipe": Variant(("-F", "4999", "-e", "cpu-clock,page-faults", "-g"), way="pipe"),
    "compressed pipe": Variant(("-F", "4999", "-g", "-z"), way="pipe"),
    "non-PIE": Variant(CHAINS, "no-pie", shows=("churn",)),
    "static": Variant(CHAINS, "static", shows=("churn",)),
    "static PIE": Variant(CHAINS, "static-pie", shows=("churn",)),
    "stripped": Variant(CHAINS, "stripped", shows=("[unknown]",)),
    "symbols by build id": Variant(CHAINS, shows=("_int_free",), needs=Path("/usr/lib/debug/.build-id")),
    "symbols by debuglink": Variant(CHAINS, "debuglink"),
    "code made at run time": Variant(CHAINS, "made code", shows=("made first", "made_second")),
    "vdso": Variant(CHAINS, "clock", shows=("[vdso]",)),
    "libraries in turn": Variant(CHAINS, "libraries", shows=("one_works", "other_works")),
    "BPF program": Variant((*CHAINS, "-a"), "filter"),
    "C++": Variant(CHAINS, "c++", shows=("shapes::Box<long>::fill",)),
    "Rust": Variant(CHAINS, "rust"),
    "Rust v0": Variant(CHAINS, "rust v0"),
}


_WAYS: dict[str, Callable[..., Path]] = {
    "file": record,
    "pipe": record_to_pipe,
    "running": record_running,
    "unfinished": record_unfinished,
    "injected": record_injected,
}


def record_variant(name: str, folder: Path) -> Path:
    """Makes the recording of a variant in a folder, where its program is built too."""
    variant = VARIANTS[name]
    command = (*program(variant.program, folder), *variant.arguments)
    file = f"{name.replace(' ', '_')}.data"
    return _WAYS[variant.way](folder, *variant.options, command=command, name=file)


def for_perf(name: str, recording: Path) -> Path:
    """The recording of a variant as perf can read it."""
    return as_finished(recording) if VARIANTS[name].way == "unfinished" else recording


def own_table(profile: PerfProfile, symbolizer: Symbolizer) -> Table:
    """Samples by (event, comm, dso, symbol)."""
    samples = attribute(profile, symbolizer, load_rules(["kernel"])).samples
    table: Table = Counter()
    for event, comm, dso, symbol, count in samples.select("event", "comm", "dso", "symbol", "count").iter_rows():
        table[event, comm, dso, symbol] += count
    return table


def difference(mine: Table, theirs: Table) -> tuple[float, dict[Key, tuple[int, int]]]:
    """Half the sum of absolute differences, as a share of perf's samples, and the rows that differ, of own programs."""
    mine, theirs = (_stubs_joined({k: n for k, n in table.items() if k[1] in OWN_COMMS}) for table in (mine, theirs))
    rows = {k: (mine[k], theirs[k]) for k in {*mine, *theirs} if mine[k] != theirs[k]}
    return sum(abs(one - other) for one, other in rows.values()) / 2 / max(theirs.total(), 1), rows


def _stubs_joined(table: Mapping[Key, int]) -> Table:
    """perf 6.1 gives calls through .plt to _init or to nobody where .plt.got exists; hakprof names the stub."""
    joined: Table = Counter()
    for (event, comm, dso, symbol), count in table.items():
        is_stub = symbol.endswith("@plt") or symbol in {"_init", "[unknown]"}
        joined[event, comm, dso, "[stub]" if is_stub else symbol] += count
    return joined


__all__ = ("VARIANTS", "Key", "Table", "Variant", "difference", "own_table", "perf_table", "record_variant")
