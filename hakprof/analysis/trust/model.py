"""The value that every trust check returns, and the thresholds of all of them in one place."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

# T3: a run of 11 ms is start-up and page faults; from a fifth of a second on, the region dominates its own edges.
REGION_FAIL_NS = 50_000_000
REGION_WARN_NS = 150_000_000
STARTUP_FAIL_SHARE = 0.10  # only where the region is not marked, so that start-up is inside the profile
STARTUP_WARN_SHARE = 0.02
# T4: the documents call 5 % consistent; beyond 10 % the median of a handful of runs says little.
CV_WARN = 0.05
CV_FAIL = 0.10
# T4b: the rest of the time the program waited, or the host gave the CPU to somebody else.
CPU_WARN_SHARE = 0.90
CPU_FAIL_SHARE = 0.70
# T5: the widest 95 % interval of a share is ±4.9 points at 400 samples and ±9.8 points at 100.
SAMPLES_WARN = 400
SAMPLES_FAIL = 100
LOST_WARN_SHARE = 0.001
LOST_FAIL_SHARE = 0.05
UNATTRIBUTED_WARN_SHARE = 0.05
UNATTRIBUTED_FAIL_SHARE = 0.20
CATCH_ALL_WARN_SHARE = 0.05
# T8: the throughput that is left under a tool, against the slowest plain run: one run under a tool is as noisy as any.
PERF_WARN_RATIO = 0.95
PERF_FAIL_RATIO = 0.80
INSTRUMENTED_WARN_RATIO = 0.85  # no failure: only its counts are used, and what is slow still counts right
STRACE_WARN_RATIO = 0.50  # the same
# T2: calls beyond the program's own (the runtime's start-up and output) are few.
CALLS_TOLERANCE_SHARE = 0.02
CALLS_TOLERANCE = 20_000


class Verdict(StrEnum):
    """Three outcomes and "could not tell", worst last."""

    PASS = "pass"  # noqa: S105 (a verdict, not a password)
    UNKNOWN = "unknown"
    WARN = "warn"
    FAIL = "fail"


class Concern(StrEnum):
    """Parts of the report that a check vouches for."""

    RESULTS = "results"
    LAYERS = "layers"
    SYSCALLS = "syscalls"
    COUNTERS = "counters"
    MEMORY = "memory"


_SEVERITY = (Verdict.PASS, Verdict.UNKNOWN, Verdict.WARN, Verdict.FAIL)


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that a check looked at."""

    what: str
    detail: str
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class TrustCheck:
    """Result of one check. ``summary`` is one sentence with its numbers; ``evidence`` its rows, worst first."""

    id: str
    title: str
    verdict: Verdict
    summary: str
    evidence: tuple[Evidence, ...] = ()
    concerns: tuple[Concern, ...] = ()
    remedy: str | None = None


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The worst of several verdicts; unknown if there are none."""
    return max(verdicts, key=_SEVERITY.index, default=Verdict.UNKNOWN)


def worst_first(evidence: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """Rows by verdict, worst first, else in their own order."""
    return tuple(sorted(evidence, key=lambda row: -_SEVERITY.index(row.verdict)))


def grade_high(value: float, warn: float, fail: float) -> Verdict:
    """Verdict on a value that should be small."""
    return Verdict.FAIL if value > fail else Verdict.WARN if value > warn else Verdict.PASS


def grade_low(value: float, warn: float, fail: float) -> Verdict:
    """Verdict on a value that should be large."""
    return Verdict.FAIL if value < fail else Verdict.WARN if value < warn else Verdict.PASS
