"""Two runs beside one another (F1, F2): what differs around them, what moved, and whether that is more than noise.

``before`` is the base. Rows are matched by name before anything is averaged; what has no partner is listed. The
comparison of (b, a) mirrors that of (a, b), and a run compared with itself shows no difference.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from hakprof.analysis.bundle import Analysis, analyse
from hakprof.analysis.inputs import RunData
from hakprof.analysis.labels import allocator_title, variant_title, workload_title
from hakprof.analysis.layers import ALL, LayerTable
from hakprof.analysis.memory import peak_values
from hakprof.analysis.statistics import (
    Estimate,
    Share,
    geometric_mean,
    mann_whitney_p,
    median_interval,
    median_ratio,
    share_difference,
    wilson,
)
from hakprof.analysis.throughput import differs, throughput_values
from hakprof.analysis.trust import TrustCheck, Verdict

# Calls are counted exactly, but how many a run makes depends on timing a little.
RATE_CHANGE = 0.05
RATE_SIGMAS = 3.0
LEAST_SHARE = 0.002  # layers below this on both sides are left out of the tables


class Change(StrEnum):
    """Verdict on one row. Whether more is better depends on the table: more throughput, less memory."""

    BETTER = "better"
    WORSE = "worse"
    NONE = "no difference shown"
    OTHER_WORK = "not comparable"  # the two sides were given different arguments


@dataclass(frozen=True, slots=True)
class Difference:
    """Something other than the allocator's code that differs, and may explain the rest."""

    kind: str  # "host", "run", "build", "environment", "workload", "trust"
    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class ThroughputChange:
    workload_title: str
    allocator_title: str
    variant_title: str
    is_subject: bool
    before: Estimate
    after: Estimate
    ratio: Estimate  # after / before
    p_value: float
    change: Change


@dataclass(frozen=True, slots=True)
class LayerChange:
    """Share of one layer on one workload. ``delta`` is in shares (0.01 = 1 percentage point)."""

    workload_title: str
    layer: str
    kernel: bool
    before: Share
    after: Share
    delta: float
    delta_low: float
    delta_high: float
    ns_before: float | None
    ns_after: float | None
    moved: bool  # the interval of the difference excludes 0


@dataclass(frozen=True, slots=True)
class SyscallChange:
    workload_title: str
    syscall: str
    calls_before: int
    calls_after: int
    rate_before: float  # per 1,000 operations
    rate_after: float
    change: Change


@dataclass(frozen=True, slots=True)
class MemoryChange:
    workload_title: str
    variant_title: str
    before: Estimate
    after: Estimate
    ratio: Estimate
    change: Change


@dataclass(frozen=True, slots=True)
class Comparison:
    same_run: bool
    same_sources: bool | None  # of the release build; None where they are not known
    differences: tuple[Difference, ...]
    throughput: tuple[ThroughputChange, ...]
    subject_ratio: float  # geometric mean over the matched rows of the subject; nan without any
    peer_ratio: float  # the same of the peers: how far the host itself moved
    layers: tuple[LayerChange, ...]
    syscalls: tuple[SyscallChange, ...]
    memory: tuple[MemoryChange, ...]
    unmatched: tuple[str, ...]

    @property
    def counts(self) -> Mapping[Change, int]:
        """Verdicts on the subject's throughput rows."""
        own = [row.change for row in self.throughput if row.is_subject]
        return {change: own.count(change) for change in Change}

    @property
    def is_judged(self) -> bool:
        """Whether any throughput row of the subject did the same work on both sides."""
        return any(row.is_subject and row.change is not Change.OTHER_WORK for row in self.throughput)

    @property
    def is_worse(self) -> bool:
        """Whether a row of the subject is shown to be worse."""
        rows = [row.change for row in self.throughput if row.is_subject] + [row.change for row in self.memory]
        return Change.WORSE in rows


def compare_runs(before: RunData, after: RunData) -> Comparison:
    """Everything that moved from ``before`` to ``after``."""
    old, new = analyse(before), analyse(after)
    rows, lone = _throughput(before, after)
    syscalls, lone_calls = _syscalls(old, new, before.subject, after.subject)
    layers, lone_layers = _layers(old, new)
    return Comparison(
        same_run=before.manifest == after.manifest and throughput_values(before) == throughput_values(after),
        same_sources=_same_sources(before, after),
        differences=tuple(_differences(before, old, after, new)),
        throughput=rows,
        subject_ratio=geometric_mean([row.ratio.value for row in rows if row.is_subject]),
        peer_ratio=geometric_mean([row.ratio.value for row in rows if not row.is_subject]),
        layers=layers,
        syscalls=syscalls,
        memory=_memory(before, after),
        unmatched=(*lone, *lone_layers, *lone_calls),
    )


