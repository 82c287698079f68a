"""Decoding the samples of a block into columns, call chains included, all at once."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hakprof.parse.perf_data.format import CPUMODE_MASK, EventAttr, ReadFormat, SampleType
from hakprof.parse.perf_data.walk import Indices, Words

# A chain's hash is the sum of word × base^i (mod 2^64). Prefix sums over the block give it for all chains at once.
_BASE = 0x9E3779B97F4A7C15
_BASE_INVERSE = pow(_BASE, -1, 1 << 64)
_LENGTH_FACTOR = np.uint64(0xD6E8FEB86659FD93)
_LOW_32 = np.uint64(0xFFFFFFFF)
_PERIOD_LIMIT = np.uint64(1 << 48)


@dataclass(frozen=True, slots=True)
class Layout:
    """Word offsets of a sample's fixed fields from its header; None for a field that it does not have."""

    ip: int | None
    tid: int | None
    time: int | None
    id: int | None
    period: int | None
    fixed_words: int

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
        )


@dataclass(frozen=True, slots=True)
class SampleColumns:
    """Samples of one block. ``chain_start`` and ``chain_length`` are word ranges; ``stack`` 0 means no chain."""

    event: npt.NDArray[np.uint16]
    cpumode: npt.NDArray[np.uint8]
    pid: npt.NDArray[np.int32]
    tid: npt.NDArray[np.int32]
    ip: Words
    time: Words
    period: Words
    stack: Words
    chain_start: Indices
    chain_length: Indices


