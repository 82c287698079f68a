"""perf.data files and strace's output from somewhere → the report that they allow, without a run around them."""

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from hakprof import __version__, units
from hakprof.analysis import wording
from hakprof.analysis.layers import FAULT_EVENT, UNATTRIBUTED, WHOLE_OBJECTS, faults_of, largest_first
from hakprof.analysis.listing import Listing, Narrowing
from hakprof.analysis.statistics import wilson
from hakprof.analysis.syscalls import SyscallTable, syscall_table
from hakprof.analysis.trust.files import RecordingFacts, check_files
from hakprof.documents import write_document
from hakprof.errors import HakprofError
from hakprof.inspection import list_recording, load
from hakprof.layers.rules import load_rules
from hakprof.parse.perf_data import PerfEvent, PerfProfile
from hakprof.parse.strace_log import Trace, read_trace
from hakprof.profiles import LayerProfile
from hakprof.report.figures import recording_figures
from hakprof.report.files import FileReport, ObjectRow, RecordingView, assemble_file_report
from hakprof.report.json_out import to_json
from hakprof.report.model import Chart, Fact, FactTable
from hakprof.report.render import render_files_markdown
from hakprof.report.syscall_view import syscall_view
from hakprof.selection import Selection

MOST_OBJECTS = 8
MOST_NAMES = 5
FUNCTIONS = 3  # named of each layer
_REGION_OPTIONS = ("-D", "--delay", "--control")


