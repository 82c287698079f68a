"""Reading a perf.data file into a PerfProfile: stream the records, add up the samples, then place them."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from hakprof.errors import ParseError
from hakprof.parse.perf_data.aggregate import Aggregator, ChainStore, SampleTable, table_of
from hakprof.parse.perf_data.format import RECORD_NAMES, Record
from hakprof.parse.perf_data.header import Header, read_header
from hakprof.parse.perf_data.place import place_samples
from hakprof.parse.perf_data.processes import ProcessHistory
from hakprof.parse.perf_data.profile import PerfProfile
from hakprof.parse.perf_data.records import RecordCollector
from hakprof.parse.perf_data.samples import SampleColumns, SampleDecoder
from hakprof.parse.perf_data.walk import DamagedRecordError, Indices, Words, walk_block

_BLOCK_BYTES = 1 << 20
_RECORD_AGAIN = "record again: `perf record -g -o perf.data -- PROGRAM`"
_Boundaries = dict[int, Words]


@dataclass(slots=True)
class _Stream:
    """What one pass over the records found."""

    table: SampleTable | None
    chains: tuple[Words, Indices, Words]
    records: RecordCollector
    malformed: int
    truncated: bool
    warnings: tuple[str, ...]


def read_perf_data(path: Path) -> PerfProfile:
    """Reads a perf.data file that perf record wrote to disk.

    Raises ParseError when the file is missing, not perf.data, of an unsupported kind, or without a single sample.
    A recording that is cut off or damaged in the middle gives what stands before that, ``truncated`` and a warning.
    """
    try:
        with path.open("rb", buffering=0) as stream:
            header = read_header(stream, path)
            found = _read_records(stream, header, path, {})
            history = ProcessHistory(found.records.events)
            boundaries = _straddled(found.table, history)
            if boundaries:
                # Some rows hold samples from before and after a change of their thread: add up again, apart.
                found = _read_records(stream, header, path, boundaries)
    except OSError as error:
        raise ParseError(f"{path}: cannot be read: {error.strerror or error}") from error
    if found.table is None or not found.table.key.size:
        reason = found.warnings[0] if found.warnings else "it holds no samples"
        raise ParseError(f"{path}: {reason}", remedy=_RECORD_AGAIN)
    return place_samples(
        found.table,
        found.chains,
        history,
        header,
        found.records,
        warnings=(*header.warnings, *found.warnings, *_complaints(found)),
        truncated=found.truncated or header.data_end is None,
    )


def _read_records(stream: BinaryIO, header: Header, path: Path, boundaries: _Boundaries) -> _Stream:
    """One pass over the records, in blocks of a mebibyte through one buffer."""
    if header.is_pipe:
        raise ParseError(f"{path}: recorded in pipe mode, which is not supported", remedy=_RECORD_AGAIN)
    decoder, records = SampleDecoder(header.attrs), RecordCollector(header.attrs)
    aggregator, chains = Aggregator(), ChainStore()

    def take_samples(words: Words, starts: Indices, offset: int) -> None:
        for columns in decoder.decode(words, starts, offset):
            if columns.event.size:
                chains.add(words, columns)
                aggregator.add(table_of(columns, _epochs(columns, boundaries)))

    def take_record(kind: int, misc: int, record: memoryview, offset: int) -> int:
        if kind in (Record.COMPRESSED, Record.COMPRESSED2):
            raise ParseError(
                f"{path}: recorded with compression (-z), which is not supported",
                remedy="record without -z: `perf record -g -o perf.data -- PROGRAM`",
            )
        return records.take(kind, misc, record, offset)

    buffer = np.empty(_BLOCK_BYTES, dtype=np.uint8)
    position, kept, warnings, truncated = header.data_start, 0, [], False
    stream.seek(position)
    while True:
        wanted = buffer.size - kept
        if header.data_end is not None:
            wanted = min(wanted, header.data_end - position - kept)
        got = _fill(stream, buffer, kept, wanted)
        block = buffer[: kept + got]
        try:
            consumed, samples = walk_block(block, position, take_samples, take_record)
        except DamagedRecordError as damage:
            warnings.append(f"{damage}: only what came before it was read")
            truncated = True
            break
        records.counts[Record.SAMPLE] += samples
        position += consumed
        if consumed > block.size:
            stream.seek(position)
            kept = 0
            continue
        kept = block.size - consumed
        if got < wanted or not wanted:
            truncated = truncated or bool(kept) or (header.data_end or position) > position
            break
        buffer[:kept] = buffer[consumed : consumed + kept].copy()
    if truncated and not warnings:
        warnings.append(f"the recording is cut off at byte {position + kept}: what was whole was read")
    return _Stream(aggregator.result(), chains.result(), records, decoder.malformed, truncated, tuple(warnings))


def _fill(stream: BinaryIO, buffer: npt.NDArray[np.uint8], start: int, size: int) -> int:
    """Reads until ``size`` bytes are there or the file ends; the number of bytes read."""
    view, got = buffer.data, 0
    while got < size:
        step = stream.readinto(view[start + got : start + size])  # type: ignore[attr-defined]
        if not step:
            break
        got += step
    return got


def _epochs(columns: SampleColumns, boundaries: _Boundaries) -> npt.NDArray[np.uint32]:
    """How many changes of its thread lie before each sample; zero for threads that need no distinction."""
    epochs = np.zeros(columns.tid.size, dtype=np.uint32)
    if boundaries:
        for tid in np.unique(columns.tid).tolist():
            if tid in boundaries:
                chosen = columns.tid == tid
                epochs[chosen] = np.searchsorted(boundaries[tid], columns.time[chosen], side="right")
    return epochs


def _straddled(table: SampleTable | None, history: ProcessHistory) -> _Boundaries:
    """For threads with a row whose samples lie on both sides of a change: the times of their changes."""
    boundaries: _Boundaries = {}
    if table is None:
        return boundaries
    order = np.argsort(table.tid, kind="stable")
    for part in np.split(order, np.flatnonzero(np.diff(table.tid[order])) + 1):
        tid = int(table.tid[part[0]])
        changes = np.array(
            sorted({time for pid in np.unique(table.pid[part]).tolist() for time in history.changes(pid, tid)}),
            dtype=np.uint64,
        )
        before = np.searchsorted(changes, table.first[part], side="right")
        after = np.searchsorted(changes, table.last[part], side="right")
        if (before != after).any():
            boundaries[tid] = changes
    return boundaries


def _complaints(found: _Stream) -> tuple[str, ...]:
    """What a reader of the numbers must know about the records."""
    lines = []
    if found.malformed:
        lines.append(f"{found.malformed} samples are malformed and were left out")
    if found.records.damaged:
        lines.append(f"{found.records.damaged} records are damaged and were left out")
    unknown = Counter({k: n for k, n in found.records.counts.items() if k not in RECORD_NAMES})
    if unknown:
        lines.append(f"{sum(unknown.values())} records of {len(unknown)} unknown types were passed over")
    if found.records.lost_samples or found.records.lost_records:
        lost = max(found.records.lost_samples, found.records.lost_records)
        lines.append(f"perf lost {lost} samples or records while recording: shares may be off where it was busiest")
    return tuple(lines)
