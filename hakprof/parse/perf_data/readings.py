"""Samples that carry counter values (PERF_SAMPLE_READ): one sample for each counter that moved, as perf report has it.

`perf record -e '{a,b}:S'` samples the leader only and notes with each sample how far every counter of the group has
come. What a counter gained since its last reading is the period of a sample of its own event, at the same address
(deliver_sample_group in linux/tools/perf/util/session.c).
"""

from dataclasses import fields, replace

import numpy as np
import numpy.typing as npt

from hakprof.parse.perf_data.columns import PERIOD_LIMIT, SampleColumns
from hakprof.parse.perf_data.format import INHERIT_FLAG, EventAttr, ReadFormat
from hakprof.parse.perf_data.walk import Indices, Words


class CounterReadings:
    """Remembers the last value of each counter; samples must come in the order of the file."""

    def __init__(self, ids: Words, events: npt.NDArray[np.uint16]) -> None:
        self._ids, self._events = ids, events
        self._last: dict[tuple[int, int], int] = {}

    def split(
        self, columns: SampleColumns, words: Words, at: Indices, members: Indices, attr: EventAttr
    ) -> tuple[SampleColumns, int]:
        """The samples of the members' events, and how many readings are of unknown counters or cannot be true.

        ``at`` is the place in ``words``, the block's, of each sample's readings, and ``members`` how many there are
        (``reading_members``).
        """
        owner = np.repeat(np.arange(at.size), members)
        number = np.arange(owner.size) - np.repeat(np.cumsum(members) - members, members)
        value, identity = _positions(at[owner], number, attr.read_format)
        ids, values = words[identity], words[value]
        slot = np.minimum(np.searchsorted(self._ids, ids), self._ids.size - 1)
        thread = columns.tid[owner] if attr.flags & INHERIT_FLAG else np.zeros(owner.size, dtype=np.int32)
        known = self._ids[slot] == ids
        gained = np.zeros(ids.size, dtype=np.uint64)
        gained[known] = self._gains(ids[known], thread[known], values[known])
        credible = gained < PERIOD_LIMIT
        kept = known & credible & (gained > 0)
        source = owner[kept]
        taken = {each.name: getattr(columns, each.name)[source] for each in fields(columns) if each.name != "words"}
        split = replace(columns, **{**taken, "event": self._events[slot[kept]], "period": gained[kept]})
        return split, int(np.count_nonzero(~(known & credible)))

    def _gains(self, ids: Words, thread: npt.NDArray[np.int32], values: Words) -> Words:
        """What each counter gained since the reading before; a damaged one wraps around and is beyond all limits."""
        if not ids.size:
            return values
        order = np.lexsort((np.arange(ids.size), thread, ids))
        ids, thread, values = ids[order], thread[order], values[order]
        first = np.ones(ids.size, dtype=np.bool_)
        first[1:] = (ids[1:] != ids[:-1]) | (thread[1:] != thread[:-1])
        before = np.zeros(ids.size, dtype=np.uint64)
        before[1:] = values[:-1]
        heads = np.flatnonzero(first)
        tails = np.append(heads[1:], ids.size) - 1
        for head, tail in zip(heads.tolist(), tails.tolist(), strict=True):
            key = int(ids[head]), int(thread[head])
            before[head] = self._last.get(key, 0)
            self._last[key] = int(values[tail])
        gains = np.empty(ids.size, dtype=np.uint64)
        gains[order] = values - before
        return gains


def reading_members(words: Words, at: Indices, end: Indices, read_format: int) -> Indices:
    """How many counters each sample's reading holds, at most what its record has room for."""
    if not read_format & ReadFormat.GROUP:
        return np.ones(at.size, dtype=np.int64)
    claimed = words[np.minimum(at, words.size - 1)]
    members: Indices = np.minimum(claimed, np.maximum(end - at, 0).astype(np.uint64)).astype(np.int64)
    return members


def reading_words(members: Indices, read_format: int) -> Indices:
    """Words that the readings of each sample take (`struct read_format` in perf_event.h)."""
    count: Indices = bool(read_format & ReadFormat.GROUP) + _times(read_format) + members * _entry_words(read_format)
    return count


def _times(read_format: int) -> int:
    enabled, running = ReadFormat.TOTAL_TIME_ENABLED, ReadFormat.TOTAL_TIME_RUNNING
    return bool(read_format & enabled) + bool(read_format & running)


def _entry_words(read_format: int) -> int:
    return 1 + bool(read_format & ReadFormat.ID) + bool(read_format & ReadFormat.LOST)


def _positions(at: Indices, number: Indices, read_format: int) -> tuple[Indices, Indices]:
    """Words of the value and of the id of the counter with that number in the reading at ``at``."""
    if read_format & ReadFormat.GROUP:
        value = at + 1 + _times(read_format) + number * _entry_words(read_format)
        return value, value + 1
    return at, at + 1 + _times(read_format)
