"""Builders of whole runs in memory: small literals in, :class:`RunData` out. Values are chosen, not measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from hakprof.analysis.inputs import LINES, STACKS, ProfileFacts, RunData
from hakprof.model.frames import ALLOCATOR_COUNTERS, BENCH, COUNTERS, SAMPLES, SYSCALLS
from hakprof.model.run import (
    BinaryInfo,
    BuildInfo,
    Capability,
    Cell,
    CellResult,
    CellStatus,
    Collector,
    Host,
    Manifest,
    Skipped,
)
from hakprof.project.load import parse_project

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SOURCES = "5" * 64
LIBRARY = "/store/build/release/lib/libdemo.so"
LIBRARY_ID = "aa" * 20
INSTRUMENTED_ID = "bb" * 20

PROJECT = """
[project]
name = "demo"
title = "Demo"
default_study = "bottleneck"
library = "lib/libdemo.so"
ceiling = "lib/libnull.so"

[builds.release]
source = "native"
command = ["make"]

[builds.instrumented]
source = "native"
flavour = "instrumented"
command = ["make"]

[workloads.small]
title = "small blocks"
group = "Tiny"
program = "bin/small"
args = ["--ops", "1000000"]
unit = "pair"
region = true

[workloads.large]
title = "large blocks"
group = "Large"
program = "bin/large"
args = ["--ops", "1000000"]
unit = "pair"
region = true

[variants.default]
title = "default"

[variants.direct]
title = "linked directly"
link = "direct"

[peers.system]
title = "system malloc"

[peers.mimalloc]
title = "mimalloc"
library = "libmimalloc.so.2"

