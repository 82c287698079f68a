"""One pass over the records of a file: blocks in, aggregated samples and collected records out."""

import os
import struct
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np

from hakprof.parse.perf_data.adding import SampleAdder
from hakprof.parse.perf_data.aggregate import Chains, SampleTable
from hakprof.parse.perf_data.epochs import Boundaries
from hakprof.parse.perf_data.format import ATTR_MINIMUM_SIZE, EventAttr, Record, parse_attr
from hakprof.parse.perf_data.header import Header
from hakprof.parse.perf_data.records import RecordCollector
from hakprof.parse.perf_data.unwind import StackUnwinder
from hakprof.parse.perf_data.walk import Bytes, DamagedRecordError, walk_block
from hakprof.parse.perf_data.zstd import DamagedStreamError, Inflater

CUT_OFF = "the recording is cut off: what is there was read, what came later is missing"
_BLOCK_BYTES = 1 << 20
_STACKS_BYTES = 8 << 20  # a sample with its stack has some 8 KB, and each step up is cheaper with more of them
_NAME_UPDATE = 2
# A bomb of process events would be kept whole: so many, and one for each few bytes of the file before.
_MOST_INFLATED, _BYTES_PER_INFLATED = 1 << 18, 4
_MOST_EVENTS = 1 << 13  # in pipe mode, where each comes alone; all that a kernel has are fewer


