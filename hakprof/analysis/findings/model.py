"""What a finding is, what its rules may look at, and every threshold in one place.

A rule fires on the *lower* end of an interval, and a finding is as severe as that end says, so that few samples never
make a bottleneck; fewer than LEAST_SAMPLES make none at all. A child counts only if its parent is crossed too (as
top-down analysis does): no "12 % mincore" of a kernel share of 1 %.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from hakprof.analysis.allocator_counters import CounterSet, RouteTable
from hakprof.analysis.inputs import RunData
from hakprof.analysis.layers import ALL, UNATTRIBUTED, LayerTable, Location
from hakprof.analysis.statistics import LEAST_SAMPLES, Share, attainable_gain
from hakprof.analysis.syscalls import SyscallTable
from hakprof.analysis.throughput import Throughput
from hakprof.analysis.trust import Concern

# Parents.
KERNEL_PARENT = 0.05  # kernel share of all samples, for findings about kernel layers
ALLOCATOR_PARENT = 0.10  # share of the allocator's own layers, for findings about them
# Children, as shares of all samples unless said otherwise.
PAGE_FAULT = 0.05
MAPPING_CALLS = 0.02
FUTEX = 0.02
CLASSIFICATION = 0.05
REFILL_PATH = 0.05
FRONT_MISSES = 0.05  # of the mallocs that the front cache could serve
KERNEL_DOMINATED = 0.50
HOT_LAYER = 0.10
LIBC_FALLBACK = 0.001  # of the malloc calls
LOCK_CONTENDED = 0.01  # of the acquisitions of one lock
LOCK_WAIT = 0.02  # of the threads' time in the measured region
CAUSE_MAJORITY = 0.50  # a cause is called the cause from here on
# Severity, by the throughput that could be gained if all of it vanished, at the low end of its interval.
CRITICAL_GAIN, HIGH_GAIN, MEDIUM_GAIN = 0.50, 0.15, 0.05

LIBC_MALLOC = ("glibc_front", "glibc_arena", "glibc_system")
NOT_THE_ALLOCATOR = frozenset({"benchmark", "libc", UNATTRIBUTED, *LIBC_MALLOC})


class Severity(StrEnum):
    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Status(StrEnum):
    """What this run's own data say of a hypothesis."""

    VALIDATED = "VALIDATED"
    REJECTED = "REJECTED"
    LIKELY = "LIKELY"
    UNTESTED = "UNTESTED"


@dataclass(frozen=True, slots=True)
class Hypothesis:
    text: str
    status: Status
    reason: str


@dataclass(frozen=True, slots=True)
class Gain:
    """Throughput that could be gained if all of a cost vanished: 0.25 = +25 %. "At most" is ``high``, not ``value``."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Proof:
    """A figure and where in the report it stands."""

    table: str
    row: str
    figure: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A bottleneck: on ``workloads[0]`` it is largest, on the others it crosses the line too."""

    id: str
    severity: Severity
    title: str
    workloads: tuple[str, ...]
    impact: Share | None  # share of the samples of workloads[0]
    gain: Gain | None  # None: not a matter of time (a crash)
    symptom: str
    evidence: tuple[Proof, ...]
    locations: tuple[Location, ...]
    hypotheses: tuple[Hypothesis, ...]
    options: tuple[str, ...]
    expected: str
    verify: tuple[str, ...]
    concerns: tuple[Concern, ...]
    doubted_by: tuple[str, ...] = ()  # failed trust checks that concern what this rests on


@dataclass(frozen=True, slots=True)
class Context:
    """The tables that a rule may look at."""

    run: RunData
    throughput: Throughput
    layers: tuple[LayerTable, ...]
    syscalls: tuple[SyscallTable, ...]
    counters: tuple[CounterSet, ...]
    routes: tuple[RouteTable, ...]

    @property
    def tables(self) -> tuple[LayerTable, ...]:
        """Layer tables of single workloads with samples enough to conclude from."""
        return tuple(table for table in self.layers if table.workload != ALL and table.samples >= LEAST_SAMPLES)

    def syscalls_of(self, workload: str) -> SyscallTable | None:
        own = (t for t in self.syscalls if t.workload == workload and t.allocator == self.run.subject)
        return next(own, None)

    def counters_of(self, workload: str) -> CounterSet | None:
        return next((one for one in self.counters if one.workload == workload and one.variant == "default"), None)


@dataclass(frozen=True, slots=True)
class Crossing:
    """A workload on which some layers together cross their threshold, and their parent its own."""

    table: LayerTable
    share: Share


def crossings(context: Context, layers: Sequence[str], threshold: float, *, kernel: bool) -> list[Crossing]:
    """Workloads on which ``layers`` together cross ``threshold``, the largest share first."""
    found = []
    for table in context.tables:
        share = table.share_of(*layers)
        parent, needed = (table.kernel, KERNEL_PARENT) if kernel else (allocator_share(table), ALLOCATOR_PARENT)
        if share.count >= LEAST_SAMPLES and share.low > threshold and parent.low > needed:
            found.append(Crossing(table, share))
    return sorted(found, key=lambda one: (-one.share.value, one.table.workload))


def allocator_layers(table: LayerTable) -> tuple[str, ...]:
    """User layers that are neither the program's, nor libc's, nor nobody's."""
    return tuple(row.layer for row in table.rows if not row.kernel and row.layer not in NOT_THE_ALLOCATOR)


def allocator_share(table: LayerTable) -> Share:
    return table.share_of(*allocator_layers(table))


def gain_of(share: Share) -> Gain:
    """Amdahl's bound with the share's interval carried through."""
    return Gain(attainable_gain(share.value), attainable_gain(share.low), attainable_gain(share.high))


def severity_of(gain: Gain) -> Severity:
    if gain.low >= CRITICAL_GAIN:
        return Severity.CRITICAL
    if gain.low >= HIGH_GAIN:
        return Severity.HIGH
    return Severity.MEDIUM if gain.low >= MEDIUM_GAIN else Severity.LOW
