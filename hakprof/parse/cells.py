"""The text files of a run's cells → one frame per kind. One bad cell is a warning, never the end of the others.

It reads no perf.data; how a cell went is in its CellResult already.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import polars as pl

from hakprof.errors import HakprofError
from hakprof.model import frames
from hakprof.model.run import CellResult, CellStatus, Collector
from hakprof.parse.bench import BenchLine, parse_bench
from hakprof.parse.callgrind import read_callgrind
from hakprof.parse.counters import read_counters
from hakprof.parse.perf_stat import read_perf_stat
from hakprof.parse.routes import read_routes
from hakprof.parse.strace import read_strace
from hakprof.parse.syscall_names import Clock
from hakprof.parse.text import left_out, read_text

RUN_UNIT = "run"  # ops_unit of a program that prints no benchmark line: one operation is one run of it
_CLOCKS: dict[str, Clock] = {"strace_system": "system", "strace_wall": "wall"}


@dataclass(frozen=True, slots=True)
class RouteSample:
    """The first records of one cell's route trace, as written."""

    cell: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CellFrames:
    """Everything the text files of a run say. Rows are sorted by cell; a cell that told nothing has no row."""

    bench: pl.DataFrame  # frames.BENCH
    counters: pl.DataFrame  # frames.COUNTERS
    syscalls: pl.DataFrame  # frames.SYSCALLS
    allocator_counters: pl.DataFrame  # frames.ALLOCATOR_COUNTERS
    instructions: pl.DataFrame  # frames.INSTRUCTIONS
    routes: pl.DataFrame  # frames.ROUTES
    route_samples: tuple[RouteSample, ...]
    warnings: tuple[str, ...]  # "cell: what"


class _HasWarnings(Protocol):
    @property
    def warnings(self) -> tuple[str, ...]: ...


_Read = TypeVar("_Read", bound=_HasWarnings)


@dataclass(slots=True)
class _Collected:
    """What has been read so far."""

    bench: list[dict[str, Any]] = field(default_factory=list)
    counters: list[pl.DataFrame] = field(default_factory=list)
    syscalls: list[pl.DataFrame] = field(default_factory=list)
    allocator_counters: list[pl.DataFrame] = field(default_factory=list)
    instructions: list[pl.DataFrame] = field(default_factory=list)
    routes: list[pl.DataFrame] = field(default_factory=list)
    route_samples: list[RouteSample] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Context:
    """One cell while its files are read: its key, its folder, and the operations that counters are divided by."""

    result: CellResult
    folder: Path
    ops: int | None
    into: _Collected

    def read(self, role: str, reader: Callable[[Path], _Read], *, collector: Collector | None) -> _Read | None:
        """What the reader makes of a role's file. Its faults become warnings, and so does a lack of it.

        Lacking is a fault where the cell's tool is the one that writes the role and the program ended well.
        """
        if self.result.status is CellStatus.TOOL_FAILED:
            return None
        name = self.result.files.get(role)
        if name is None:
            if collector is self.result.cell.collector and self.result.status is CellStatus.OK:
                self.warn(f"no {role} file was stored; left out")
            return None
        try:
            # A stored name is data: it must not lead out of the cell's folder.
            parsed = reader(self.folder / Path(name).name)
        except HakprofError as error:
            self.warn(left_out(error))
            return None
        for warning in parsed.warnings:
            self.warn(warning)
        return parsed

    def warn(self, text: str) -> None:
        self.into.warnings.append(f"{self.result.cell.id}: {text.replace(f'{self.folder}/', '')}")

    def keyed(self, frame: pl.DataFrame, schema: frames.Schema) -> pl.DataFrame:
        """The frame with the cell's key in front, in the schema's order."""
        key = [pl.lit(value, dtype=frames.CELL_KEY[name]).alias(name) for name, value in _key(self.result).items()]
        return frame.with_columns(key).select(schema.keys()).cast(pl.Schema(schema))


@dataclass(frozen=True, slots=True)
class _Output:
    """The benchmark line in a program's output, if it has one."""

    line: BenchLine | None
    warnings: tuple[str, ...] = ()


def _read_output(path: Path) -> _Output:
    return _Output(parse_bench(read_text(path, remedy="collect the cell again"), source=str(path)))


def read_cells(cells: Iterable[tuple[CellResult, Path]], *, must_print: Collection[str] = ()) -> CellFrames:
    """All frames of a run's cells, each given with its folder.

    A workload prints its benchmark line in every cell or in none. Where another cell of it has one, and for the
    workloads of ``must_print`` in any case, a cell without is left out: runs and operations are no one unit.
    """
    into = _Collected()
    contexts = [_Context(*pair, None, into) for pair in sorted(cells, key=lambda pair: pair[0].cell.id)]
    outputs = [context.read("stdout", _read_output, collector=context.result.cell.collector) for context in contexts]
    told = zip(contexts, outputs, strict=True)
    printing = {context.result.cell.workload for context, output in told if output and output.line} | set(must_print)
    for context, output in zip(contexts, outputs, strict=True):
        _read_cell(context, output, printing)
    # The outputs were read first; sorting is stable, so that each cell's warnings stay in their order.
    into.warnings.sort(key=lambda text: text.split(": ", 1)[0])
    return CellFrames(
        bench=pl.DataFrame(into.bench, schema=frames.BENCH),
        counters=_concat(into.counters, frames.COUNTERS),
        syscalls=_concat(into.syscalls, frames.SYSCALLS),
        allocator_counters=_concat(into.allocator_counters, frames.ALLOCATOR_COUNTERS),
        instructions=_concat(into.instructions, frames.INSTRUCTIONS),
        routes=_concat(into.routes, frames.ROUTES),
        route_samples=tuple(into.route_samples),
        warnings=tuple(into.warnings),
    )


