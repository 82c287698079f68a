"""What the instrumented build counted: stages and SuperSlabs (R7), routes expected and actual (R8), caches, locks.

Counter names are the allocator's own, nested keys joined by "."; an allocator that has none of them has no section.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from hakprof.analysis.inputs import RunData
from hakprof.analysis.labels import workload_title
from hakprof.analysis.statistics import Share, wilson

STAGES: Mapping[str, str] = {
    "stage1": "EMPTY slot reuse (the class's own)",
    "stage2": "UNUSED slot reuse (a shared SuperSlab)",
    "stage3": "new SuperSlab",
}
# The route by which a tiny block's free should find its class, by the way of classification that is configured.
EXPECTED_ROUTE: Mapping[str, str] = {
    "map": "map_fast",
    "header": "header_fast",
    "registry": "ss_hit",
    "dual": "header_fast",
}
CLASSIFY_VARIABLE = "HAKMEM_CLASSIFY"
CLASSIFY_SWITCH = "-DHAK_CLASSIFY="


@dataclass(frozen=True, slots=True)
class CounterSet:
    """Counters of one instrumented run."""

    workload: str
    title: str
    variant: str
    values: Mapping[str, int]
    ops: int | None  # operations in the measured region

    def get(self, counter: str) -> int:
        return self.values.get(counter, 0)

    def group(self, prefix: str) -> dict[str, int]:
        """Counters below ``prefix``, without it."""
        start = f"{prefix}."
        return {name.removeprefix(start): value for name, value in self.values.items() if name.startswith(start)}

    def share(self, counter: str, of: str) -> Share:
        """``counter`` as a share of the sum of the group ``of``."""
        return wilson(self.get(counter), sum(self.group(of).values()))


@dataclass(frozen=True, slots=True)
class StageRow:
    stage: str
    description: str
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class StageTable:
    workload: str
    title: str
    rows: tuple[StageRow, ...]
    total: int
    superslabs: Mapping[str, int]  # created, released, live, peak
    arena: Mapping[str, int]  # address space in pieces of a SuperSlab: reserved, reused, kept, returned


@dataclass(frozen=True, slots=True)
class RouteRow:
    side: str  # "malloc" or "free"
    route: str
    count: int
    share: float
    expected: bool


@dataclass(frozen=True, slots=True)
class RouteTable:
    """Routes of one workload. ``expected`` is the route that tiny frees should take; ``actual`` is their largest."""

    workload: str
    title: str
    rows: tuple[RouteRow, ...]
    configured: str  # "map", "header", "registry"
    expected: str | None
    actual: str | None
    expected_share: Share | None  # of the frees that were classified

    @property
    def as_expected(self) -> bool | None:
        return None if self.expected is None or self.actual is None else self.expected == self.actual


def counter_sets(run: RunData) -> tuple[CounterSet, ...]:
    """Counters of the subject's cells, in the study's order of workloads; of several repetitions the first."""
    found: list[CounterSet] = []
    own = run.allocator_counters.filter(pl.col("allocator") == run.subject).sort("repetition", "cell")
    for workload in run.workloads:
        part = own.filter(pl.col("workload") == workload)
        for cell in dict.fromkeys(part["cell"].to_list()):
            frame = part.filter(pl.col("cell") == cell)
            values = dict(zip(frame["counter"].to_list(), frame["value"].to_list(), strict=True))
            ops = run.bench.filter(pl.col("cell") == cell)["ops"].to_list()
            variant = str(frame["variant"][0])
            if not any((known.workload, known.variant) == (workload, variant) for known in found):
                found.append(
                    CounterSet(workload, workload_title(run, workload), variant, values, ops[0] if ops else None)
                )
    return tuple(found)


def default_counters(sets: tuple[CounterSet, ...], workload: str) -> CounterSet | None:
    return next((one for one in sets if one.workload == workload and one.variant == "default"), None)


def analyse_stages(sets: tuple[CounterSet, ...]) -> tuple[StageTable, ...]:
    """Where refills got their slab from, per workload of the default variant."""
    tables = []
    for one in sets:
        stages = one.group("stages")
        if one.variant != "default" or not stages:
            continue
        total = sum(stages.values())
        rows = [
            StageRow(stage, STAGES.get(stage, ""), count, count / total if total else 0.0)
            for stage, count in sorted(stages.items())
        ]
        superslabs, arena = one.group("superslabs"), one.group("page_arena")
        tables.append(StageTable(one.workload, one.title, tuple(rows), total, superslabs, arena))
    return tuple(tables)


def analyse_routes(run: RunData, sets: tuple[CounterSet, ...]) -> tuple[RouteTable, ...]:
    """Routes of malloc and free, per workload of the default variant, against the configured way of classification."""
    return tuple(_route_table(run, one) for one in sets if one.variant == "default" and one.group("free_routes"))


def _route_table(run: RunData, one: CounterSet) -> RouteTable:
    frees = one.group("free_routes")
    configured = configured_classification(run, one.variant)
    expected = EXPECTED_ROUTE.get(configured)
    classified = {route: frees[route] for route in EXPECTED_ROUTE.values() if route in frees}
    classified_total = sum(classified.values())
    known = expected in frees and classified_total > 0
    actual = max(classified, key=lambda route: (classified[route], route)) if known else None
    return RouteTable(
        workload=one.workload,
        title=one.title,
        rows=(*_route_rows("malloc", one.group("alloc_routes"), None), *_route_rows("free", frees, expected)),
        configured=configured,
        expected=expected if known else None,
        actual=actual,
        expected_share=wilson(frees[expected], classified_total) if known and expected is not None else None,
    )


def _route_rows(side: str, routes: Mapping[str, int], expected: str | None) -> list[RouteRow]:
    total = sum(routes.values())
    rows = [
        RouteRow(side, name, count, count / total if total else 0.0, name == expected) for name, count in routes.items()
    ]
    return sorted(rows, key=lambda row: (-row.count, row.route))


def configured_classification(run: RunData, variant: str) -> str:
    """How a free finds its class: by the variant's environment, else the build's switches, else the side map."""
    chosen = run.project.variants[variant].environment if variant in run.project.variants else {}
    if CLASSIFY_VARIABLE in chosen:
        return chosen[CLASSIFY_VARIABLE]
    build = run.study.instrumented
    switches = run.project.builds[build].switches if build in run.project.builds else ()
    for switch in switches:
        if switch.startswith(CLASSIFY_SWITCH):
            return switch.removeprefix(CLASSIFY_SWITCH).lower().removeprefix("hak_classify_")
    return "map"
