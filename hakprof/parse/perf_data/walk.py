"""Finding the records in a block of perf.data."""

import struct
from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hakprof.parse.perf_data.format import Record

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]
RecordSink = Callable[[int, int, memoryview, int], int]

_HEADER = struct.Struct("<IHH")
_LOW_32 = np.uint64(0xFFFFFFFF)
_SIZE_SHIFT = np.uint64(48)


class DamagedRecordError(Exception):
    """A record header that cannot be true; nothing after it can be found."""


class SampleTaker(Protocol):
    """Takes the samples of one block, which stand one after another for the most part."""

    def take(self, position: int) -> int:
        """Takes the samples from ``position`` on, as far as they are whole; the position behind them."""


def walk_block(block: Bytes, file_offset: int, samples: SampleTaker, on_record: RecordSink) -> int:
    """Walks the complete records of a block that starts at a record header.

    ``on_record(type, misc, record, offset)`` gets every record that is no sample and returns the number of bytes that
    follow it outside any record (trace data). Returns the bytes consumed, which may lie beyond the block when such
    data does. DamagedRecordError: from there on no record can be found; those before it were taken.
    """
    view = block.data
    position = 0
    while position + 8 <= block.size:
        kind, misc, size = _HEADER.unpack_from(view, position)
        if size < 8 or (kind == Record.SAMPLE and size % 8):
            raise DamagedRecordError(f"the record at byte {file_offset + position} claims {size} bytes")
        if position + size > block.size:
            break
        if kind == Record.SAMPLE:
            position = samples.take(position)
        else:
            extra = on_record(kind, misc, view[position : position + size], file_offset + position)
            position += size + extra
    return position


class SampleRuns:
    """The samples in a block at one alignment, found without a Python step for each.

    Records have no index: each header says how far it is to the next. Every word that could be the header of a sample
    is a candidate; from a header known to be real, `position + size` is followed as long as it meets the next
    candidate. That is exact, because every jump starts at a proven header; only other record types and false
    candidates (data that looks like a header) break a run and cost one step each.
    """

    def __init__(self, block: Bytes, phase: int) -> None:
        self.words: Words = block[phase : phase + (block.size - phase) // 8 * 8].view(np.uint64)
        starts = np.flatnonzero((self.words & _LOW_32) == Record.SAMPLE)
        sizes = (self.words[starts] >> _SIZE_SHIFT).astype(np.int64)
        nexts = starts + sizes // 8
        possible = (sizes >= 8) & (sizes % 8 == 0) & (nexts <= self.words.size)
        self._starts, self._nexts = starts[possible], nexts[possible]
        self._breaks = np.flatnonzero(self._nexts[:-1] != self._starts[1:])

    def run_from(self, word: int) -> tuple[Indices, int]:
        """The headers of the samples that follow one another from the one at ``word``, and the word behind them."""
        first = int(np.searchsorted(self._starts, word))
        at = int(np.searchsorted(self._breaks, first))
        last = int(self._breaks[at]) + 1 if at < self._breaks.size else self._starts.size
        return self._starts[first:last], int(self._nexts[last - 1])
