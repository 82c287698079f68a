"""Results, raw runs, gaps to the peers and the best configuration (R1, R2, R3), from plain throughput cells alone."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from hakprof.analysis.inputs import RunData
from hakprof.analysis.labels import allocator_title, variant_title, workload_group, workload_title
from hakprof.analysis.statistics import (
    Estimate,
    Spread,
    geometric_mean,
    mann_whitney_p,
    median_interval,
    median_ratio,
    spread,
)
from hakprof.analysis.wording import configuration, listing
from hakprof.model.run import CEILING, Collector

NOISE_FLOOR = 0.01  # no difference below 1 % is called one: layout and placement alone move that much
SIGNIFICANCE = 0.05

Configuration = tuple[str, str]  # allocator, variant


@dataclass(frozen=True, slots=True)
class ResultRow:
    """Throughput of one allocator and variant on one workload. Ratios are this row's median over the peer's."""

    workload: str
    workload_title: str
    allocator: str
    allocator_title: str
    variant: str
    variant_title: str
    is_subject: bool
    ops_per_second: Estimate
    ns_per_op: float
    runs: Spread
    ratios: Mapping[str, Estimate]  # peer → ratio; the row's own peer is 1
    fastest_peer: str | None
    vs_fastest_peer: Estimate | None
    of_ceiling: float | None  # this row's median over that of an allocator that does nothing


@dataclass(frozen=True, slots=True)
class BestConfiguration:
    """Fastest variant of the subject on one workload, against the default one."""

    workload: str
    workload_title: str
    variant: str
    variant_title: str
    ops_per_second: Estimate
    vs_default: Estimate
    differs: bool  # shown to differ from the default
    considered: int


@dataclass(frozen=True, slots=True)
class GapCell:
    """Geometric mean of the medians over the workloads of a group that every allocator completed."""

    ops_per_second: float
    vs_reference: float


@dataclass(frozen=True, slots=True)
class GapRow:
    allocator: str
    allocator_title: str
    variant: str
    variant_title: str
    is_subject: bool
    cells: Mapping[str, GapCell]  # group → cell; a group without a common workload is missing


@dataclass(frozen=True, slots=True)
class GroupGap:
    """The subject's default variant over the fastest peer of a group, by geometric means."""

    peer: str
    peer_title: str
    ratio: float


@dataclass(frozen=True, slots=True)
class GapTable:
    groups: tuple[str, ...]
    reference: str | None  # the peer that is 100 %
    rows: tuple[GapRow, ...]
    gaps: Mapping[str, GroupGap]  # group → gap; empty without a peer or without the default variant
    left_out: tuple[str, ...]  # "workload: no throughput of …": not every allocator and variant has one there


@dataclass(frozen=True, slots=True)
class Throughput:
    rows: tuple[ResultRow, ...]
    best: tuple[BestConfiguration, ...]
    gaps: GapTable
    reference_peers: tuple[str, ...]  # peers that have a column of their own in the results table
    ceilings: Mapping[str, float]  # workload → operations per second of an allocator that does nothing

    def row(self, workload: str, allocator: str, variant: str = "default") -> ResultRow | None:
        return next(
            (r for r in self.rows if (r.workload, r.allocator, r.variant) == (workload, allocator, variant)), None
        )

    def subject_rows(self, workload: str) -> tuple[ResultRow, ...]:
        return tuple(row for row in self.rows if row.workload == workload and row.is_subject)


def differs(ratio: Estimate, p_value: float) -> bool:
    """Shown to differ: the ratio's interval excludes 1, Mann–Whitney agrees, and it exceeds the noise floor."""
    beyond = abs(ratio.value - 1) > NOISE_FLOOR
    return beyond and not ratio.low <= 1 <= ratio.high and p_value < SIGNIFICANCE


def analyse_throughput(run: RunData) -> Throughput:
    """Every table that rests on the plain throughput cells of ``run``."""
    values = throughput_values(run)
    peers = tuple(name for name in run.allocators if name != run.subject)
    rows = [
        _result_row(run, values[workload], workload, configuration, peers)
        for workload in run.workloads
        for configuration in _configurations(run, values.get(workload, {}), peers)
    ]
    best = [found for workload in run.workloads if (found := _best(run, workload, rows)) is not None]
    ceilings = {
        workload: median_interval(found[CEILING, "default"]).value
        for workload, found in values.items()
        if (CEILING, "default") in found
    }
    return Throughput(tuple(rows), tuple(best), _gap_table(run, rows, peers), peers[:2], ceilings)


def throughput_values(run: RunData) -> dict[str, dict[Configuration, tuple[float, ...]]]:
    """Operations per second, workload → (allocator, variant) → one value per repetition."""
    frame = run.bench_of(Collector.THROUGHPUT).filter(pl.col("ops_per_second") > 0)
    found: dict[str, dict[Configuration, tuple[float, ...]]] = {}
    keys = ["workload", "allocator", "variant"]
    for (workload, allocator, variant), group in frame.sort([*keys, "repetition"]).group_by(keys, maintain_order=True):
        runs = tuple(group["ops_per_second"].to_list())
        found.setdefault(str(workload), {})[str(allocator), str(variant)] = runs
    return found


