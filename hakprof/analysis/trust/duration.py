"""T3: the measured region is long enough, and start-up is not in it."""

import polars as pl

from hakprof.analysis import wording
from hakprof.analysis.inputs import RunData
from hakprof.analysis.labels import workload_title
from hakprof.analysis.trust.model import (
    REGION_FAIL_NS,
    REGION_WARN_NS,
    STARTUP_FAIL_SHARE,
    STARTUP_WARN_SHARE,
    Concern,
    Evidence,
    TrustCheck,
    Verdict,
    grade_high,
    grade_low,
    worst,
    worst_first,
)
from hakprof.model.run import Collector

TITLE = "runs are long enough, start-up is kept apart"
_REMEDY = "raise the operation count in the workload's args (or leave --quick out) and collect again"


def check_duration(run: RunData) -> TrustCheck:
    """Shortest measured region of the subject per workload; start-up's share of recordings without a marked region."""
    regions, startups = _region_rows(run), _startup_rows(run)
    evidence = worst_first([row for _, row in regions] + startups)
    verdict = worst([row.verdict for row in evidence])
    if not regions:
        summary = "No throughput cell of the subject ended well, so no region was measured."
    else:
        shortest, row = min(regions, key=lambda pair: pair[0])
        apart = "; start-up is outside every recording" if not startups else ""
        summary = f"The shortest measured region lasts {wording.ns(shortest)} ({row.what}){apart}."
    bad = [row for row in evidence if row.verdict in (Verdict.FAIL, Verdict.WARN)]
    if bad:
        summary += (
            f" {len(bad)} of {len(evidence)} are too short or hold start-up, the worst: {bad[0].what}, {bad[0].detail}."
        )
    return TrustCheck(
        "T3", TITLE, verdict, summary, evidence, (Concern.RESULTS, Concern.LAYERS), _REMEDY if bad else None
    )


def _region_rows(run: RunData) -> list[tuple[float, Evidence]]:
    own = run.bench_of(Collector.THROUGHPUT).filter(pl.col("allocator") == run.subject)
    rows = []
    for workload in run.workloads:
        lengths = own.filter(pl.col("workload") == workload)["measured_ns"].drop_nulls().to_list()
        if lengths:
            shortest = float(min(lengths))
            verdict = grade_low(shortest, REGION_WARN_NS, REGION_FAIL_NS)
            detail = f"measured region of {wording.ns(shortest)} at the shortest"
            rows.append((shortest, Evidence(workload_title(run, workload), detail, verdict)))
    return rows


def _startup_rows(run: RunData) -> list[Evidence]:
    """Only where the program does not mark its region: elsewhere perf sees nothing of the start-up."""
    own = run.bench_of(Collector.PERF_RECORD).filter(
        (pl.col("allocator") == run.subject) & ~pl.col("region_marked").fill_null(False)
    )
    rows = []
    for row in own.sort("cell").iter_rows(named=True):
        before = (row["startup_ns"] or 0) + (row["warmup_ns"] or 0)
        total = before + (row["measured_ns"] or 0)
        share = before / total if total else 0.0
        detail = f"start-up and warm-up are {wording.pct(share)} of what was recorded"
        verdict = grade_high(share, STARTUP_WARN_SHARE, STARTUP_FAIL_SHARE)
        rows.append(Evidence(workload_title(run, row["workload"]), detail, verdict))
    return rows
