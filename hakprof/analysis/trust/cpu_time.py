"""T4b: the program had the CPU while it was timed.

perf stat's task-clock is the CPU time of all threads; wall time × threads is what they could have had. The rest is
waiting, or time in which the host ran somebody else: throughput then tells as much of the host as of the allocator.
"""

import polars as pl

from hakprof.analysis import wording
from hakprof.analysis.inputs import RunData
from hakprof.analysis.labels import allocator_title, workload_title
from hakprof.analysis.layers import CPU_EVENT, CPU_UNIT
from hakprof.analysis.trust.model import (
    CPU_FAIL_SHARE,
    CPU_WARN_SHARE,
    Concern,
    Evidence,
    TrustCheck,
    Verdict,
    grade_low,
    worst,
    worst_first,
)
from hakprof.model.run import Collector

ID = "T4b"
TITLE = "the program had the CPU while it was timed"
_REMEDY = "collect again while nothing else runs, on a host that has a CPU for each thread"


def check_cpu_time(run: RunData) -> TrustCheck:
    """CPU time over wall time × threads in every perf stat cell whose program marks its measured region."""
    rows = _shares(run)
    concerns = (Concern.RESULTS,)
    if not rows:
        summary = "perf stat counted no task-clock of a marked region, so it is not known who had the CPU."
        return TrustCheck(ID, TITLE, Verdict.UNKNOWN, summary, (), concerns)
    evidence = worst_first([row for _, row in rows])
    verdict = worst([row.verdict for row in evidence])
    least, row = min(rows, key=lambda pair: (pair[0], pair[1].what))
    summary = f"The programs had the CPU for at least {wording.pct(least)} of their time ({row.what}: {row.detail})."
    short = sum(1 for row in evidence if row.verdict != Verdict.PASS)
    if short:
        summary += (
            f" In {short} of {len(rows)} cases it was less than {wording.pct(CPU_WARN_SHARE)}: throughput there is the"
            " host's, or that of waiting, and not the allocator's."
        )
    return TrustCheck(ID, TITLE, verdict, summary, evidence, concerns, _REMEDY if short else None)


def _shares(run: RunData) -> list[tuple[float, Evidence]]:
    """Only marked regions: elsewhere CPU time is the whole process's, which no thread count fits."""
    marked = [name for name in run.workloads if (known := run.project.workloads.get(name)) and known.region]
    counted = run.counters.filter((pl.col("event") == CPU_EVENT) & (pl.col("unit") == CPU_UNIT))
    timed = run.bench_of(Collector.PERF_STAT).filter(pl.col("workload").is_in(marked) & pl.col("region_marked"))
    joined = timed.join(counted.select("cell", "value"), on="cell").drop_nulls("value").sort("cell")
    return [_row(run, row) for row in joined.iter_rows(named=True) if row["measured_ns"]]


def _row(run: RunData, row: dict[str, int | float | str]) -> tuple[float, Evidence]:
    threads = int(row["threads"] or 1)
    cpu_ns, wall_ns = float(row["value"]) * 1e6, float(row["measured_ns"])
    share = cpu_ns / (wall_ns * threads)
    names = (workload_title(run, str(row["workload"])), allocator_title(run, str(row["allocator"])))
    of = f"{wording.ns(wall_ns)}" + (f" × {threads} threads" if threads > 1 else "")
    detail = f"{wording.ns(cpu_ns)} of CPU time in {of}, {wording.pct(share)}"
    what = ", ".join((*names, str(row["variant"])) if row["allocator"] == run.subject else names)
    return share, Evidence(what, detail, grade_low(share, CPU_WARN_SHARE, CPU_FAIL_SHARE))
