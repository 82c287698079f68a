"""T4: runs agree with one another, and there are enough of them for an interval."""

from hakprof.analysis import wording
from hakprof.analysis.inputs import RunData
from hakprof.analysis.statistics import LEAST_FOR_INTERVAL
from hakprof.analysis.throughput import ResultRow, Throughput
from hakprof.analysis.trust.model import (
    CV_FAIL,
    CV_WARN,
    Concern,
    Evidence,
    TrustCheck,
    Verdict,
    grade_high,
    worst,
    worst_first,
)

TITLE = "repeated runs agree"
_REMEDY = "collect again on an idle machine with more repetitions; do not read differences smaller than the intervals"


def check_noise(run: RunData, throughput: Throughput) -> TrustCheck:
    """Coefficient of variation and number of runs of every row of the results table."""
    concerns = (Concern.RESULTS,)
    if not throughput.rows:
        return TrustCheck("T4", TITLE, Verdict.UNKNOWN, "There are no throughput runs to compare.", (), concerns)
    evidence = worst_first([_row(row) for row in throughput.rows])
    fewest = min(row.runs.n for row in throughput.rows)
    noisiest = max(throughput.rows, key=lambda row: (row.runs.cv if row.runs.n > 1 else -1.0, row.workload))
    above = sum(1 for row in throughput.rows if row.runs.n > 1 and row.runs.cv > CV_FAIL)
    between = sum(1 for row in throughput.rows if row.runs.n > 1 and CV_WARN < row.runs.cv <= CV_FAIL)
    verdict = worst([row.verdict for row in evidence])
    summary = f"{fewest} runs of each row at the least"
    if noisiest.runs.n > 1:
        name = f"{noisiest.workload_title}, {wording.configuration(noisiest.allocator_title, noisiest.variant_title)}"
        summary += (
            f"; coefficient of variation above {wording.pct(CV_FAIL)} in {above} of {len(throughput.rows)} rows, from"
            f" {wording.pct(CV_WARN)} to {wording.pct(CV_FAIL)} in {between}"
            f", largest {wording.pct(noisiest.runs.cv)} ({name})"
        )
    if fewest < LEAST_FOR_INTERVAL:
        summary += f"; fewer than {LEAST_FOR_INTERVAL} runs carry no 95 % interval, so minimum and maximum are shown"
    return TrustCheck(
        "T4", TITLE, verdict, summary + ".", evidence, concerns, None if verdict == Verdict.PASS else _REMEDY
    )


def _row(row: ResultRow) -> Evidence:
    what = f"{row.workload_title}, {wording.configuration(row.allocator_title, row.variant_title)}"
    if row.runs.n < 2:
        return Evidence(what, "one run: its noise is not known", Verdict.FAIL)
    verdict = worst(
        [
            grade_high(row.runs.cv, CV_WARN, CV_FAIL),
            Verdict.WARN if row.runs.n < LEAST_FOR_INTERVAL else Verdict.PASS,
        ]
    )
    return Evidence(what, f"{row.runs.n} runs, coefficient of variation {wording.pct(row.runs.cv)}", verdict)