def _configurations(
    run: RunData, values: Mapping[Configuration, tuple[float, ...]], peers: tuple[str, ...]
) -> list[Configuration]:
    order = [(peer, "default") for peer in peers] + [(run.subject, variant) for variant in run.study.variants]
    return [configuration for configuration in order if configuration in values]


def _result_row(
    run: RunData,
    values: Mapping[Configuration, tuple[float, ...]],
    workload: str,
    configuration: Configuration,
    peers: tuple[str, ...],
) -> ResultRow:
    allocator, variant = configuration
    runs = values[configuration]
    measured = [peer for peer in peers if (peer, "default") in values]
    ratios = {peer: median_ratio(runs, values[peer, "default"]) for peer in measured}
    others = [peer for peer in measured if peer != allocator]
    fastest = max(others, key=lambda peer: (median_interval(values[peer, "default"]).value, peer), default=None)
    estimate = median_interval(runs)
    ceiling = values.get((CEILING, "default"))
    return ResultRow(
        workload=workload,
        workload_title=workload_title(run, workload),
        allocator=allocator,
        allocator_title=allocator_title(run, allocator),
        variant=variant,
        variant_title=variant_title(run, allocator, variant),
        is_subject=allocator == run.subject,
        ops_per_second=estimate,
        ns_per_op=1e9 / estimate.value,
        runs=spread(runs),
        ratios=ratios,
        fastest_peer=fastest,
        vs_fastest_peer=ratios[fastest] if fastest is not None else None,
        of_ceiling=estimate.value / median_interval(ceiling).value if ceiling else None,
    )


def _best(run: RunData, workload: str, rows: list[ResultRow]) -> BestConfiguration | None:
    own = [row for row in rows if row.workload == workload and row.is_subject]
    default = next((row for row in own if row.variant == "default"), None)
    if default is None:
        return None
    best = max(own, key=lambda row: (row.ops_per_second.value, row.variant == "default"))
    ratio = median_ratio(best.runs.values, default.runs.values)
    shown = best is not default and differs(ratio, mann_whitney_p(best.runs.values, default.runs.values))
    return BestConfiguration(
        workload, best.workload_title, best.variant, best.variant_title, best.ops_per_second, ratio, shown, len(own)
    )


def _gap_table(run: RunData, rows: list[ResultRow], peers: tuple[str, ...]) -> GapTable:
    """Only workloads that every allocator completed are averaged: unmatched rows would compare different things."""
    medians = {(row.workload, row.allocator, row.variant): row.ops_per_second.value for row in rows}
    variants = [v for v in run.study.variants if any((w, run.subject, v) in medians for w in run.workloads)]
    columns: list[Configuration] = [
        (p, "default") for p in peers if any((w, p, "default") in medians for w in run.workloads)
    ]
    columns += [(run.subject, variant) for variant in variants]
    complete = [w for w in run.workloads if all((w, *column) in medians for column in columns)]
    groups = tuple(dict.fromkeys(workload_group(run, workload) for workload in complete))
    reference = next((name for name, _ in columns if name != run.subject), None)
    found = [_gap_row(run, column, groups, complete, medians, reference) for column in columns]
    left_out = tuple(_left_out(run, w, columns, medians) for w in run.workloads if w not in complete)
    return GapTable(groups, reference, tuple(found), _group_gaps(found, groups), left_out)


def _left_out(
    run: RunData, workload: str, columns: list[Configuration], medians: Mapping[tuple[str, str, str], float]
) -> str:
    """A workload that is not averaged, and whose throughput it lacks."""
    lacking = [
        configuration(allocator_title(run, allocator), variant_title(run, allocator, variant))
        for allocator, variant in columns
        if (workload, allocator, variant) not in medians
    ]
    return f"{workload_title(run, workload)}: no throughput of {listing(lacking)}"


def _group_gaps(rows: list[GapRow], groups: tuple[str, ...]) -> dict[str, GroupGap]:
    own = next((row for row in rows if row.is_subject and row.variant == "default"), None)
    peers = [row for row in rows if not row.is_subject]
    if own is None or not peers:
        return {}
    gaps = {}
    for group in groups:
        fastest = max(peers, key=lambda row: (row.cells[group].ops_per_second, row.allocator))
        ratio = own.cells[group].ops_per_second / fastest.cells[group].ops_per_second
        gaps[group] = GroupGap(fastest.allocator, fastest.allocator_title, ratio)
    return gaps


def _gap_row(
    run: RunData,
    column: Configuration,
    groups: tuple[str, ...],
    complete: list[str],
    medians: Mapping[tuple[str, str, str], float],
    reference: str | None,
) -> GapRow:
    cells = {}
    for group in groups:
        members = [w for w in complete if workload_group(run, w) == group]
        mean = geometric_mean([medians[w, *column] for w in members])
        base = geometric_mean([medians[w, reference, "default"] for w in members]) if reference else mean
        cells[group] = GapCell(mean, mean / base)
    allocator, variant = column
    return GapRow(
        allocator,
        allocator_title(run, allocator),
        variant,
        variant_title(run, allocator, variant),
        allocator == run.subject,
        cells,
    )
