"""What was mapped where: the open mappings of a process while records are replayed, and an index of all afterwards.

Each replaced mapping begins a new *space* of its process. A mapping holds for a range of addresses and a range of
spaces, and no two overlap in both.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping as Table
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hakprof.parse.perf_data.timeline import Timeline
from hakprof.parse.perf_data.walk import Indices, Words

_END_OF_TIME = 2**64 - 1
_MOST_IN_BUCKET = 512
_PIECE = 1 << 16  # queries that are answered together: their columns fit in the cache
_RANK_BITS = 32
_NOWHERE = np.zeros(1, dtype=np.uint64)


@dataclass(slots=True)
class Mapping:
    """A stretch of a process's memory and the time [since, until) in which it was there."""

    pid: int
    start: int
    end: int
    file_offset: int
    path: str
    build_id: str | None
    since: int
    until: int | None = None


class OpenMappings:
    """The open mappings of one process, disjoint, as indices into all mappings.

    They stand by address in buckets, so that one that comes or goes moves few others however many there are.
    """

    def __init__(self) -> None:
        self._firsts: list[int] = [0]  # of each bucket, its first start; of an empty one, which is alone, any
        self._starts: list[list[int]] = [[]]
        self._rows: list[list[int]] = [[]]

    @property
    def most_together(self) -> int:
        """The size of the largest bucket: so many are moved at most when one comes or goes."""
        return max(map(len, self._rows))

    def rows(self) -> list[int]:
        """All of them, ascending by address."""
        return [row for rows in self._rows for row in rows]

    def add(self, start: int, row: int) -> None:
        """Adds one that overlaps none."""
        bucket = max(bisect_right(self._firsts, start) - 1, 0)
        starts, rows = self._starts[bucket], self._rows[bucket]
        at = bisect_left(starts, start)
        starts.insert(at, start)
        rows.insert(at, row)
        self._firsts[bucket] = starts[0]
        if len(starts) > _MOST_IN_BUCKET:
            half = len(starts) // 2
            self._firsts.insert(bucket + 1, starts[half])
            self._starts.insert(bucket + 1, starts[half:])
            self._rows.insert(bucket + 1, rows[half:])
            del starts[half:], rows[half:]

    def take(self, mappings: Sequence[Mapping], start: int, end: int) -> list[int]:
        """Removes those that overlap [start, end); ascending by address."""
        taken: list[int] = []
        bucket = max(bisect_right(self._firsts, start) - 1, 0)
        while bucket < len(self._firsts) and self._firsts[bucket] < end:
            starts, rows = self._starts[bucket], self._rows[bucket]
            first, last = max(bisect_right(starts, start) - 1, 0), bisect_left(starts, end)
            if first < last and mappings[rows[first]].end <= start:
                first += 1  # it ends before; all others up to ``last`` begin within
            taken += rows[first:last]
            del starts[first:last], rows[first:last]
            if starts:
                self._firsts[bucket] = starts[0]
                bucket += 1
            elif len(self._firsts) > 1:
                del self._firsts[bucket], self._starts[bucket], self._rows[bucket]
            else:
                break
        return taken


@dataclass(frozen=True, slots=True)
class _Level:
    """Mappings that hold for all of some 2^height spaces, ascending by key: which those are, then where it starts.

    An empty one before them stands for whatever comes before the first.
    """

    height: int
    keys: Indices
    ends: Words
    rows: npt.NDArray[np.int32]

    @classmethod
    def of(cls, height: int, keys: Indices, ends: Words, rows: Indices) -> "_Level":
        """A level of mappings in any order."""
        order = np.argsort(keys)
        return cls(
            height,
            keys=np.concatenate(([np.iinfo(np.int64).min], keys[order])),
            ends=np.concatenate((_NOWHERE, ends[order])),
            rows=np.concatenate(([-1], rows[order])).astype(np.int32),
        )


class SpaceIndex:
    """Finds the mapping that holds an address in a space: in time that grows with the logarithm of their number.

    Spaces are numbered through all processes. The range of spaces of each mapping is taken apart into aligned blocks
    of 2^height (a segment tree); mappings that hold for the same block are disjoint in their addresses, and the one
    with the last start before an address is found by bisection. Without replaced mappings all stand at one height.
    """

    def __init__(self, mappings: Sequence[Mapping], changes: Table[int, Sequence[int]]) -> None:
        """``changes``: for each process that has mappings the times, ascending, at which any was replaced."""
        self._timeline = Timeline(changes)
        starts = np.array([m.start for m in mappings], dtype=np.uint64)
        self._starts = np.unique(starts)
        self._levels = self._levels_of(mappings, np.searchsorted(self._starts, starts, side="right"))

    @property
    def size(self) -> int:
        """Entries at all heights together."""
        return sum(level.keys.size - 1 for level in self._levels)

    @property
    def height(self) -> int:
        """How many heights have entries: so many bisections answer a query."""
        return len(self._levels)

    def spaces(self, pid: npt.NDArray[np.int32], time: Words) -> Indices:
        """The space of each process at that time; -1 for a process without any mapping."""
        return self._timeline.at(pid, time)

    def find(self, space: Indices, address: Words) -> npt.NDArray[np.int32]:
        """The mapping that holds each address in that space; -1 for none."""
        found = np.empty(address.size, dtype=np.int32)
        for begin in range(0, address.size, _PIECE):
            piece = slice(begin, begin + _PIECE)
            found[piece] = self._find(space[piece], address[piece])
        return found

    def find_late(self, space: Indices, address: Words) -> npt.NDArray[np.int32]:
        """The same, or the mapping that holds the address at the end of the process."""
        found = self.find(space, address)
        missing = np.flatnonzero((found < 0) & (space >= 0))
        found[missing] = self.find(self._timeline.last(space[missing]), address[missing])
        return found

    def _find(self, space: Indices, address: Words) -> npt.NDArray[np.int32]:
        found = np.full(address.size, -1, dtype=np.int32)
        rank = np.searchsorted(self._starts, address, side="right")
        for level in self._levels:
            block = space >> level.height
            slot = np.searchsorted(level.keys, block << _RANK_BITS | rank, side="right") - 1
            inside = (level.keys[slot] >> _RANK_BITS == block) & (address < level.ends[slot])
            np.copyto(found, level.rows[slot], where=inside)
        return found

    def _levels_of(self, mappings: Sequence[Mapping], rank: Indices) -> tuple[_Level, ...]:
        pid = np.array([m.pid for m in mappings], dtype=np.int32)
        ends = np.array([m.end for m in mappings], dtype=np.uint64)
        is_open = np.array([m.until is None for m in mappings], dtype=np.bool_)
        until = np.array([_END_OF_TIME if m.until is None else m.until for m in mappings], dtype=np.uint64)
        # Not from the moment of its record: samples of another processor may stand before it.
        low = self.spaces(pid, np.array([m.since for m in mappings], dtype=np.uint64))
        high = self.spaces(pid, until) + is_open
        rows = np.flatnonzero(low < high)
        low, high = low[rows], high[rows]
        levels: list[_Level] = []
        height = 0
        while rows.size:
            left, right = low & 1 == 1, high & 1 == 1
            block = np.concatenate((low[left], high[right] - 1))
            chosen = np.concatenate((rows[left], rows[right]))
            if chosen.size:
                levels.append(_Level.of(height, block << _RANK_BITS | rank[chosen], ends[chosen], chosen))
            low, high, height = (low + 1) >> 1, high >> 1, height + 1
            wide = low < high
            low, high, rows = low[wide], high[wide], rows[wide]
        return tuple(levels)
