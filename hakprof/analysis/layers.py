"""Where the time goes (R5, P7): samples per layer with intervals, kernel and user, and what caused the kernel's part.

Shares are shares of the samples of the time event, counted, not weighted by period: perf adapts the period so that
samples are about evenly spaced in time. They sum to 100 % by construction, because every sample has one self layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

import polars as pl

from hakprof.analysis.inputs import RunData
from hakprof.analysis.labels import layer_meaning, workload_title
from hakprof.analysis.statistics import Share, wilson
from hakprof.analysis.throughput import Throughput
from hakprof.layers import load_rules
from hakprof.model.run import Collector

UNATTRIBUTED = "unattributed"
NO_USER_FRAME = "(no user frame)"
NO_CHAINS = "unknown: no call chains"  # stands for it where none was recorded
ALL = "*"  # the table over all workloads
ASYNCHRONOUS = ("clock_interrupt", "scheduler")  # kernel layers that interrupt whatever happens to run
FEWEST_SAMPLES = 5  # of a layer, to be divided by cause or function; a division of fewer says nothing
FAULT_EVENT = "page-faults"
CPU_EVENT, CPU_UNIT = "task-clock", "msec"  # perf stat's CPU time of all threads
WHOLE_OBJECTS = ("benchmark", "libc")  # layers that are meant to be an object: what is in it needs no names

# What ns/op was made of: CPU time that perf stat counted, or threads × wall time, which holds all waiting as well.
NsSource = Literal["task-clock", "wall"]


@dataclass(frozen=True, slots=True)
class Location:
    """A function, and a source line where known, that holds samples of a layer."""

    function: str
    file: str | None
    line: int | None
    dso: str | None
    samples: int


@dataclass(frozen=True, slots=True)
class LayerRow:
    layer: str
    meaning: str  # in a few words; empty where the name says it
    kernel: bool
    share: Share
    ns_per_op: float | None  # share × time of one operation (LayerTable.ns_source says which); None where not known


@dataclass(frozen=True, slots=True)
class Cause:
    """Kernel samples of ``layer`` that the user layer ``caused_by`` asked for; ``share`` is of that kernel layer."""

    layer: str
    caused_by: str
    share: Share


@dataclass(frozen=True, slots=True)
class FaultRow:
    """Page faults that code of a layer ran into. The event samples where the page is touched, not the handler."""

    layer: str
    faults: int  # samples × period: about so many
    share: Share  # of the samples of the event


@dataclass(frozen=True, slots=True)
class LayerTable:
    workload: str  # ALL for the sum over the workloads
    title: str
    allocator: str
    variant: str
    samples: int
    rows: tuple[LayerRow, ...]  # largest first, the unattributed row last
    kernel: Share
    causes: tuple[Cause, ...]
    faults: tuple[FaultRow, ...]  # empty where the event was not recorded
    unattributed_symbols: tuple[Location, ...]
    ns_source: NsSource | None = None  # None where no row has ns_per_op

    def share_of(self, *layers: str) -> Share:
        """Share of several layers together."""
        return wilson(sum(row.share.count for row in self.rows if row.layer in layers), self.samples)

    def row(self, layer: str) -> LayerRow | None:
        return next((row for row in self.rows if row.layer == layer), None)


def analyse_layers(run: RunData, throughput: Throughput) -> tuple[LayerTable, ...]:
    """One table per recorded workload of the subject's default variant, and one over all if there are several."""
    subject = (pl.col("allocator") == run.subject) & (pl.col("variant") == "default")
    own = run.time_samples().filter(subject)
    faults = run.samples.filter(subject & pl.col("event").str.starts_with(FAULT_EVENT))
    tables = []
    for workload in run.workloads:
        this = pl.col("workload") == workload
        part = own.filter(this)
        if part["count"].sum():
            tables.append(_table(run, part, faults.filter(this), workload, ns_per_op(run, throughput, workload)))
    if len(tables) > 1:
        tables.append(_table(run, own, faults, ALL, (None, None)))
    return tuple(tables)


