"""Decoding the samples of a block into columns, call chains included, all at once."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hakprof.parse.perf_data.columns import PERIOD_LIMIT, SampleColumns
from hakprof.parse.perf_data.dumps import find_dumps
from hakprof.parse.perf_data.format import CPUMODE_MASK, EventAttr, ReadFormat, SampleType
from hakprof.parse.perf_data.readings import CounterReadings, reading_members, reading_words
from hakprof.parse.perf_data.unwind import StackUnwinder
from hakprof.parse.perf_data.walk import Indices, Words

# A chain's hash is the sum of word × base^i (mod 2^64). Prefix sums over the block give it for all chains at once.
_BASE = 0x9E3779B97F4A7C15
_BASE_INVERSE = pow(_BASE, -1, 1 << 64)
_LENGTH_FACTOR = np.uint64(0xD6E8FEB86659FD93)
_LOW_32 = np.uint64(0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Layout:
    """Word offsets of a sample's fixed fields from its header; None for a field that it does not have."""

    ip: int | None
    tid: int | None
    time: int | None
    id: int | None
    period: int | None
    fixed_words: int
    has_chain: bool
    has_readings: bool
    has_stack: bool

    @property
    def is_plain(self) -> bool:
        """Whether a sample is its fixed fields and then perhaps a chain: all that most recordings have."""
        return not (self.has_readings or self.has_stack)

    @classmethod
    def of(cls, attr: EventAttr) -> "Layout":
        """The layout that an event's sample_type gives (order of fields: `man 2 perf_event_open`)."""
        order = (
            SampleType.IDENTIFIER,
            SampleType.IP,
            SampleType.TID,
            SampleType.TIME,
            SampleType.ADDR,
            SampleType.ID,
            SampleType.STREAM_ID,
            SampleType.CPU,
            SampleType.PERIOD,
        )
        present = [each for each in order if attr.has(each)]
        at = {each: 1 + index for index, each in enumerate(present)}
        return cls(
            ip=at.get(SampleType.IP),
            tid=at.get(SampleType.TID),
            time=at.get(SampleType.TIME),
            id=at.get(SampleType.IDENTIFIER, at.get(SampleType.ID)),
            period=at.get(SampleType.PERIOD),
            fixed_words=1 + len(present),
            has_chain=attr.has(SampleType.CALLCHAIN),
            has_readings=attr.has(SampleType.READ),
            has_stack=attr.has(SampleType.REGS_USER) and attr.has(SampleType.STACK_USER),
        )


def layouts_of(attrs: tuple[EventAttr, ...]) -> tuple[Layout, ...]:
    """The layout of each event. Where the records of names have no times, those of samples order nothing.

    Such records come from the first event; the order of the file is then that of all.
    """
    layouts = tuple(Layout.of(attr) for attr in attrs)
    if layouts and layouts[0].time is None:
        return tuple(replace(layout, time=None) for layout in layouts)
    return layouts


@dataclass(frozen=True, slots=True)
class _Parts:
    """Word ranges of the whole samples of a block: the record, the counters' readings in it, its call chain."""

    starts: Indices
    ends: Indices
    readings: Indices
    members: Indices
    chain_start: Indices
    chain_length: Indices


