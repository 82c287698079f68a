"""Reading a perf.data file: scan the records, then place the aggregated samples."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hakprof import units
from hakprof.errors import ParseError
from hakprof.parse.perf_data.aggregate import SampleTable, reunited
from hakprof.parse.perf_data.dumps import holds_stacks, why_not_unwound
from hakprof.parse.perf_data.epochs import Boundaries
from hakprof.parse.perf_data.flat import FlatSamples, flat_samples
from hakprof.parse.perf_data.format import RECORD_NAMES, SampleType
from hakprof.parse.perf_data.frames import CallFrames
from hakprof.parse.perf_data.header import describe_events, read_header
from hakprof.parse.perf_data.names import is_time_event
from hakprof.parse.perf_data.parts import directory_of, main_file, record_streams
from hakprof.parse.perf_data.processes import ProcessHistory
from hakprof.parse.perf_data.scan import Scan
from hakprof.parse.perf_data.unwind import StackUnwinder
from hakprof.parse.text import open_stored

if TYPE_CHECKING:
    from hakprof.parse.perf_data.profile import PerfProfile

_MOST_CHANGES = 1 << 24  # of all threads together
_RECORD_AGAIN = "record again: `perf record -g -o perf.data -- PROGRAM`"


@dataclass(frozen=True, slots=True)
class _Scanned:
    """All that the records of a file say."""

    scan: Scan
    table: SampleTable
    history: ProcessHistory
    warnings: tuple[str, ...]
    truncated: bool


def read_perf_data(path: Path, *, frames: CallFrames | None = None) -> "PerfProfile":
    """Reads a recording of perf record: a file, compressed (-z) or not, a directory, or what it wrote to a pipe (-o -).

    The stacks of a recording with `--call-graph dwarf` are unwound by the rules in ``frames``
    (`Symbolizer.call_frames`); without them only as far as frame pointers lead, and marked as partial.
    Raises ParseError when the file is missing, not perf.data, of an unsupported kind, or without a single sample.
    A recording that is cut off or damaged in the middle gives what stands before that, ``truncated`` and a warning.
    """
    from hakprof.parse.perf_data.place import place_samples

    found = _read(path, frames, keeps_chains=True)
    return place_samples(
        found.table,
        found.scan.chains,
        found.history,
        found.scan.attrs,
        found.scan.notes,
        found.scan.records,
        periods=found.scan.periods,
        warnings=found.warnings,
        truncated=found.truncated,
    )


def read_flat(path: Path) -> FlatSamples:
    """Reads a recording without its call chains; errors as of :func:`read_perf_data`."""
    found = _read(path, None, keeps_chains=False)
    return flat_samples(
        found.table,
        found.history,
        found.scan.notes,
        describe_events(found.scan.attrs, found.scan.notes),
        periods=found.scan.periods,
        is_time=tuple(is_time_event(attr.type, attr.config) for attr in found.scan.attrs),
        warnings=found.warnings,
        truncated=found.truncated,
    )


def _read(path: Path, frames: CallFrames | None, *, keeps_chains: bool) -> _Scanned:
    try:
        with open_stored(main_file(path), remedy=_RECORD_AGAIN) as stream:
            header = read_header(stream, path)
            # Stacks become chains in a second pass: only then it is known what was mapped where.
            unwinds = keeps_chains and holds_stacks(header.attrs)
            scan = Scan(header, {}, keeps_chains=keeps_chains and not unwinds)
            scan.run(record_streams(path, stream, remedy=_RECORD_AGAIN))
            is_timed = all(attr.has(SampleType.TIME) for attr in scan.attrs)
            history = ProcessHistory(scan.records.events, is_timed=is_timed)
            boundaries, undivided = _straddled(scan.table, history)
            unwinder = None
            if keeps_chains and holds_stacks(scan.attrs):
                unwinder = StackUnwinder(history, frames, scan.notes.arch)
            if boundaries or unwinder is not None:
                # Some rows hold samples from before and after a change of their thread: add up again, apart.
                scan = Scan(header, boundaries, keeps_chains=keeps_chains, unwinder=unwinder)
                scan.run(record_streams(path, stream, remedy=_RECORD_AGAIN))
    except OSError as error:
        raise ParseError(f"{path}: cannot be read: {error.strerror or error}") from error
    table = scan.table
    if table is not None:
        table = reunited(table, history.moments(table.pid, table.tid, table.first))
    if table is None or not table.key.size:
        unfinished = ": perf record did not finish it" if header.data_end is None and not header.is_pipe else ""
        reason = scan.warnings[0] if scan.warnings else f"it holds no samples{unfinished}"
        whole = directory_of(path)
        remedy = _RECORD_AGAIN if whole is None else f"give the directory that it is a part of: {whole}"
        raise ParseError(f"{path}: {reason}", remedy=remedy)
    return _Scanned(
        scan,
        table,
        history,
        warnings=(
            *header.warnings,
            *scan.warnings,
            *_complaints(scan),
            *_untimed(scan),
            *_blurred(history, undivided),
            *_cut_chains(unwinder, frames, why_not_unwound(scan.attrs, scan.notes.arch)),
        ),
        truncated=scan.truncated or (header.data_end is None and not header.is_pipe),
    )


def _cut_chains(unwinder: StackUnwinder | None, frames: CallFrames | None, lack: str | None) -> tuple[str, ...]:
    """That callers are missing, and what would help; ``lack`` of what all stacks of the recording need."""
    if unwinder is None or not unwinder.cut:
        return ()
    if lack is not None:
        reason = lack
    elif frames is None:
        reason = "their objects were not at hand, and only frame pointers were followed"
    else:
        reason = "the stack bytes end before, or an object has no call frame information; record with more: dwarf,65528"
    cut, samples = units.count(unwinder.cut), units.count(unwinder.samples)
    return (f"{cut} of {samples} user call chains lack their last callers: {reason}",)


def _straddled(table: SampleTable | None, history: ProcessHistory) -> tuple[Boundaries, int]:
    """For threads with a row whose samples lie on both sides of a change: the times of their changes.

    And how many threads were left out, because they changed too often to keep all that.
    """
    boundaries: Boundaries = {}
    left_out, room = 0, _MOST_CHANGES
    if table is None:
        return boundaries, left_out
    first = history.moments(table.pid, table.tid, table.first)
    straddled = np.flatnonzero(first != history.moments(table.pid, table.tid, table.last))
    straddled = straddled[np.argsort(table.tid[straddled], kind="stable")]
    for part in np.split(straddled, np.flatnonzero(np.diff(table.tid[straddled])) + 1):
        if room < 0:
            left_out += 1
        elif part.size:
            tid = int(table.tid[part[0]])
            boundaries[tid] = history.changes(np.unique(table.pid[part]).tolist(), tid)
            room -= boundaries[tid].size
    return boundaries, left_out


def _blurred(history: ProcessHistory, undivided: int) -> tuple[str, ...]:
    """That some names may be those of another time or lacking."""
    lines = []
    if undivided:
        lines.append(f"{undivided} threads are not told apart before and after a change: there are too many changes")
    if history.forgotten_forks:
        lines.append(f"{history.forgotten_forks} forked processes are without mappings: they inherit too many in all")
    return tuple(lines)


def _untimed(scan: Scan) -> tuple[str, ...]:
    """That samples have no order, unless all stand in one of perf's buffers, which is in order itself."""
    has_time = [attr.has(SampleType.TIME) for attr in scan.attrs]
    lacking = [number for number, extremes in enumerate(scan.periods) if extremes and not has_time[number]]
    # The first event also brings what tells names and programs.
    if has_time[0] and not lacking:
        return ()
    if not any(has_time) and all(len(attr.ids) <= 1 for attr in scan.attrs):
        return ()
    names = describe_events(scan.attrs, scan.notes)
    what = f"samples of {', '.join(names[number] for number in lacking)}" if has_time[0] else "names and programs"
    return (
        f"{what} are recorded without times: samples of threads that took another name, and of processes that started"
        " another program, may stand under the wrong one or under none; record without --no-timestamp and time=0",
    )


def _complaints(scan: Scan) -> tuple[str, ...]:
    """What a reader of the numbers must know about the records."""
    lines = []
    if scan.malformed:
        lines.append(f"{scan.malformed} samples are malformed and were left out")
    if scan.records.damaged:
        lines.append(f"{scan.records.damaged} records are damaged and were left out")
    unknown = {kind: count for kind, count in scan.records.counts.items() if kind not in RECORD_NAMES}
    if unknown:
        lines.append(f"{sum(unknown.values())} records of {len(unknown)} unknown types were passed over")
    lost = max(scan.records.lost_samples, scan.records.lost_records)
    if lost:
        lines.append(f"perf lost {lost} samples or records while recording: shares may be off where it was busiest")
    return tuple(lines)