class Scan:
    """Reads all records once.

    ``boundaries`` are the times, for threads that need it, at which samples before and after must be kept apart.
    Without ``keeps_chains`` samples are not told apart by their call chains; stacks that were recorded as bytes
    become chains if there is an ``unwinder``.
    """

    def __init__(
        self,
        header: Header,
        boundaries: Boundaries,
        *,
        keeps_chains: bool = True,
        unwinder: StackUnwinder | None = None,
    ) -> None:
        self._header = header
        self.attrs: tuple[EventAttr, ...] = header.attrs
        self.notes = header.notes
        self._adder = SampleAdder(header.attrs, boundaries, keeps_chains=keeps_chains, unwinder=unwinder)
        self.records = RecordCollector(header.attrs, self._adder.renamed)
        self._block_bytes = _STACKS_BYTES if unwinder is not None else _BLOCK_BYTES
        self._base = 0  # the files before this one, in bytes
        self._inflater: Inflater | None = None
        self._inner_rest = np.zeros(0, dtype=np.uint8)
        self._inner_offset = 0
        self._is_inflating = False
        self.truncated = False
        self.warnings: list[str] = []
        self.table: SampleTable | None = None
        self.chains: Chains

    @property
    def malformed(self) -> int:
        """Samples that were left out."""
        return self._adder.malformed

    @property
    def periods(self) -> tuple[tuple[int, int] | None, ...]:
        """The least and the most period of the samples of each event; None where it has none."""
        return self._adder.periods

    def run(self, streams: Iterable[BinaryIO]) -> None:
        """Reads up to the end of the records, or to where a file is cut off or damaged.

        The first stream has the header; others, of a directory, have records from their beginning to their end.
        """
        start, end = self._header.data_start, self._header.data_end
        is_cut = False
        for stream in streams:
            try:
                is_cut |= self._read_blocks(stream, start, end) or bool(self._inner_rest.size)
            except (DamagedRecordError, DamagedStreamError) as damage:
                self.warnings.append(f"{damage}: only what came before it was read")
                self.truncated = True
            start, end = 0, None
            self._next_file(stream)
        if is_cut:
            self.truncated = True
            self.warnings.append(CUT_OFF)
        self.table, self.chains = self._adder.result()
        self.records.counts[Record.SAMPLE] += self._adder.samples

    def _next_file(self, stream: BinaryIO) -> None:
        """What follows is of another file, at offsets of its own and with a compressed stream of its own."""
        self._base += stream.seek(0, os.SEEK_END)
        self._inflater, self._is_inflating = None, False
        self._inner_rest = np.zeros(0, dtype=np.uint8)

    def _read_blocks(self, stream: BinaryIO, start: int, data_end: int | None) -> bool:
        """Reads the records from ``start`` up to ``data_end`` or the end of the file; whether the last is cut off."""
        buffer = np.empty(self._block_bytes, dtype=np.uint8)
        position, kept = start, 0
        file_end = stream.seek(0, os.SEEK_END) if data_end is None else min(data_end, 1 << 62)
        stream.seek(position)
        while True:
            wanted = buffer.size - kept
            if data_end is not None:
                wanted = max(min(wanted, data_end - position - kept), 0)
            got = _fill(stream, buffer, kept, wanted)
            block = buffer[: kept + got]
            consumed = self._walk(block, self._base + position)
            position += consumed
            if consumed > block.size:
                # Trace data that stands between records, of a length that its record tells.
                kept = 0
                if position > file_end:
                    raise DamagedRecordError(f"trace data before byte {position} reaches beyond the records")
                stream.seek(position)
                continue
            kept = block.size - consumed
            if got < wanted or not wanted:
                return bool(kept) or (data_end is not None and data_end > position)
            buffer[:kept] = buffer[consumed : consumed + kept].copy()

    def _walk(self, block: Bytes, offset: int) -> int:
        samples = self._adder.block(block, offset)
        try:
            return walk_block(block, offset, samples, self._take_record)
        finally:
            samples.finish()

    def _take_record(self, kind: int, misc: int, record: memoryview, offset: int) -> int:
        if kind == Record.COMPRESSED:
            self._inflate(bytes(record[8:]), offset)
        elif kind == Record.COMPRESSED2 and len(record) >= 16:
            size = struct.unpack_from("<Q", record, 8)[0]
            self._inflate(bytes(record[16 : 16 + size]), offset)
        elif kind == Record.HEADER_ATTR and self._header.is_pipe:
            self._add_attr(bytes(record[8:]))
        elif self._header.is_pipe:
            self._take_note(kind, misc, bytes(record))
        return self.records.take(kind, misc, record, offset)

    def _inflate(self, piece: bytes, offset: int) -> None:
        """Walks the records in a piece of the compressed stream; they may straddle pieces."""
        if self._is_inflating:
            raise DamagedRecordError(f"the compressed records at byte {offset} hold compressed records")
        self._is_inflating = True
        self._inflater = self._inflater or Inflater()
        for chunk in self._inflater.feed(piece):
            self._inner_offset = max(self._inner_offset, offset)
            block = np.concatenate((self._inner_rest, chunk))
            consumed = self._walk(block, self._inner_offset)
            if consumed > block.size:
                raise DamagedRecordError(f"the compressed records at byte {offset} hold trace data")
            if len(self.records.events) > _MOST_INFLATED + offset // _BYTES_PER_INFLATED:
                raise DamagedRecordError(
                    f"the compressed records at byte {offset} inflate to process events without end"
                )
            self._inner_offset += consumed
            self._inner_rest = block[consumed:].copy()
        self._is_inflating = False

    def _add_attr(self, content: bytes) -> None:
        """An event description of a recording in pipe mode: perf_event_attr, then the counters' ids."""
        if len(content) < ATTR_MINIMUM_SIZE:
            return
        if len(self.attrs) == _MOST_EVENTS:
            raise DamagedRecordError(f"more than {_MOST_EVENTS:,} events are described")
        size = struct.unpack_from("<I", content, 4)[0]
        raw_ids = content[max(size, ATTR_MINIMUM_SIZE) :]
        ids = tuple(i for (i,) in struct.iter_unpack("<Q", raw_ids[: len(raw_ids) // 8 * 8]))
        self.attrs = (*self.attrs, parse_attr(content, ids))
        self._adder.describe(self.attrs)
        self.records.describe(self.attrs)

    def _take_note(self, kind: int, misc: int, record: bytes) -> None:
        """What a file keeps in its header, and a recording in pipe mode among its records."""
        try:
            if kind == Record.HEADER_FEATURE:
                self.notes.read_feature(struct.unpack_from("<Q", record, 8)[0], record[16:])
            elif kind == Record.BUILD_ID:
                self.notes.add_build_id(record, misc)
            elif kind == Record.EVENT_UPDATE and struct.unpack_from("<Q", record, 8)[0] == _NAME_UPDATE:
                name = record[24:].split(b"\0", 1)[0].decode("utf-8", "replace")
                self.notes.event_names[struct.unpack_from("<Q", record, 16)[0]] = name
        except (struct.error, IndexError):
            self.records.damaged += 1


def _fill(stream: BinaryIO, buffer: Bytes, start: int, size: int) -> int:
    """Reads until ``size`` bytes are there or the file ends; the number of bytes read."""
    view, got = buffer.data, 0
    while got < size:
        step = stream.readinto(view[start + got : start + size])  # type: ignore[attr-defined]
        if not step:
            break
        got += step
    return got