class SampleDecoder:
    """Decodes samples of the events of one file. Counts what it cannot decode in ``malformed``."""

    def __init__(self, attrs: tuple[EventAttr, ...]) -> None:
        self._attrs = attrs
        self._layouts = tuple(Layout.of(attr) for attr in attrs)
        pairs = sorted((i, index) for index, attr in enumerate(attrs) for i in attr.ids)
        self._ids = np.array([i for i, _ in pairs], dtype=np.uint64)
        self._id_events = np.array([index for _, index in pairs], dtype=np.uint16)
        self._has_chains = any(attr.has(SampleType.CALLCHAIN) for attr in attrs)
        self._powers = np.zeros(0, dtype=np.uint64)
        self._inverses = np.zeros(0, dtype=np.uint64)
        self.malformed = 0

    def decode(self, words: Words, starts: Indices, file_offset: int) -> list[SampleColumns]:
        """The samples whose headers are at ``starts``, as columns for each event that occurs."""
        prefix = self._chain_prefix(words) if self._has_chains else None
        if len(self._attrs) == 1:
            parts = [(0, starts)]
        else:
            events, known = self._events_of(words, starts)
            self.malformed += int(starts.size - known.sum())
            parts = [(int(e), starts[known & (events == e)]) for e in np.unique(events[known])]
        return [self._decode_event(words, part, index, file_offset, prefix) for index, part in parts]

    def _with_credible_period(self, words: Words, starts: Indices, at: int) -> npt.NDArray[np.bool_]:
        """Samples whose period a counter can have: beyond it is damage, and would swallow all others in a sum."""
        credible: npt.NDArray[np.bool_] = words[np.minimum(starts + at, words.size - 1)] < _PERIOD_LIMIT
        return credible

    def _events_of(self, words: Words, starts: Indices) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.bool_]]:
        """The event of each sample by its counter id, and whether that id is known."""
        at = self._layouts[0].id
        if at is None or not self._ids.size:
            return np.zeros(starts.size, dtype=np.uint16), np.ones(starts.size, dtype=np.bool_)
        ids = words[np.minimum(starts + at, words.size - 1)]
        slot = np.minimum(np.searchsorted(self._ids, ids), self._ids.size - 1)
        return self._id_events[slot], self._ids[slot] == ids

    def _decode_event(
        self, words: Words, starts: Indices, index: int, file_offset: int, prefix: Words | None
    ) -> SampleColumns:
        attr, layout = self._attrs[index], self._layouts[index]
        sizes = (words[starts] >> np.uint64(51)).astype(np.int64)
        starts, chain_start, chain_length = self._chains(words, starts, sizes, index)
        count = starts.size
        zeros = np.zeros(count, dtype=np.uint64)
        ids = words[starts + layout.tid] if layout.tid is not None else zeros
        times = words[starts + layout.time] if layout.time is not None else (starts * 8 + file_offset).astype(np.uint64)
        if layout.period is not None:
            period = words[starts + layout.period]
        else:
            fixed = 1 if attr.uses_frequency else attr.period_or_frequency
            period = np.full(count, min(fixed, int(_PERIOD_LIMIT)), dtype=np.uint64)
        return SampleColumns(
            event=np.full(count, index, dtype=np.uint16),
            cpumode=((words[starts] >> np.uint64(32)) & np.uint64(CPUMODE_MASK)).astype(np.uint8),
            pid=(ids & _LOW_32).astype(np.uint32).view(np.int32),
            tid=(ids >> np.uint64(32)).astype(np.uint32).view(np.int32),
            ip=words[starts + layout.ip] if layout.ip is not None else zeros,
            time=times,
            period=period,
            stack=self._hash(prefix, chain_start, chain_length) if prefix is not None else zeros,
            chain_start=chain_start,
            chain_length=chain_length,
        )

    def _chains(self, words: Words, starts: Indices, sizes: Indices, index: int) -> tuple[Indices, Indices, Indices]:
        """The samples that are whole, with first word and length of their chains (length 0: none)."""
        attr, layout = self._attrs[index], self._layouts[index]
        whole = sizes >= layout.fixed_words
        if layout.period is not None:
            whole &= self._with_credible_period(words, starts, layout.period)
        self.malformed += int(whole.size - whole.sum())
        starts, sizes = starts[whole], sizes[whole]
        at = starts + layout.fixed_words
        end = starts + sizes
        if not attr.has(SampleType.CALLCHAIN):
            return starts, at, np.zeros(starts.size, dtype=np.int64)
        if attr.has(SampleType.READ):
            at = at + _read_words(words, at, end, attr.read_format)
        # A chain that claims more words than its record has is damage: such a sample cannot be trusted at all.
        length = np.where(at < end, words[np.minimum(at, words.size - 1)], np.uint64(1 << 32)).view(np.int64)
        fits = (at < end) & (length >= 0) & (length <= end - at - 1)
        self.malformed += int(fits.size - fits.sum())
        return starts[fits], at[fits] + 1, length[fits]

    def _chain_prefix(self, words: Words) -> Words:
        """Prefix sums of word × base^i, with a zero before the first."""
        if self._powers.size < words.size + 1:
            self._powers = _powers_of(_BASE, words.size + 1)
            self._inverses = _powers_of(_BASE_INVERSE, words.size + 1)
        prefix = np.empty(words.size + 1, dtype=np.uint64)
        prefix[0] = 0
        np.multiply(words, self._powers[: words.size], out=prefix[1:])
        np.cumsum(prefix, out=prefix)
        return prefix

    def _hash(self, prefix: Words, start: Indices, length: Indices) -> Words:
        value: Words = (prefix[start + length] - prefix[start]) * self._inverses[start]
        value ^= length.astype(np.uint64) * _LENGTH_FACTOR
        value[value == 0] = 1
        value[length == 0] = 0
        return value


def _read_words(words: Words, at: Indices, end: Indices, read_format: int) -> Indices:
    """Words that the counter values of each sample take (`struct read_format` in perf_event.h)."""
    times = bool(read_format & ReadFormat.TOTAL_TIME_ENABLED) + bool(read_format & ReadFormat.TOTAL_TIME_RUNNING)
    entry = 1 + bool(read_format & ReadFormat.ID) + bool(read_format & ReadFormat.LOST)
    if not read_format & ReadFormat.GROUP:
        return np.full(at.size, times + entry, dtype=np.int64)
    members = words[np.minimum(at, words.size - 1)]
    members = np.minimum(members, np.maximum(end - at, 0).astype(np.uint64)).astype(np.int64)
    total: Indices = 1 + times + members * entry
    return total


def _powers_of(base: int, count: int) -> Words:
    factors = np.full(count, np.uint64(base), dtype=np.uint64)
    factors[0] = 1
    return np.cumprod(factors, dtype=np.uint64)