def _concat(parts: list[pl.DataFrame], schema: frames.Schema) -> pl.DataFrame:
    return pl.concat(parts) if parts else pl.DataFrame(schema=schema)


def _read_cell(context: _Context, output: _Output | None, printing: Collection[str]) -> None:
    row = _bench_row(context, output, printing)
    if row is not None:
        context.into.bench.append(row)
    context = replace(context, ops=row["ops"] if row else None)
    for reader in (_perf_stat, _strace, _counters, _callgrind, _routes):
        reader(context)


def _key(result: CellResult) -> dict[str, Any]:
    cell = result.cell
    return {
        "cell": cell.id,
        "workload": cell.workload,
        "allocator": cell.allocator,
        "variant": cell.variant,
        "build": cell.build,
        "repetition": cell.repetition,
    }


def _bench_row(context: _Context, output: _Output | None, printing: Collection[str]) -> dict[str, Any] | None:
    """The cell's row of BENCH; None if it has no throughput: the tool failed, or the program did and told nothing."""
    result = context.result
    if output is None or (output.line is None and result.status is not CellStatus.OK):
        return None
    line = output.line
    if line is None and result.cell.workload in printing:
        context.warn("printed no benchmark line; left out — remedy: run the program by itself and look at its output")
        return None
    told = _told(line) if line else _whole_run(result)
    outside = {"collector": result.cell.collector.value, "status": result.status.value, "wall_ns": result.wall_ns}
    row = _key(result) | outside | told
    if row["vm_hwm_bytes"] is None:
        row["vm_hwm_bytes"] = result.vm_hwm_bytes
    return row


_SAME_NAME = (
    "ops",
    "ops_unit",
    "measured_ns",
    "ops_per_second",
    "startup_ns",
    "warmup_ns",
    "malloc_calls",
    "free_calls",
    "total_malloc_calls",
    "total_free_calls",
    "allocator_mode",
    "threads",
    "vm_hwm_bytes",
    "minor_faults",
    "malloc_object",
)


def _told(line: BenchLine) -> dict[str, Any]:
    return {name: getattr(line, name) for name in _SAME_NAME} | {"region_marked": True}


def _whole_run(result: CellResult) -> dict[str, Any]:
    """A program that prints no line: its throughput is runs per second of wall time."""
    rate = 1e9 / result.wall_ns if result.wall_ns > 0 else None
    row: dict[str, Any] = dict.fromkeys(_SAME_NAME)
    known = {"ops": 1, "ops_unit": RUN_UNIT, "measured_ns": result.wall_ns, "ops_per_second": rate}
    return row | known | {"region_marked": False}


def _per_op(column: str, ops: int | None, *, factor: float = 1.0) -> pl.Expr:
    return pl.col(column) * factor / ops if ops else pl.lit(None, dtype=pl.Float64)


def _perf_stat(context: _Context) -> None:
    parsed = context.read("perf_stat", read_perf_stat, collector=Collector.PERF_STAT)
    if parsed is None:
        return
    frame = parsed.frame.with_columns(_per_op("value", context.ops).alias("per_op"))
    context.into.counters.append(context.keyed(frame, frames.COUNTERS))


def _strace(context: _Context) -> None:
    for role, clock in _CLOCKS.items():
        wall_ns = context.result.role_wall_ns.get(role, context.result.wall_ns)
        of_run = pl.col("seconds") * 1e9 / wall_ns if wall_ns > 0 else pl.lit(None, dtype=pl.Float64)
        parsed = context.read(role, partial(read_strace, clock=clock), collector=Collector.STRACE)
        if parsed is None:
            continue
        frame = parsed.frame.with_columns(
            of_run.alias("share_of_run"),
            _per_op("calls", context.ops, factor=1000).alias("calls_per_1000_ops"),
        )
        context.into.syscalls.append(context.keyed(frame, frames.SYSCALLS))


def _counters(context: _Context) -> None:
    parsed = context.read("counters", read_counters, collector=Collector.COUNTERS)
    if parsed is not None:
        context.into.allocator_counters.append(context.keyed(parsed.frame, frames.ALLOCATOR_COUNTERS))


def _callgrind(context: _Context) -> None:
    parsed = context.read("callgrind", read_callgrind, collector=Collector.CALLGRIND)
    if parsed is not None:
        context.into.instructions.append(context.keyed(parsed.frame, frames.INSTRUCTIONS))


def _routes(context: _Context) -> None:
    trace = context.read("route_trace", read_routes, collector=None)
    if trace is not None:
        context.into.routes.append(context.keyed(trace.routes, frames.ROUTES))
        context.into.route_samples.append(RouteSample(context.result.cell.id, trace.sample_lines))