[studies.bottleneck]
title = "Bottleneck analysis"
workloads = ["small", "large"]
variants = ["default", "direct"]
peers = ["system", "mimalloc"]
repetitions = 7
"""

BUILD_STRING = {
    "project": "demo",
    "commit": COMMIT,
    "dirty": "0",
    "flavour": "release",
    "switches": "",
    "compiler": "gcc 12.2",
    "flags": "-O2 -g",
    "sources": SOURCES,
}

RELEASE = BinaryInfo(path=LIBRARY, build_id=LIBRARY_ID, build_string=BUILD_STRING, size_bytes=4096)
DIRECT = BinaryInfo(
    path="/store/build/release/bin/small_demo", build_id="dd" * 20, build_string=BUILD_STRING, size_bytes=4096
)
INSTRUMENTED = BinaryInfo(
    path="/store/build/instrumented/lib/libdemo.so",
    build_id=INSTRUMENTED_ID,
    build_string=BUILD_STRING | {"flavour": "instrumented"},
    size_bytes=4096,
)
MIMALLOC = BinaryInfo(path="/usr/lib/libmimalloc.so.2", build_id="cc" * 20)
PROGRAM = BinaryInfo(path="/store/build/release/bin/small", build_id="ee" * 20, build_string=BUILD_STRING)

HOST = Host(
    kernel="6.1.0",
    machine="x86_64",
    cpu_model="Example CPU",
    cpus=2,
    memory_bytes=4 << 30,
    hypervisor=None,
    libc="glibc 2.36",
    transparent_hugepages="madvise",
    tools={"perf": "perf version 6.1", "strace": "strace 6.1"},
)


@dataclass
class RunBuilder:
    """Collects cells; :meth:`build` makes the run. Everything defaults to a healthy run."""

    project_text: str = PROJECT
    commit: str | None = COMMIT
    dirty: bool = False
    quick: bool = False
    host: Host = HOST
    name: str = "20250101T000000Z-01234567-bottleneck"
    capabilities: tuple[Capability, ...] = (Capability(name="perf", available=True, detail="6.1"),)
    skipped: tuple[Skipped, ...] = ()
    warnings: tuple[str, ...] = ()
    results: list[CellResult] = field(default_factory=list)
    planned: list[Cell] = field(default_factory=list)
    bench: list[dict[str, Any]] = field(default_factory=list)
    counters: list[dict[str, Any]] = field(default_factory=list)
    syscalls: list[dict[str, Any]] = field(default_factory=list)
    allocator_counters: list[dict[str, Any]] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    stacks: list[dict[str, Any]] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    profiles: list[ProfileFacts] = field(default_factory=list)

    def cell(
        self,
        collector: Collector,
        workload: str = "small",
        allocator: str = "demo",
        *,
        variant: str = "default",
        repetition: int = 0,
        status: CellStatus = CellStatus.OK,
        malloc_object: str | None = "expected",
        preload: BinaryInfo | None = None,
        **bench: Any,
    ) -> Cell:
        """One cell with its result and, where it ended well, its benchmark line."""
        build = "-" if allocator != "demo" else "instrumented" if collector == Collector.COUNTERS else "release"
        cell = Cell(
            workload=workload,
            allocator=allocator,
            variant=variant,
            build=build,
            collector=collector,
            repetition=repetition,
        )
        binary = PROGRAM if variant != "direct" else DIRECT
        if preload is None and variant != "direct":
            own = INSTRUMENTED if build == "instrumented" else RELEASE
            preload = {"demo": own, "mimalloc": MIMALLOC}.get(allocator)
        program = (binary.path, "--ops", "1000000")
        self.results.append(
            CellResult(
                cell=cell,
                status=status,
                exit_code=0 if status == CellStatus.OK else None,
                signal="SIGSEGV" if status == CellStatus.CRASHED else None,
                command=program,
                program=program,
                binary=binary,
                preload=preload,
                started_utc="2025-01-01T00:00:00Z",
                wall_ns=1_100_000_000,
                output_tail="[demo] fatal signal 11\n" if status == CellStatus.CRASHED else "",
            )
        )
        self.planned.append(cell)
        if status == CellStatus.OK:
            if malloc_object == "expected":
                served = preload or (binary if variant == "direct" else None)
                malloc_object = served.path if served else "/lib/x86_64-linux-gnu/libc.so.6"
            self.bench.append(_bench_row(cell, malloc_object, bench))
        return cell

    def throughput(
        self,
        mops: Sequence[float],
        workload: str = "small",
        allocator: str = "demo",
        *,
        variant: str = "default",
        **bench: Any,
    ) -> "RunBuilder":
        """Plain runs, one per value (in M ops/s)."""
        for repetition, value in enumerate(mops):
            rate = value * 1e6
            self.cell(
                Collector.THROUGHPUT,
                workload,
                allocator,
                variant=variant,
                repetition=repetition,
                **({"ops_per_second": rate, "measured_ns": round(20_000_000 / rate * 1e9)} | bench),
            )
        return self

    def recording(
        self,
        layers: Mapping[str, int],
        workload: str = "small",
        *,
        causes: Mapping[str, str | None] | None = None,
        event: str = "cpu-clock",
        build_ids: Mapping[str, str] | None = None,
        **facts: Any,
    ) -> "RunBuilder":
        """perf record of the subject: samples per layer; a name with "k:" in front is a kernel layer."""
        cell = self.cell(Collector.PERF_RECORD, workload, ops_per_second=99e6, measured_ns=200_000_000)
        key = _key(cell)
        for name, count in layers.items():
            kernel, layer = name.startswith("k:"), name.removeprefix("k:")
            caused = (causes or {}).get(layer, "tiny_alloc_fast") if kernel else layer
            dso = "[kernel.kallsyms]" if kernel else "/usr/bin/small" if layer == "benchmark" else LIBRARY
            row = {"event": event, "pid": 1, "tid": 1, "comm": "small", "dso": dso, "symbol": f"{layer}_symbol"}
            row |= {"function": f"{layer}_function", "kernel": kernel, "self_layer": layer, "caused_layer": caused}
            self.samples.append(key | row | {"count": count, "period": count * 1_001_001})
            line = {"event": event, "layer": layer, "function": f"{layer}_function", "file": f"{layer}.c", "line": 7}
            self.lines.append(key | line | {"count": count})
            entry = ["asm_exc_page_fault", f"{layer}_function"] if kernel else [f"{layer}_function"]
            frames = ["main", "malloc", *entry]
            self.stacks.append(key | {"event": event, "frames": frames, "layer": layer, "count": count})
        ids = {LIBRARY: LIBRARY_ID} if build_ids is None else build_ids
        self.profiles.append(ProfileFacts(cell.id, event, sum(layers.values()), build_ids=dict(ids), **facts))
        return self

    def traced(
        self, calls: Mapping[str, tuple[int, float, float]], workload: str = "small", allocator: str = "demo"
    ) -> "RunBuilder":
        """strace: call → (calls, kernel seconds, wall seconds)."""
        cell = self.cell(Collector.STRACE, workload, allocator, ops_per_second=80e6)
        for index, clock in ((1, "system"), (2, "wall")):
            total = sum(values[index] for values in calls.values())
            for name, values in calls.items():
                seconds = values[index]
                row = {"clock": clock, "syscall": name, "category": "memory", "waiting": False, "calls": values[0]}
                row |= {"errors": 0, "seconds": seconds, "usec_per_call": seconds * 1e6 / values[0]}
                row |= {"share_of_syscall_time": seconds / total if total else 0.0, "share_of_run": seconds / 1.1}
                self.syscalls.append(_key(cell) | row | {"calls_per_1000_ops": values[0] / 20_000})
        return self

    def counted(self, counters: Mapping[str, int], workload: str = "small", **bench: Any) -> "RunBuilder":
        """Counters of the instrumented build."""
        cell = self.cell(Collector.COUNTERS, workload, **({"ops_per_second": 90e6} | bench))
        for name, value in counters.items():
            self.allocator_counters.append(_key(cell) | {"counter": name, "value": value})
        return self

    def perf_stat(self, per_op: Mapping[str, float], workload: str = "small", **bench: Any) -> "RunBuilder":
        """perf stat of the subject: events per operation of 20 million; task-clock in msec, as perf gives it."""
        cell = self.cell(Collector.PERF_STAT, workload, **({"ops_per_second": 98e6} | bench))
        for event, value in per_op.items():
            unit = "msec" if event == "task-clock" else ""
            row = {"event": event, "value": value * 20e6, "unit": unit, "running_share": 1.0, "per_op": value}
            self.counters.append(_key(cell) | row)
        return self

    def build(self) -> RunData:
        project = parse_project(self.project_text, source="test")
        binaries = {"lib/libdemo.so": RELEASE, "bin/small": PROGRAM, "bin/small_demo": DIRECT}
        manifest = Manifest(
            hakprof_version="0.1.0",
            project="demo",
            subject="demo",
            study="bottleneck",
            created_utc="2025-01-01T00:00:00Z",
            finished_utc="2025-01-01T00:05:00Z",
            commit=self.commit,
            dirty=self.dirty,
            command_line=("hakprof", "collect"),
            quick=self.quick,
            host=self.host,
            capabilities=self.capabilities,
            builds=(
                BuildInfo(name="release", out="/store/build/release", sources_sha256=SOURCES, binaries=binaries),
                BuildInfo(
                    name="instrumented",
                    out="/store/build/instrumented",
                    sources_sha256=SOURCES,
                    binaries={"lib/libdemo.so": INSTRUMENTED},
                ),
            ),
            cells=tuple(self.planned),
            skipped=self.skipped,
            project_file=self.project_text,
        )
        return RunData(
            name=self.name,
            manifest=manifest,
            project=project,
            results=tuple(sorted(self.results, key=lambda result: result.cell.id)),
            bench=pl.DataFrame(self.bench, schema=BENCH),
            counters=pl.DataFrame(self.counters, schema=COUNTERS),
            syscalls=pl.DataFrame(self.syscalls, schema=SYSCALLS),
            allocator_counters=pl.DataFrame(self.allocator_counters, schema=ALLOCATOR_COUNTERS),
            samples=pl.DataFrame(self.samples, schema=SAMPLES),
            stacks=pl.DataFrame(self.stacks, schema=STACKS),
            lines=pl.DataFrame(self.lines, schema=LINES),
            profiles=tuple(self.profiles),
            warnings=self.warnings,
        )


def healthy(scale: float = 1.0) -> RunBuilder:
    """A run with every collector, in which nothing is wrong. ``scale`` multiplies the subject's throughput."""
    builder = RunBuilder()
    wobble = (1.0, 1.01, 0.99, 1.005, 0.995, 1.008, 0.992)
    for workload in ("small", "large"):
        builder.throughput([50 * w for w in wobble], workload, "system", vm_hwm_bytes=4 << 20)
        builder.throughput([80 * w for w in wobble], workload, "mimalloc", vm_hwm_bytes=6 << 20)
        builder.throughput([100 * w * scale for w in wobble], workload, vm_hwm_bytes=5 << 20)
        builder.throughput([110 * w * scale for w in wobble], workload, variant="direct", vm_hwm_bytes=5 << 20)
        layers = {"benchmark": 700, "tiny_alloc_fast": 60, "tiny_free_fast": 70, "libc": 10, "k:page_fault": 5}
        builder.recording(layers, workload)
        builder.traced({"mmap": (30, 0.0003, 0.001), "futex": (36, 0.002, 0.003)}, workload)
        builder.traced({"mmap": (40, 0.0004, 0.001), "brk": (12, 0.0001, 0.0002)}, workload, "system")
        builder.perf_stat({"task-clock": 1e-5, "page-faults": 0.0001, "minor-faults": 0.0001}, workload)
        builder.counted(HEALTHY_COUNTERS, workload)
    return builder