def _same_sources(before: RunData, after: RunData) -> bool | None:
    """By the hash that was taken just before each build: a commit's name says nothing of a dirty tree."""
    sides = [
        {build.sources_sha256 for build in run.manifest.builds if build.name == run.study.release}
        for run in (before, after)
    ]
    if any(not hashes or None in hashes for hashes in sides):
        return None
    return sides[0] == sides[1]


def arguments(run: RunData, workload: str) -> str:
    """What the program of a workload was given in the plain runs."""
    told = run.project.workloads[workload]
    args = told.quick_args if run.manifest.quick and told.quick_args is not None else told.args
    return " ".join(args)


def _graded(ratio: Estimate, p_value: float, *, more_is_better: bool, same_work: bool) -> Change:
    if not same_work:
        return Change.OTHER_WORK
    if not differs(ratio, p_value):
        return Change.NONE
    return Change.BETTER if (ratio.value > 1) == more_is_better else Change.WORSE


def _throughput(before: RunData, after: RunData) -> tuple[tuple[ThroughputChange, ...], list[str]]:
    olds, news = _flat(throughput_values(before)), _flat(throughput_values(after))
    rows = []
    for key in _ordered(before, after, olds.keys() & news.keys()):
        workload, allocator, variant = key
        ratio, p_value = median_ratio(news[key], olds[key]), mann_whitney_p(news[key], olds[key])
        rows.append(
            ThroughputChange(
                workload_title(before, workload),
                allocator_title(before, allocator),
                variant_title(before, allocator, variant),
                allocator == before.subject,
                median_interval(olds[key]),
                median_interval(news[key]),
                ratio,
                p_value,
                _graded(
                    ratio,
                    p_value,
                    more_is_better=True,
                    same_work=arguments(before, workload) == arguments(after, workload),
                ),
            )
        )
    lone = [f"throughput of {', '.join(key)}: only {side}" for key, side in _lone(olds, news)]
    return tuple(rows), lone


def _flat(
    values: Mapping[str, Mapping[tuple[str, str], tuple[float, ...]]],
) -> dict[tuple[str, str, str], tuple[float, ...]]:
    return {(workload, *configuration): v for workload, per in values.items() for configuration, v in per.items()}


