"""The report of files that came without a run: what they are, what they tell, and what they cannot tell."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hakprof.analysis import wording
from hakprof.analysis.layers import UNATTRIBUTED, FaultRow
from hakprof.analysis.listing import FunctionRow, Listing
from hakprof.analysis.statistics import Share, attainable_gain, wilson
from hakprof.analysis.trust import Concern, TrustCheck, Verdict
from hakprof.analysis.trust.files import files_sentence
from hakprof.report.layer_view import MATRIX_SHOWN, SMALLER
from hakprof.report.model import Chart, FactTable, LayerMatrix, Missing
from hakprof.report.syscall_view import SyscallView

SCHEMA_VERSION = 1
MOST_TOP_LAYERS = 5
SMALLEST_TOP = 0.02  # of the samples: what is less is no bottleneck
_COLLECT = "a run: `hakprof collect`"


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """An ELF object (or the kernel) that holds samples."""

    path: str
    build_id: str | None
    share: Share


@dataclass(frozen=True, slots=True)
class RecordingView:
    """One perf.data file."""

    name: str
    identity: FactTable
    objects: tuple[ObjectRow, ...]
    other_objects: int
    listing: Listing
    faults: tuple[FaultRow, ...]  # empty where page faults were not recorded beside another event


@dataclass(frozen=True, slots=True)
class TopLayer:
    """A large layer in one line: where it is, and what it can give at most."""

    recording: str
    layer: str
    meaning: str
    side: str
    share: Share
    gain: float | None  # of throughput, if all of it vanished; None for an event that is not time
    hottest: FunctionRow | None
    caused_by: str | None


@dataclass(frozen=True, slots=True)
class FileReport:
    """Everything that perf.data files and strace's output say by themselves."""

    title: str
    hakprof_version: str
    trust: tuple[TrustCheck, ...]
    trust_sentence: str
    doubts: Mapping[str, tuple[str, ...]]
    top_layers: tuple[TopLayer, ...]
    syscall_sentence: str | None
    recordings: tuple[RecordingView, ...]
    layer_matrix: LayerMatrix | None
    traces: tuple[FactTable, ...]
    syscalls: SyscallView | None
    has_kernel_time: bool
    has_wall_time: bool
    limits: tuple[Missing, ...]
    next_steps: tuple[str, ...]
    charts: tuple[Chart, ...] = ()
    schema_version: int = field(default=SCHEMA_VERSION)


def assemble_file_report(
    *,
    title: str,
    version: str,
    recordings: Sequence[RecordingView],
    traces: Sequence[FactTable],
    syscalls: SyscallView | None,
    clocks: frozenset[str],
    checks: tuple[TrustCheck, ...],
    warnings: Sequence[tuple[str, str]],
    next_steps: Sequence[str],
    charts: Sequence[Chart],
) -> FileReport:
    """``clocks``: those that time was told by in the traces; ``warnings``: file and what is wrong with it."""
    failed = [check for check in checks if check.verdict == Verdict.FAIL]
    return FileReport(
        title=title,
        hakprof_version=version,
        trust=checks,
        trust_sentence=files_sentence(checks),
        doubts={str(part): tuple(check.id for check in failed if part in check.concerns) for part in Concern},
        top_layers=tuple(top for view in recordings for top in _top_layers(view)),
        syscall_sentence=_syscall_sentence(syscalls) if syscalls is not None else None,
        recordings=tuple(recordings),
        layer_matrix=_matrix(recordings),
        traces=tuple(traces),
        syscalls=syscalls,
        has_kernel_time="system" in clocks,
        has_wall_time="wall" in clocks,
        limits=tuple(_limits(recordings, syscalls, clocks, warnings)),
        next_steps=tuple(next_steps),
        charts=tuple(charts),
    )