class SampleDecoder:
    """Decodes samples of the events of one file. Counts what it cannot decode in ``malformed``.

    Without ``keeps_chains`` call chains are checked, but all samples come as if they had none. Stacks that were
    recorded as bytes become chains if there is an ``unwinder``.
    """

    def __init__(
        self, attrs: tuple[EventAttr, ...], *, keeps_chains: bool = True, unwinder: StackUnwinder | None = None
    ) -> None:
        self._attrs = attrs
        self._layouts = layouts_of(attrs)
        self._ids, self._id_events = ids_of(attrs)
        self._readings = CounterReadings(self._ids, self._id_events)
        self._unwinder = unwinder if keeps_chains else None
        has_chains = keeps_chains and any(layout.has_chain for layout in self._layouts)
        self._hashes = ChainHashes() if has_chains else None
        self.malformed = 0

    @property
    def is_plain(self) -> bool:
        """Whether the samples of all events are plain (``Layout.is_plain``)."""
        return all(layout.is_plain for layout in self._layouts)

    def decode(self, words: Words, starts: Indices, file_offset: int) -> list[SampleColumns]:
        """The samples whose headers are at ``starts``, as columns for each event that occurs."""
        if len(self._attrs) == 1:
            parts = [(0, starts)]
        else:
            events, known = self._events_of(words, starts)
            self.malformed += int(starts.size - known.sum())
            parts = [(int(e), starts[known & (events == e)]) for e in np.unique(events[known])]
        return [self._decode_event(words, part, index, file_offset) for index, part in parts]

    def _events_of(self, words: Words, starts: Indices) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.bool_]]:
        """The event of each sample by its counter id, and whether that id is known."""
        at = self._layouts[0].id
        if at is None or not self._ids.size:
            return np.zeros(starts.size, dtype=np.uint16), np.ones(starts.size, dtype=np.bool_)
        ids = words[np.minimum(starts + at, words.size - 1)]
        slot = np.minimum(np.searchsorted(self._ids, ids), self._ids.size - 1)
        return self._id_events[slot], self._ids[slot] == ids

    def _decode_event(self, words: Words, starts: Indices, index: int, file_offset: int) -> SampleColumns:
        attr, layout = self._attrs[index], self._layouts[index]
        parts = self._parts(words, starts, index)
        starts = parts.starts
        count = starts.size
        zeros = np.zeros(count, dtype=np.uint64)
        ids = words[starts + layout.tid] if layout.tid is not None else zeros
        times = words[starts + layout.time] if layout.time is not None else (starts * 8 + file_offset).astype(np.uint64)
        if layout.period is not None:
            period = words[starts + layout.period]
        else:
            period = np.full(count, fixed_period(attr), dtype=np.uint64)
        columns = SampleColumns(
            words=words,
            start=starts,
            event=np.full(count, index, dtype=np.uint16),
            cpumode=((words[starts] >> np.uint64(32)) & np.uint64(CPUMODE_MASK)).astype(np.uint8),
            pid=(ids & _LOW_32).astype(np.uint32).view(np.int32),
            tid=(ids >> np.uint64(32)).astype(np.uint32).view(np.int32),
            ip=words[starts + layout.ip] if layout.ip is not None else zeros,
            time=times,
            period=period,
            stack=zeros,
            chain_start=parts.chain_start,
            chain_length=parts.chain_length,
        )
        if self._unwinder is not None and layout.has_stack:
            behind = parts.chain_start + parts.chain_length
            dumps = find_dumps(words, behind, parts.ends, attr, self._unwinder.arch)
            columns = self._unwinder.with_chains(columns, dumps)
        if self._hashes is not None:
            columns = replace(columns, stack=self._hashes.of(columns.words, columns.chain_start, columns.chain_length))
        if layout.has_readings and attr.read_format & ReadFormat.ID and self._ids.size:
            columns, incredible = self._readings.split(columns, words, parts.readings, parts.members, attr)
            self.malformed += incredible
        return columns

    def _parts(self, words: Words, starts: Indices, index: int) -> _Parts:
        """Where the parts of each sample are whose length it tells itself; samples that are not whole are left out.

        What claims more words than its record has is damage: such a sample cannot be trusted at all.
        """
        attr, layout = self._attrs[index], self._layouts[index]
        ends = starts + (words[starts] >> np.uint64(51)).astype(np.int64)
        at = starts + layout.fixed_words
        whole = at <= ends
        if layout.period is not None:
            whole &= words[np.minimum(starts + layout.period, words.size - 1)] < PERIOD_LIMIT
        readings = at
        members = np.zeros(starts.size, dtype=np.int64)
        if layout.has_readings:
            members = reading_members(words, at, ends, attr.read_format)
            at = at + reading_words(members, attr.read_format)
            whole &= at <= ends
        length = np.zeros(starts.size, dtype=np.int64)
        if layout.has_chain:
            length = np.where(at < ends, words[np.minimum(at, words.size - 1)], np.uint64(1 << 32)).view(np.int64)
            at = at + 1
            whole &= (length >= 0) & (length <= ends - at)
        self.malformed += int(whole.size - np.count_nonzero(whole))
        return _Parts(starts[whole], ends[whole], readings[whole], members[whole], at[whole], length[whole])


class ChainHashes:
    """Hashes of call chains; two chains of one recording that differ have, but for a chance of 2^-64, two hashes."""

    def __init__(self) -> None:
        self._powers = np.zeros(0, dtype=np.uint64)
        self._inverses = np.zeros(0, dtype=np.uint64)
        self._words = self._prefix = np.zeros(0, dtype=np.uint64)

    def of(self, words: Words, start: Indices, length: Indices) -> Words:
        """The hash of each range of words, 0 for an empty one."""
        if words is not self._words:
            self._words, self._prefix = words, self._prefix_sums(words)
        value: Words = (self._prefix[start + length] - self._prefix[start]) * self._inverses[start]
        value ^= length.astype(np.uint64) * _LENGTH_FACTOR
        value[value == 0] = 1
        value[length == 0] = 0
        return value

    def _prefix_sums(self, words: Words) -> Words:
        """Prefix sums of word × base^i, with a zero before the first."""
        if self._powers.size < words.size + 1:
            self._powers = _powers_of(_BASE, words.size + 1)
            self._inverses = _powers_of(_BASE_INVERSE, words.size + 1)
        prefix = np.empty(words.size + 1, dtype=np.uint64)
        prefix[0] = 0
        np.multiply(words, self._powers[: words.size], out=prefix[1:])
        np.cumsum(prefix, out=prefix)
        return prefix


def ids_of(attrs: tuple[EventAttr, ...]) -> tuple[Words, npt.NDArray[np.uint16]]:
    """The ids of all counters, ascending, and the event of each."""
    pairs = sorted((i, index) for index, attr in enumerate(attrs) for i in attr.ids)
    ids = np.array([i for i, _ in pairs], dtype=np.uint64)
    return ids, np.array([index for _, index in pairs], dtype=np.uint16)


def fixed_period(attr: EventAttr) -> int:
    """The period of samples that do not carry their own."""
    return min(1 if attr.uses_frequency else attr.period_or_frequency, int(PERIOD_LIMIT))


def _powers_of(base: int, count: int) -> Words:
    factors = np.full(count, np.uint64(base), dtype=np.uint64)
    factors[0] = 1
    return np.cumprod(factors, dtype=np.uint64)