def _ordered(before: RunData, after: RunData, keys: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """Workloads in the study's order, the subject first; the same for (a, b) and (b, a) where the studies agree."""
    workloads = [*before.workloads, *(name for name in after.workloads if name not in before.workloads)]
    return sorted(keys, key=lambda key: (workloads.index(key[0]), key[1] != before.subject, key))


def _lone(olds: Iterable[tuple[str, ...]], news: Iterable[tuple[str, ...]]) -> list[tuple[tuple[str, ...], str]]:
    old_keys, new_keys = set(olds), set(news)
    found = [(key, "before") for key in old_keys - new_keys] + [(key, "after") for key in new_keys - old_keys]
    return sorted(found)


def _layers(old: Analysis, new: Analysis) -> tuple[tuple[LayerChange, ...], list[str]]:
    olds = {table.workload: table for table in old.layers if table.workload != ALL}
    news = {table.workload: table for table in new.layers if table.workload != ALL}
    rows = [
        change for workload in olds if workload in news for change in _layer_changes(olds[workload], news[workload])
    ]
    lone = [f"layers of {key[0]}: only {side}" for key, side in _lone([(k,) for k in olds], [(k,) for k in news])]
    return tuple(rows), lone


def _layer_changes(old: LayerTable, new: LayerTable) -> list[LayerChange]:
    olds = {(row.layer, row.kernel): row for row in old.rows}
    news = {(row.layer, row.kernel): row for row in new.rows}
    changes = []
    for layer, kernel in olds.keys() | news.keys():
        was, now = olds.get((layer, kernel)), news.get((layer, kernel))
        share_was = was.share if was else wilson(0, old.samples)
        share_now = now.share if now else wilson(0, new.samples)
        if max(share_was.value, share_now.value) < LEAST_SHARE:
            continue
        delta, low, high = share_difference(share_was, share_now)
        ns_was, ns_now = (was.ns_per_op if was else 0.0), (now.ns_per_op if now else 0.0)
        if old.ns_source != new.ns_source:
            ns_was = ns_now = None  # CPU time beside wall time would look like a change
        moved = not low <= 0 <= high
        changes.append(
            LayerChange(old.title, layer, kernel, share_was, share_now, delta, low, high, ns_was, ns_now, moved)
        )
    return sorted(changes, key=lambda one: (-abs(one.delta), one.layer, one.kernel))


def _syscalls(
    old: Analysis, new: Analysis, old_subject: str, new_subject: str
) -> tuple[tuple[SyscallChange, ...], list[str]]:
    olds = {table.workload: table for table in old.syscalls if table.allocator == old_subject}
    news = {table.workload: table for table in new.syscalls if table.allocator == new_subject}
    rows = []
    for workload in (name for name in olds if name in news):
        was, now = olds[workload], news[workload]
        for name in sorted({row.syscall for row in (*was.rows, *now.rows)}):
            rates = was.rate_of(name), now.rate_of(name)
            if rates[0] is not None and rates[1] is not None:
                calls = was.calls_of(name), now.calls_of(name)
                change = _rate_change(calls, (rates[0], rates[1]))
                rows.append(SyscallChange(was.title, name, *calls, rates[0], rates[1], change))
    lone = [f"system calls of {key[0]}: only {side}" for key, side in _lone([(k,) for k in olds], [(k,) for k in news])]
    return tuple(rows), lone


def _rate_change(calls: tuple[int, int], rates: tuple[float, float]) -> Change:
    """Fewer calls are better. Counts scatter by timing, so √n sets what is a change (Poisson)."""
    was, now = rates
    larger = max(was, now)
    beyond = abs(calls[0] - calls[1]) > RATE_SIGMAS * math.sqrt(sum(calls))
    if not larger or abs(now - was) / larger <= RATE_CHANGE or not beyond:
        return Change.NONE
    return Change.BETTER if now < was else Change.WORSE


def _memory(before: RunData, after: RunData) -> tuple[MemoryChange, ...]:
    olds, news = peak_values(before), peak_values(after)
    rows = []
    for key in _ordered(before, after, olds.keys() & news.keys()):
        if key[1] != before.subject:
            continue
        ratio, p_value = median_ratio(news[key], olds[key]), mann_whitney_p(news[key], olds[key])
        rows.append(
            MemoryChange(
                workload_title(before, key[0]),
                variant_title(before, key[1], key[2]),
                median_interval(olds[key]),
                median_interval(news[key]),
                ratio,
                _graded(
                    ratio,
                    p_value,
                    more_is_better=False,
                    same_work=arguments(before, key[0]) == arguments(after, key[0]),
                ),
            )
        )
    return tuple(rows)


def _differences(before: RunData, old: Analysis, after: RunData, new: Analysis) -> Iterable[Difference]:
    """What is not the allocator's code and differs all the same, named before any number."""
    facts_before, facts_after = _surroundings(before), _surroundings(after)
    for key in [*facts_before, *(k for k in facts_after if k not in facts_before)]:
        was, now = facts_before.get(key, "—"), facts_after.get(key, "—")
        if was != now:
            yield Difference(key[0], key[1], was, now)
    yield from _failed_checks(old.trust, new.trust)


def _surroundings(run: RunData) -> dict[tuple[str, str], str]:
    host, manifest = run.manifest.host, run.manifest
    facts = {
        ("host", "kernel"): host.kernel,
        ("host", "CPU"): f"{host.cpus} × {host.cpu_model}",
        ("host", "memory"): str(host.memory_bytes),
        ("host", "hypervisor"): host.hypervisor or "none",
        ("host", "C library"): host.libc,
        ("host", "transparent huge pages"): host.transparent_hugepages or "unknown",
        ("workload", "quick runs"): "yes" if manifest.quick else "no",
        ("run", "finished"): "yes" if manifest.finished_utc else "no",
    }
    facts |= {("host", f"tool {tool}"): version for tool, version in sorted(host.tools.items())}
    for build in manifest.builds:
        strings = [binary.build_string for _, binary in sorted(build.binaries.items()) if binary.build_string]
        for key in ("compiler", "flags", "switches"):
            if strings and key in strings[0]:
                facts["build", f"{build.name}: {key}"] = strings[0][key]
    for name, variant in sorted(run.project.variants.items()):
        if variant.environment:
            settings = " ".join(f"{key}={value}" for key, value in sorted(variant.environment.items()))
            facts["environment", f"variant {name}"] = settings
    for name in run.workloads:
        facts["workload", f"arguments of {name}"] = arguments(run, name)
    return facts


def _failed_checks(old: tuple[TrustCheck, ...], new: tuple[TrustCheck, ...]) -> Iterable[Difference]:
    """A failed check on either side concerns the comparison, also where both failed."""
    verdicts = {check.id: check for check in old}
    for check in new:
        was = verdicts.get(check.id)
        sides = ((was.verdict if was else Verdict.UNKNOWN), check.verdict)
        if Verdict.FAIL in sides and sides[0] != sides[1]:
            yield Difference("trust", f"{check.id} ({check.title})", str(sides[0]), str(sides[1]))