def _top_layers(view: RecordingView) -> Iterator[TopLayer]:
    listing = view.listing
    large = [row for row in listing.layers if row.share.value >= SMALLEST_TOP]
    for row in large[:MOST_TOP_LAYERS]:
        cause = row.causes[0] if row.causes and listing.has_chains else None
        yield TopLayer(
            recording=view.name,
            layer=row.layer,
            meaning=row.meaning,
            side=row.side,
            share=row.share,
            gain=attainable_gain(row.share.high) if listing.is_time else None,
            hottest=row.functions[0] if row.functions else None,
            caused_by=f"{cause.caused_by} ({wording.pct(cause.share.value)} of it)" if cause is not None else None,
        )


def _syscall_sentence(view: SyscallView) -> str:
    kinds = len(view.rows) + view.other_kinds
    text = f"{wording.count(view.total.calls)} calls of {kinds} kinds"
    if view.total.errors:
        text += f", {wording.count(view.total.errors)} of them failed"
    if view.total.wall_share_of_run is not None:
        text += f"; working calls take {wording.pct(view.total.wall_share_of_run)} of the traced program's wall time"
    working = [row for row in view.rows if not row.waiting]
    if working:
        most = max(working, key=lambda row: (row.calls, row.syscall))
        text += f"; most often called: {most.syscall} ({wording.count(most.calls)})"
    if working and working[0].wall_share_of_syscalls:
        longest = working[0]
        text += f"; most time of working calls: {longest.syscall} ({wording.pct(longest.wall_share_of_syscalls or 0)})"
    waiting = [row.syscall for row in view.rows if row.waiting]
    if waiting:
        text += f"; {wording.listing(waiting)} wait{'s' if len(waiting) == 1 else ''} by design"
    return f"{text}."


def _matrix(recordings: Sequence[RecordingView]) -> LayerMatrix | None:
    """Layers × recordings; None for a single one, whose own table says it all."""
    if len(recordings) < 2:
        return None
    shares = [{row.layer: row.share for row in view.listing.layers} for view in recordings]
    largest: dict[str, float] = {}
    for one in shares:
        for layer, share in one.items():
            largest[layer] = max(largest.get(layer, 0.0), share.value)
    shown = [layer for layer in largest if layer == UNATTRIBUTED or largest[layer] >= MATRIX_SHOWN]
    shown.sort(key=lambda layer: (layer == UNATTRIBUTED, -largest[layer], layer))
    totals = [view.listing.samples for view in recordings]
    rows = [
        (layer, tuple(one.get(layer, wilson(0, total)) for one, total in zip(shares, totals, strict=True)))
        for layer in shown
    ]
    if len(shown) < len(largest):
        rest = [sum(share.count for layer, share in one.items() if layer not in shown) for one in shares]
        small = tuple(wilson(count, total) for count, total in zip(rest, totals, strict=True))
        rows.insert(len(rows) - 1, (SMALLER, small))
    return LayerMatrix(tuple(view.name for view in recordings), tuple(rows))


def _limits(
    recordings: Sequence[RecordingView],
    syscalls: SyscallView | None,
    clocks: frozenset[str],
    warnings: Sequence[tuple[str, str]],
) -> Iterator[Missing]:
    """What is not known, and what would tell it."""
    if not recordings:
        yield Missing("where the time goes", "no perf.data was given", "`perf record -g PROGRAM`, then --perf-data")
    if syscalls is None:
        yield Missing("system calls", "no output of strace was given", "`strace -f -T -ttt -o FILE PROGRAM`")
    elif not clocks:
        yield Missing("time of the calls", "the trace has none", "trace with -T")
    elif "wall" not in clocks:
        yield Missing("wall time of the calls", "the table is of CPU time in the kernel", "trace with -T, or -c -w")
    yield Missing("throughput, and how other allocators do", "files of perf and strace hold none", _COLLECT)
    yield Missing("counters per operation", "neither `perf stat` nor callgrind is among the files", _COLLECT)
    yield Missing("routes, stages, memory", "only an instrumented build and a watched process tell them", _COLLECT)
    yield Missing("ranked bottlenecks", "findings weigh layers against throughput and counters of a run", _COLLECT)
    for name, warning in warnings:
        yield Missing(f"what was read of {name}", warning)
