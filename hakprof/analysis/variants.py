"""The subject's variants beside the default (R9): speed, instructions, page faults, and the counters that moved."""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from hakprof.analysis.allocator_counters import CounterSet
from hakprof.analysis.inputs import RunData
from hakprof.analysis.instructions import instructions_of
from hakprof.analysis.labels import variant_title, workload_title
from hakprof.analysis.statistics import Estimate, mann_whitney_p, median_ratio
from hakprof.analysis.throughput import Throughput, differs

DEFAULT = "default"
MOST_COUNTERS = 6
LEAST_COUNT = 10  # a counter that stays below it in every variant tells nothing
NOT_COUNTS = ("pid", "bytes", "_ns")  # endings of names of what is no number of events


@dataclass(frozen=True, slots=True)
class VariantRow:
    """One variant on one workload. Counts are per operation, ``moved`` in the order of the table's counters."""

    variant: str
    variant_title: str
    vs_default: Estimate | None
    differs: bool  # shown to differ from the default in throughput
    instructions_per_pair: float | None
    page_faults: float | None
    moved: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class VariantTable:
    workload: str
    title: str
    counters: tuple[str, ...]  # those of the allocator's own that differ most between the variants
    rows: tuple[VariantRow, ...]


def analyse_variants(run: RunData, throughput: Throughput, sets: Sequence[CounterSet]) -> tuple[VariantTable, ...]:
    """A table per workload of a study that asks tools of each variant (``each_variant``); none otherwise."""
    if not run.study.each_variant or len(run.study.variants) < 2:
        return ()
    return tuple(_table(run, throughput, sets, workload) for workload in run.workloads)


def _table(run: RunData, throughput: Throughput, sets: Sequence[CounterSet], workload: str) -> VariantTable:
    counted = {one.variant: _per_operation(one) for one in sets if one.workload == workload and one.ops}
    counters = _most_moved([one for one in sets if one.workload == workload and one.ops])
    rows = (_row(run, throughput, workload, variant, counters, counted) for variant in run.study.variants)
    return VariantTable(workload, workload_title(run, workload), counters, tuple(rows))


def _per_operation(one: CounterSet) -> dict[str, float]:
    return {name: value / one.ops for name, value in one.values.items()} if one.ops else {}


def _most_moved(sets: Sequence[CounterSet]) -> tuple[str, ...]:
    """Counters by the part of them that moves between variants; that of many events weighs more, by its digits."""
    if len(sets) < 2:
        return ()
    moves = dict(_moves(sets))
    largest = sorted(moves, key=lambda name: (-moves[name], name))[:MOST_COUNTERS]
    return tuple(sorted(largest))


def _moves(sets: Sequence[CounterSet]) -> Iterator[tuple[str, float]]:
    for name in sorted({name for one in sets for name in one.values}):
        values = [one.get(name) for one in sets]
        most, move = max(values), max(values) - min(values)
        if most >= LEAST_COUNT and move > 0 and not name.endswith(NOT_COUNTS):
            yield name, move / most * math.log10(1 + move)


def _row(
    run: RunData,
    throughput: Throughput,
    workload: str,
    variant: str,
    counters: Sequence[str],
    counted: Mapping[str, Mapping[str, float]],
) -> VariantRow:
    ratio, shown = _against_default(run, throughput, workload, variant)
    executed = instructions_of(run, workload, run.subject, variant)
    values = counted.get(variant, {})
    return VariantRow(
        variant,
        variant_title(run, run.subject, variant),
        ratio,
        shown,
        executed.total_per_pair if executed is not None else None,
        _page_faults(run, workload, variant),
        tuple(values.get(name, 0.0) if values else None for name in counters),
    )


def _against_default(run: RunData, throughput: Throughput, workload: str, variant: str) -> tuple[Estimate | None, bool]:
    """Ratio of the medians, and whether a difference is shown."""
    own, default = (throughput.row(workload, run.subject, name) for name in (variant, DEFAULT))
    if own is None or default is None or variant == DEFAULT:
        return None, False
    ratio = median_ratio(own.runs.values, default.runs.values)
    return ratio, differs(ratio, mann_whitney_p(own.runs.values, default.runs.values))


def _page_faults(run: RunData, workload: str, variant: str) -> float | None:
    faults = run.counters.filter(
        (pl.col("workload") == workload)
        & (pl.col("allocator") == run.subject)
        & (pl.col("variant") == variant)
        & (pl.col("event") == "page-faults")
    )["per_op"].drop_nulls()
    values = [float(value) for value in faults.to_list()]
    return statistics.median(values) if values else None
