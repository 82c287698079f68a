"""T8: what the tools themselves cost: throughput under each tool against the plain runs."""

from dataclasses import dataclass

import polars as pl

from hakprof.analysis import wording
from hakprof.analysis.inputs import RunData
from hakprof.analysis.labels import workload_title
from hakprof.analysis.throughput import Throughput
from hakprof.analysis.trust.model import (
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
    Collector.PERF_STAT: _Tool("perf stat", PERF_WARN_RATIO, PERF_FAIL_RATIO, Concern.LAYERS),
    Collector.STRACE: _Tool("strace", STRACE_WARN_RATIO, 0.0, Concern.SYSCALLS),
    Collector.COUNTERS: _Tool("instrumented build", INSTRUMENTED_WARN_RATIO, 0.0, Concern.COUNTERS),
}


def check_disturbance(run: RunData, throughput: Throughput) -> TrustCheck:
    """Throughput of the one run under each tool over that of the plain runs, per workload of the default variant."""
    rows: list[Evidence] = []
    parts: list[str] = []
    verdicts: dict[Concern, Verdict] = {}
    for collector, tool in _TOOLS.items():
        rows += _without_line(run, tool, collector)
        ratios = _ratios(run, throughput, collector)
        if ratios:
            parts.append(f"{tool.title} ×{min(ratio.of_median for ratio in ratios.values()):.2f}")
            graded = [_row(run, tool, name, ratio) for name, ratio in ratios.items()]
            before = verdicts.get(tool.concern, Verdict.PASS)
            verdicts[tool.concern] = worst([before, *(row.verdict for row in graded)])
            rows += graded
    if not rows:
        summary = "No workload ran both plain and under a tool."
        return TrustCheck("T8", TITLE, Verdict.UNKNOWN, summary, (), (Concern.LAYERS,))
    evidence = worst_first(rows)
    verdict = worst([row.verdict for row in evidence])
    if parts:
        summary = f"Lowest throughput under each tool, over the plain median: {', '.join(parts)}."
    else:
        summary = "No program prints a benchmark line, so a tool's own start-up cannot be told from what it costs."
    bad = [row for row in evidence if row.verdict in (Verdict.FAIL, Verdict.WARN)]
    if bad:
        summary += f" Beyond the scatter of the plain runs in {len(bad)} of {len(rows)} cases."
    concerns = tuple(concern for concern, found in verdicts.items() if found == verdict != Verdict.PASS)
    return TrustCheck("T8", TITLE, verdict, summary, evidence, concerns, _REMEDY if bad else None)


@dataclass(frozen=True, slots=True)
class _Ratio:
    of_median: float
    of_slowest: float  # plain run


def _own(run: RunData, collector: Collector) -> pl.DataFrame:
    return run.bench_of(collector).filter((pl.col("allocator") == run.subject) & (pl.col("variant") == "default"))


def _without_line(run: RunData, tool: _Tool, collector: Collector) -> list[Evidence]:
    """Of a program without a measured region only the whole process is known, and the tool's start-up is in it."""
    known = set(_own(run, collector).filter(~pl.col("region_marked"))["workload"].to_list())
    detail = "prints no benchmark line: its time would hold the tool's own start-up"
    return [
        Evidence(f"{workload_title(run, name)}, {tool.title}", detail, Verdict.UNKNOWN)
        for name in run.workloads
        if name in known
    ]


def _ratios(run: RunData, throughput: Throughput, collector: Collector) -> dict[str, _Ratio]:
    frame = _own(run, collector).filter(pl.col("region_marked") & (pl.col("ops_per_second") > 0))
    found = {}
    for workload in run.workloads:
        plain = throughput.row(workload, run.subject)
        under = frame.filter(pl.col("workload") == workload)["ops_per_second"].median()
        if plain is not None and isinstance(under, float):
            found[workload] = _Ratio(under / plain.ops_per_second.value, under / min(plain.runs.values))
    return found


def _row(run: RunData, tool: _Tool, workload: str, ratio: _Ratio) -> Evidence:
    what = f"{workload_title(run, workload)}, {tool.title}"
    detail = (
        f"{wording.pct(ratio.of_median)} of the plain median, {wording.pct(ratio.of_slowest)} of the slowest plain run"
    )
    return Evidence(what, detail, grade_low(ratio.of_slowest, tool.warn, tool.fail))
