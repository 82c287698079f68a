"""What templates may use: one run's :class:`Report` and a comparison's :class:`DiffReport`.

Numbers stay numbers (JSON carries them so); templates format them by filters and compute nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from hakprof.analysis.allocator_counters import RouteTable, StageTable
from hakprof.analysis.compare import Comparison
from hakprof.analysis.events import EventTable
from hakprof.analysis.findings import Finding
from hakprof.analysis.instructions import InstructionRow
from hakprof.analysis.layers import Cause, FaultRow
from hakprof.analysis.memory import Memory, MemoryRow
from hakprof.analysis.statistics import Share
from hakprof.analysis.syscalls import SyscallTable
from hakprof.analysis.throughput import ResultRow, Throughput
from hakprof.analysis.trust import TrustCheck
from hakprof.analysis.variants import VariantTable
from hakprof.report.syscall_view import SyscallView

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where the numbers come from, in the words of the run's manifest."""

    project: str
    subject: str
    subject_title: str
    study: str
    study_title: str
    run: str
    created_utc: str
    commit: str | None
    dirty: bool | None
    quick: bool
    finished: bool
    hakprof_version: str
    host: str  # one line: CPU, number of CPUs, kernel
    cells_ok: int
    cells_planned: int


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that the report does not say, why, and what would mend it."""

    what: str
    reason: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and its value in an appendix."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class FactTable:
    title: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Command:
    title: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """A finding in one line of the summary."""

    number: int
    title: str
    severity: str
    line: str
    doubted_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ResultGroup:
    """Rows of the workloads that belong together."""

    title: str
    rows: tuple[ResultRow, ...]


@dataclass(frozen=True, slots=True)
class LayerViewRow:
    meaning: str
    layer: str | None  # None: several small layers together
    side: str  # "user" or "kernel", or both for folded rows
    share: Share
    ns_per_op: float | None


@dataclass(frozen=True, slots=True)
class LayerView:
    """A layer table as it is shown: small layers folded into one row, the unattributed row and the sum always there."""

    title: str
    samples: int
    rows: tuple[LayerViewRow, ...]
    unattributed: LayerViewRow
    sum_share: float
    user: Share
    kernel: Share
    causes: tuple[Cause, ...]
    faults: tuple[FaultRow, ...]
    unattributed_symbols: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LayerMatrix:
    """Shares of the larger layers on every workload, beside one another."""

    workloads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Share, ...]], ...]  # layer, one share per workload


@dataclass(frozen=True, slots=True)
class MemoryMatrix:
    """Peak memory of every allocator on every workload, beside one another."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[MemoryRow | None, ...]], ...]  # workload title, one cell per column


@dataclass(frozen=True, slots=True)
class Ending:
    """A cell that did not end well, with the program's last output."""

    cell: str
    how: str
    output_tail: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture beside the report; ``file`` is its path from the document on."""

    kind: str  # "throughput", "layers" or "flame"
    title: str
    file: str


@dataclass(frozen=True, slots=True)
class Appendix:
    environment: FactTable
    builds: tuple[FactTable, ...]
    parameters: FactTable
    commands: tuple[Command, ...]
    route_sample: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """One run's report. A section without data has an entry in ``missing`` that says why."""

    provenance: Provenance
    trust: tuple[TrustCheck, ...]
    trust_sentence: str
    doubts: Mapping[str, tuple[str, ...]]  # part of the report → failed checks that concern it
    verdict: str
    bottlenecks: tuple[Bottleneck, ...]
    no_bottleneck: str | None
    throughput: Throughput
    results: tuple[ResultGroup, ...]
    key_findings: tuple[str, ...]
    layers: tuple[LayerView, ...]
    layer_matrix: LayerMatrix | None
    layer_notes: tuple[str, ...]
    events: EventTable
    instructions: tuple[InstructionRow, ...]
    variants: tuple[VariantTable, ...]
    syscalls: tuple[SyscallTable, ...]
    syscall_views: tuple[SyscallView, ...]
    stages: tuple[StageTable, ...]
    routes: tuple[RouteTable, ...]
    memory: Memory
    memory_matrix: MemoryMatrix | None
    findings: tuple[Finding, ...]
    endings: tuple[Ending, ...]
    limits: tuple[Missing, ...]
    missing: Mapping[str, Missing]
    appendix: Appendix
    charts: tuple[Chart, ...] = ()
    schema_version: int = field(default=SCHEMA_VERSION)


@dataclass(frozen=True, slots=True)
class DiffReport:
    """Two runs beside one another: ``before`` is the base, ``after`` what is judged."""

    before: Provenance
    after: Provenance
    comparison: Comparison
    verdict: str
    schema_version: int = field(default=SCHEMA_VERSION)