def ns_per_op(run: RunData, throughput: Throughput, workload: str) -> tuple[float | None, NsSource | None]:
    """Time of one operation of the subject's default variant, and what it is.

    Samples are taken while a thread has a CPU, so shares belong to CPU time: perf stat's task-clock where it was
    counted. Otherwise threads × wall time of the plain runs, which is more wherever a thread waits or is held up.
    """
    is_own = (pl.col("workload") == workload) & (pl.col("allocator") == run.subject) & (pl.col("variant") == "default")
    counted = (pl.col("event") == CPU_EVENT) & (pl.col("unit") == CPU_UNIT)
    cpu_msec = run.counters.filter(is_own & counted)["per_op"].median()
    if isinstance(cpu_msec, float):
        return cpu_msec * 1e6, "task-clock"
    row = throughput.row(workload, run.subject)
    if row is None:
        return None, None
    largest = run.bench_of(Collector.THROUGHPUT).filter(is_own)["threads"].max()
    return row.ns_per_op * (largest if isinstance(largest, int) else 1), "wall"


def catch_all_layers(run: RunData) -> frozenset[str]:
    """Layers that take what no rule names in an object: such a name says where samples are, not what the code does."""
    return load_rules(run.project.catalogues, run.project.layers).catch_all - set(WHOLE_OBJECTS)


def layer_locations(run: RunData, workload: str, layer: str, *, most: int = 3) -> tuple[Location, ...]:
    """Functions that hold the samples of ``layer``, each with its hottest line."""
    own = run.time_samples().filter(
        (pl.col("allocator") == run.subject) & (pl.col("variant") == "default") & (pl.col("self_layer") == layer)
    )
    if workload != ALL:
        own = own.filter(pl.col("workload") == workload)
    by_function = largest_first(own, ["function", "dso"])
    lines = _hottest_lines(run, workload, layer)
    return tuple(
        Location(function, *_place(run, lines.get(function)), dso, count)
        for function, dso, count in by_function.head(most).iter_rows()
    )


def hottest_line(run: RunData, workload: str, layer: str) -> tuple[Location, Share] | None:
    """The source line that holds most samples of ``layer``, and its share of them; None without a line table."""
    lines = _lines(run, workload, layer)
    placed = largest_first(lines.drop_nulls(["file", "line"]), ["function", "file", "line"])
    if not placed.height:
        return None
    function, file, line, count = placed.row(0)
    return Location(function, *_place(run, (file, line)), None, count), wilson(count, int(lines["count"].sum()))


def _lines(run: RunData, workload: str, layer: str) -> pl.DataFrame:
    """Samples of time by line: a recording may hold other events, which are no time."""
    own = run.time_only(run.lines).filter(
        (pl.col("allocator") == run.subject) & (pl.col("variant") == "default") & (pl.col("layer") == layer)
    )
    return own if workload == ALL else own.filter(pl.col("workload") == workload)


def _hottest_lines(run: RunData, workload: str, layer: str) -> dict[str, tuple[str | None, int | None]]:
    found: dict[str, tuple[str | None, int | None]] = {}
    for function, file, line, _ in largest_first(
        _lines(run, workload, layer), ["function", "file", "line"]
    ).iter_rows():
        found.setdefault(function, (file, line))
    return found


def _place(run: RunData, place: tuple[str | None, int | None] | None) -> tuple[str | None, int | None]:
    """File and line; the file from the build's source folder on, because what is above it is this machine's affair."""
    file, line = place or (None, None)
    if file is None:
        return None, None
    for build in run.project.builds.values():
        folder = PurePosixPath(build.source).name
        before, found, below = file.rpartition(f"/{folder}/")
        if found and before != file:
            return f"{folder}/{below}", line
    return "/".join(PurePosixPath(file).parts[-2:]), line