@dataclass(frozen=True, slots=True)
class _Loaded:
    """One recording, read and attributed. ``name`` is its file's, or its path where others have the same."""

    name: str
    path: Path
    listing: Listing
    read: LayerProfile


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one report, read."""

    recordings: tuple[_Loaded, ...]
    traces: tuple[Trace, ...]
    object_layers: frozenset[str]  # layers that only tell the object

    @property
    def syscalls(self) -> SyscallTable | None:
        """All traces as one table; None without any."""
        if not self.traces:
            return None
        spans = [trace.span_seconds for trace in self.traces]
        rows = [
            (trace.frame if _has_times(trace) else _untimed(trace.frame)).with_columns(
                (pl.col("seconds") / span if span else pl.lit(None, dtype=pl.Float64)).alias("share_of_run"),
                pl.lit(None, dtype=pl.Float64).alias("calls_per_1000_ops"),
            )
            for trace, span in zip(self.traces, spans, strict=True)
        ]
        title = ", ".join(trace.source for trace in self.traces)
        return syscall_table(
            pl.concat(rows), workload="", title=title, allocator="", allocator_title="", is_subject=True
        )


def read_files(selection: Selection, *, strace: Path | None, strace_wall: Path | None) -> Files:
    """Reads all files. ``strace_wall`` is a table of ``strace -c -w``; ``strace`` any other output of strace.

    Raises:
        ParseError: a file cannot be read or is of another kind.
        NotMeasuredError: a recording has no samples.
        HakprofError: both files of strace have their times by the wall clock.
    """
    traces = []
    if strace is not None:
        traces.append(read_trace(strace))
    if strace_wall is not None:
        traces.append(read_trace(strace_wall, clock="wall"))
    if len({trace.clock for trace in traces}) < len(traces):
        raise HakprofError(
            f"{strace} has wall times, as {strace_wall} has", remedy="give one of them: with -w a table has wall times"
        )
    recordings = []
    names = Counter(one.path.name for one in selection.recordings)
    for one in selection.recordings:
        read = load(selection, one)
        name = one.path.name if names[one.path.name] == 1 else str(one.path)
        recordings.append(_Loaded(name, one.path, list_recording(one, read, Narrowing(), FUNCTIONS), read))
    rules = load_rules(selection.catalogues, selection.layers)
    return Files(tuple(recordings), tuple(traces), rules.catch_all - set(WHOLE_OBJECTS))


def render_files(files: Files, *, format: str = "markdown") -> str:
    """The report as ``markdown`` or ``json`` text."""
    report = _report(files, ())
    return to_json(report) if format == "json" else render_files_markdown(report)


def write_files(files: Files, folder: Path, *, document: Path | None = None) -> Sequence[Path]:
    """The report with its charts in a folder, as :func:`hakprof.documents.write_document` puts it there."""

    def render(charts: Sequence[Chart]) -> tuple[str, str]:
        report = _report(files, charts)
        return render_files_markdown(report), to_json(report)

    return write_document(folder, _figures(files), render, document=document)


def _figures(files: Files) -> Iterator[tuple[Chart, str]]:
    for number, one in enumerate(files.recordings, start=1):
        suffix = f"-{number}" if len(files.recordings) > 1 else ""
        yield from recording_figures(one.name, one.listing, one.read.attribution.stacks, suffix=suffix)


def _report(files: Files, charts: Sequence[Chart]) -> FileReport:
    syscalls = files.syscalls
    timed = frozenset(trace.clock for trace in files.traces if _has_times(trace))
    has_span = any(trace.span_seconds for trace in files.traces)
    names = [Path(one.name).name for one in files.recordings] + [Path(trace.source).name for trace in files.traces]
    return assemble_file_report(
        title=wording.listing(names),
        version=__version__,
        recordings=[_view(one) for one in files.recordings],
        traces=[_trace_facts(trace) for trace in files.traces],
        syscalls=syscall_view(syscalls) if syscalls is not None else None,
        clocks=timed,
        checks=check_files([_facts(one, files.object_layers) for one in files.recordings], syscalls, has_span=has_span),
        warnings=[
            (trace.source, warning.removeprefix(f"{trace.source}:").strip())
            for trace in files.traces
            for warning in trace.warnings
        ],
        next_steps=_next_steps(files),
        charts=charts,
    )


def _view(one: _Loaded) -> RecordingView:
    samples = one.read.attribution.samples
    faults = samples.filter(pl.col("event").str.starts_with(FAULT_EVENT) & (pl.col("event") != one.listing.event))
    objects = _objects(one)
    return RecordingView(
        name=one.name,
        identity=_identity(one),
        objects=objects[:MOST_OBJECTS],
        other_objects=max(len(objects) - MOST_OBJECTS, 0),
        listing=one.listing,
        faults=faults_of(faults) if faults.height else (),
    )


def _objects(one: _Loaded) -> tuple[ObjectRow, ...]:
    """The objects that hold samples of the event shown, the largest first."""
    own = one.read.attribution.places.filter(pl.col("event") == one.listing.event)
    rows = largest_first(own, ["path", "build_id"]).iter_rows()
    return tuple(ObjectRow(path or "unknown", build, wilson(count, one.listing.samples)) for path, build, count in rows)


def _identity(one: _Loaded) -> FactTable:
    profile = one.read.profile
    machine = (profile.hostname, profile.arch, f"{profile.cpu_count} CPUs" if profile.cpu_count else None)
    return _table(
        str(one.path),
        [
            ("command line", shlex.join(profile.command_line)),
            ("machine", ", ".join(part for part in machine if part)),
            ("kernel", profile.os_release),
            ("perf version", profile.perf_version),
            ("events", "; ".join(_event(profile, event) for event in profile.events if _samples_of(profile, event))),
            ("processes and threads with samples", _threads(profile)),
            ("time from first to last sample", units.nanoseconds(_span_ns(one))),
            ("call chains", "yes" if profile.has_chains else "none: what caused kernel time is not known"),
            ("lost samples", units.count(profile.lost_samples)),
            ("throttled", f"{units.count(profile.throttled)} times"),
        ],
    )


def _samples_of(profile: PerfProfile, event: PerfEvent) -> int:
    return int(profile.samples.filter(pl.col("event") == event.index)["count"].sum())


def _event(profile: PerfProfile, event: PerfEvent) -> str:
    one_in = "each" if event.period == 1 else f"one in {units.count(event.period)}"
    how = f"{units.count(event.frequency_hz)} Hz" if event.frequency_hz else one_in
    return f"{event.name}: {units.count(_samples_of(profile, event))} samples ({how})"


def _threads(profile: PerfProfile) -> str:
    sampled = profile.samples.select("pid", "tid", "comm", "count")
    names = largest_first(sampled, ["comm"])["comm"].to_list()
    more = f" and {len(names) - MOST_NAMES} more names" if len(names) > MOST_NAMES else ""
    processes, threads = sampled["pid"].n_unique(), sampled.select("pid", "tid").n_unique()
    return f"{processes} and {threads} ({', '.join(names[:MOST_NAMES])}{more})"


def _span_ns(one: _Loaded) -> int:
    """Between the first and the last sample of the event shown."""
    indices = [event.index for event in one.read.profile.events if event.name == one.listing.event]
    own = one.read.profile.samples.filter(pl.col("event").is_in(indices))
    return int(np.ptp(own.select("first_ns", "last_ns").to_numpy())) if own.height else 0


def _facts(one: _Loaded, object_layers: frozenset[str]) -> RecordingFacts:
    profile, listing = one.read.profile, one.listing
    by_object = sum(layer.share.count for layer in listing.layers if layer.layer in object_layers)
    nameless = next(layer.share for layer in listing.layers if layer.layer == UNATTRIBUTED)
    files = [row.path for row in _objects(one) if row.build_id is None and row.path.startswith("/")]
    return RecordingFacts(
        name=one.name,
        event=listing.event,
        samples=listing.samples,
        span_ns=_span_ns(one),
        is_region=any(word.startswith(_REGION_OPTIONS) for word in profile.command_line),
        lost_samples=profile.lost_samples,
        all_samples=profile.sample_count,
        throttled=profile.throttled,
        truncated=profile.truncated,
        unattributed=nameless,
        by_object=wilson(by_object, listing.samples),
        without_build_id=tuple(files),
        names_missing=one.read.attribution.warnings,
    )


def _has_times(trace: Trace) -> bool:
    """Kernels that count CPU time by their tick alone give zero for every short call: that is no time."""
    return bool(trace.frame["seconds"].sum())


def _untimed(frame: pl.DataFrame) -> pl.DataFrame:
    nothing = pl.lit(None, dtype=pl.Float64)
    return frame.with_columns(nothing.alias(name) for name in ("seconds", "usec_per_call", "share_of_syscall_time"))


def _trace_facts(trace: Trace) -> FactTable:
    clock = {"system": "CPU time in the kernel", "wall": "wall time from entry to return"}[trace.clock]
    clock += "" if trace.clock_is_sure else ", strace's default; the table does not tell, see --strace-wall"
    if not _has_times(trace):
        clock = "none: traced without -T" if trace.kind == "log" else "none: all are zero in the table"
    kind = "a log of single calls, summed here" if trace.kind == "log" else "a table of strace -c"
    span = units.nanoseconds(trace.span_seconds * 1e9) if trace.span_seconds else None
    return _table(trace.source, [("what it is", kind), ("times", clock), ("time from first to last call", span)])


def _table(title: str, facts: Sequence[tuple[str, str | None]]) -> FactTable:
    return FactTable(title, tuple(Fact(name, value if value else "not recorded") for name, value in facts))


def _next_steps(files: Files) -> list[str]:
    """Commands that look further into the largest layer of each recording that has a name."""
    steps = []
    for one in files.recordings:
        named = [row.layer for row in one.listing.layers if row.layer != UNATTRIBUTED and row.share.count]
        if named:
            steps.append(shlex.join(("hakprof", "annotate", named[0], str(one.path))))
        steps.append(shlex.join(("hakprof", "layers", str(one.path), "--functions", "20")))
        drawn = shlex.join(("hakprof", "report", "--perf-data", str(one.path), "-o", "report/"))
        steps.append(f"{drawn}  # with a flame graph")
    return steps