HEALTHY_COUNTERS = {
    "calls.malloc": 20_004_096,
    "calls.free": 20_004_096,
    "alloc_routes.front_hit": 19_900_000,
    "alloc_routes.refill": 100_000,
    "alloc_routes.mid": 4_096,
    "free_routes.map_fast": 20_000_000,
    "free_routes.header_fast": 0,
    "free_routes.ss_hit": 0,
    "free_routes.mid": 4_096,
    "stages.stage1": 105,
    "stages.stage2": 2_117,
    "stages.stage3": 69,
    "superslabs.created": 69,
    "superslabs.released": 0,
    "superslabs.peak": 69,
    "page_arena.reserved": 69,
    "page_arena.reused": 3,
    "page_arena.kept": 4,
    "page_arena.returned": 1,
    "locks.shared_pool.acquired": 2_291,
    "locks.shared_pool.contended": 0,
    "locks.shared_pool.wait_ns": 0,
    "fallback.libc_alloc": 0,
    "os.peak_mapped_bytes": 64 << 20,
}


def with_frames(run: RunData, **frames: pl.DataFrame) -> RunData:
    """The run with some of its frames exchanged."""
    return replace(run, **frames)  # type: ignore[arg-type]


def _key(cell: Cell) -> dict[str, Any]:
    names = ("workload", "allocator", "variant", "build", "repetition")
    return {"cell": cell.id} | {name: getattr(cell, name) for name in names}


def _bench_row(cell: Cell, malloc_object: str | None, given: Mapping[str, Any]) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "collector": cell.collector.value,
        "status": "ok",
        "ops": 20_000_000,
        "ops_unit": "pair",
        "measured_ns": 200_000_000,
        "ops_per_second": 100e6,
        "startup_ns": 2_000_000,
        "warmup_ns": 1_000_000,
        "wall_ns": 1_100_000_000,
        "malloc_calls": 20_000_000,
        "free_calls": 20_000_000,
        "total_malloc_calls": 20_004_096,
        "total_free_calls": 20_004_096,
        "allocator_mode": "real",
        "threads": 1,
        "vm_hwm_bytes": 5 << 20,
        "minor_faults": 10,
        "malloc_object": malloc_object,
        "region_marked": True,
    }
    return _key(cell) | defaults | dict(given)
