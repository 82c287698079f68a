"""T8: what the tools themselves cost: throughput under each tool against the plain runs."""

from dataclasses import dataclass

import polars as pl

from hakprof.analysis import wording
from hakprof.analysis.inputs import RunData
from hakprof.analysis.labels import workload_title
from hakprof.analysis.throughput import Throughput
from hakprof.analysis.trust.model import (
    INSTRUMENTED_FAIL_RATIO,
    INSTRUMENTED_WARN_RATIO,
    PERF_FAIL_RATIO,
    PERF_WARN_RATIO,
    STRACE_WARN_RATIO,
    Concern,
    Evidence,
    TrustCheck,
    Verdict,
    grade_low,
    worst,
    worst_first,
)
from hakprof.model.run import Collector

TITLE = "the tools disturb the program little"
_REMEDY = "record at a lower frequency; take times from the plain runs only, counts from strace and the counters"


@dataclass(frozen=True, slots=True)
class _Tool:
    title: str
    warn: float
    fail: float
    concern: Concern


_TOOLS = {
    Collector.PERF_RECORD: _Tool("perf record", PERF_WARN_RATIO, PERF_FAIL_RATIO, Concern.LAYERS),
    Collector.PERF_STAT: _Tool("perf stat", PERF_WARN_RATIO, PERF_FAIL_RATIO, Concern.RESULTS),
    Collector.STRACE: _Tool("strace", STRACE_WARN_RATIO, 0.0, Concern.SYSCALLS),
    Collector.COUNTERS: _Tool("instrumented build", INSTRUMENTED_WARN_RATIO, INSTRUMENTED_FAIL_RATIO, Concern.COUNTERS),
}


def check_disturbance(run: RunData, throughput: Throughput) -> TrustCheck:
    """Ratio of each tool's own throughput to the plain median, per workload of the default variant."""
    rows, parts, concerns = [], [], []
    for collector, tool in _TOOLS.items():
        ratios = _ratios(run, throughput, collector)
        if not ratios:
            continue
        lowest = min(ratios.values())
        parts.append(f"{tool.title} ×{lowest:.2f}")
        graded = [_row(run, tool, name, ratio) for name, ratio in ratios.items()]
        rows += graded
        if worst([row.verdict for row in graded]) != Verdict.PASS:
            concerns.append(tool.concern)
    if not rows:
        summary = "No workload ran both plain and under a tool."
        return TrustCheck("T8", TITLE, Verdict.UNKNOWN, summary, (), (Concern.LAYERS,))
    evidence = worst_first(rows)
    verdict = worst([row.verdict for row in evidence])
    summary = f"Lowest throughput under each tool, over that of the plain runs: {', '.join(parts)}."
    bad = [row for row in evidence if row.verdict in (Verdict.FAIL, Verdict.WARN)]
    if bad:
        summary += f" {bad[0].what}: {bad[0].detail}."
    return TrustCheck("T8", TITLE, verdict, summary, evidence, tuple(concerns), _REMEDY if bad else None)


def _ratios(run: RunData, throughput: Throughput, collector: Collector) -> dict[str, float]:
    frame = run.bench_of(collector).filter(
        (pl.col("allocator") == run.subject) & (pl.col("variant") == "default") & (pl.col("ops_per_second") > 0)
    )
    found = {}
    for workload in run.workloads:
        plain = throughput.row(workload, run.subject)
        under = frame.filter(pl.col("workload") == workload)["ops_per_second"].median()
        if plain is not None and isinstance(under, float):
            found[workload] = under / plain.ops_per_second.value
    return found


def _row(run: RunData, tool: _Tool, workload: str, ratio: float) -> Evidence:
    what = f"{workload_title(run, workload)}, {tool.title}"
    detail = f"{wording.pct(ratio)} of the plain throughput"
    return Evidence(what, detail, grade_low(ratio, tool.warn, tool.fail))
