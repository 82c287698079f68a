"""Finding records in a block of perf.data without a Python step for each sample.

Records have no index: each header says how far it is to the next. Within a block every word that could be the header
of a SAMPLE is a candidate; from a header known to be real, `position + size` is followed as long as it meets the next
candidate. That is exact, because every jump starts at a proven header; only other record types and false candidates
(data that looks like a header) break a run and cost one step each.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hakprof.parse.perf_data.format import Record

Words = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]
SampleSink = Callable[[Words, Indices, int], None]
RecordSink = Callable[[int, int, memoryview, int], int]

_HEADER = struct.Struct("<IHH")
_LOW_32 = np.uint64(0xFFFFFFFF)
_SIZE_SHIFT = np.uint64(48)


class DamagedRecordError(Exception):
    """A record header that cannot be true; nothing after it can be found."""


@dataclass(frozen=True, slots=True)
class _Candidates:
    """SAMPLE headers that a block may hold at one alignment, as word indices, ascending."""

    words: Words
    starts: Indices
    nexts: Indices
    breaks: Indices

    @classmethod
    def find(cls, block: npt.NDArray[np.uint8], phase: int) -> "_Candidates":
        words = block[phase : phase + (block.size - phase) // 8 * 8].view(np.uint64)
        starts = np.flatnonzero((words & _LOW_32) == Record.SAMPLE)
        sizes = (words[starts] >> _SIZE_SHIFT).astype(np.int64)
        nexts = starts + sizes // 8
        real = (sizes >= 8) & (sizes % 8 == 0) & (nexts <= words.size)
        starts, nexts = starts[real], nexts[real]
        return cls(words, starts, nexts, np.flatnonzero(nexts[:-1] != starts[1:]))

    def run_from(self, word: int) -> tuple[int, int]:
        """Range [first, last) of candidates that are proven by a real header at ``word``; empty if it is none."""
        first = int(np.searchsorted(self.starts, word))
        if first == self.starts.size or self.starts[first] != word:
            return 0, 0
        at = int(np.searchsorted(self.breaks, first))
        last = int(self.breaks[at]) + 1 if at < self.breaks.size else self.starts.size
        return first, last


def walk_block(
    block: npt.NDArray[np.uint8], file_offset: int, on_samples: SampleSink, on_record: RecordSink
) -> tuple[int, int]:
    """Walks the complete records of a block that starts at a record header.

    ``on_samples(words, starts, offset)`` gets the word indices of SAMPLE headers in ``words``, whose first byte is at
    ``offset`` of the file. ``on_record(type, misc, record, offset)`` gets every other record and returns the number of
    bytes that follow it outside any record (trace data). Returns the bytes consumed, which may lie beyond the block
    when such data does, and the number of samples.
    """
    view = block.data
    phases: dict[int, _Candidates] = {}
    runs: dict[int, list[Indices]] = {}
    position = 0
    while position + 8 <= block.size:
        phase = position & 7
        if phase not in phases:
            phases[phase] = _Candidates.find(block, phase)
        candidates = phases[phase]
        first, last = candidates.run_from(position >> 3)
        if last > first:
            runs.setdefault(phase, []).append(candidates.starts[first:last])
            position = int(candidates.nexts[last - 1]) * 8 + phase
            continue
        kind, misc, size = _HEADER.unpack_from(view, position)
        if size < 8 or (kind == Record.SAMPLE and size % 8):
            raise DamagedRecordError(f"the record at byte {file_offset + position} claims {size} bytes")
        if position + size > block.size:
            break
        extra = on_record(kind, misc, view[position : position + size], file_offset + position)
        position += size + extra
    count = 0
    for phase, found in runs.items():
        starts = np.concatenate(found)
        count += starts.size
        on_samples(phases[phase].words, starts, file_offset + phase)
    return position, count