def largest_first(frame: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Samples added up by ``keys``, largest first, ties by name."""
    summed = frame.group_by(keys).agg(pl.col("count").sum())
    return summed.sort(["count", *keys], descending=[True, *(False for _ in keys)], nulls_last=True)


def _table(
    run: RunData,
    samples: pl.DataFrame,
    faults: pl.DataFrame,
    workload: str,
    time_per_op: tuple[float | None, NsSource | None],
) -> LayerTable:
    total = int(samples["count"].sum())
    ns, source = time_per_op
    rows = []
    for layer, kernel, count in largest_first(samples, ["self_layer", "kernel"]).iter_rows():
        share = wilson(count, total)
        rows.append(LayerRow(layer, layer_meaning(run.layer_titles, layer), kernel, share, ns and share.value * ns))
    rows = [row for row in rows if row.layer != UNATTRIBUTED] + _unattributed(rows, total, ns)
    kernel_count = int(samples.filter(pl.col("kernel"))["count"].sum())
    return LayerTable(
        workload=workload,
        title="all workloads together" if workload == ALL else workload_title(run, workload),
        allocator=run.subject,
        variant="default",
        samples=total,
        rows=tuple(rows),
        kernel=wilson(kernel_count, total),
        causes=causes_of(samples),
        faults=faults_of(faults),
        unattributed_symbols=largest_symbols(samples.filter(pl.col("self_layer") == UNATTRIBUTED)),
        ns_source=source,
    )


def _unattributed(rows: list[LayerRow], total: int, ns_per_op: float | None) -> list[LayerRow]:
    """The row is shown even when empty: a reader must see that nothing was left over."""
    found = [row for row in rows if row.layer == UNATTRIBUTED]
    if found:
        return found
    return [LayerRow(UNATTRIBUTED, "no rule names it", False, wilson(0, total), ns_per_op and 0.0)]


def causes_of(samples: pl.DataFrame, *, none: str = NO_USER_FRAME) -> tuple[Cause, ...]:
    """Causes of the kernel layers that user code enters by itself: nobody causes a timer interrupt.

    ``none`` is how samples without a user frame in their chain are called.
    """
    kernel = samples.filter(pl.col("kernel") & ~pl.col("self_layer").is_in(ASYNCHRONOUS))
    counts = kernel.group_by("self_layer").agg(pl.col("count").sum())
    totals = dict(counts.filter(pl.col("count") >= FEWEST_SAMPLES).iter_rows())
    kernel = kernel.filter(pl.col("self_layer").is_in(list(totals)))
    kernel = kernel.with_columns(pl.col("caused_layer").fill_null(none))
    largest = largest_first(kernel, ["self_layer", "caused_layer"])
    found = [Cause(layer, cause, wilson(count, totals[layer])) for layer, cause, count in largest.iter_rows()]
    return tuple(sorted(found, key=lambda c: (-totals[c.layer], c.layer, -c.share.count, c.caused_by)))


def faults_of(samples: pl.DataFrame) -> tuple[FaultRow, ...]:
    """By the user layer: a fault that the kernel itself ran into (copying to a user's buffer) is its caller's."""
    layer = pl.coalesce("caused_layer", "self_layer").alias("layer")
    summed = samples.with_columns(layer).group_by("layer").agg(pl.col("count").sum(), pl.col("period").sum())
    total = int(summed["count"].sum())
    rows = summed.sort(["count", "layer"], descending=[True, False]).iter_rows()
    return tuple(FaultRow(name, faults, wilson(count, total)) for name, count, faults in rows)


def largest_symbols(samples: pl.DataFrame, *, most: int = 5) -> tuple[Location, ...]:
    """The symbols that hold most of the samples."""
    largest = largest_first(samples, ["symbol", "dso"]).head(most)
    return tuple(Location(symbol, None, None, dso, count) for symbol, dso, count in largest.iter_rows())
