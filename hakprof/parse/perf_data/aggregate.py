"""Adding up samples by what makes them alike, block by block, so that memory follows unique keys and not samples."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from hakprof.parse.perf_data.columns import SampleColumns
from hakprof.parse.perf_data.walk import Indices, Words

# Distinct call chains: their hashes, ascending; offsets, one more than hashes; and the words of all, one after another.
Chains = tuple[Words, Indices, Words]

_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
_EPOCH_SHIFT = np.uint64(24)  # above the event and the mode
_MERGE_ROWS = 1 << 17
_NO_CHAINS: Chains = (np.zeros(0, dtype=np.uint64), np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.uint64))


@dataclass(frozen=True, slots=True)
class SampleTable:
    """One row for each distinct (event, pid, tid, cpumode, ip, stack, epoch), all columns of equal length."""

    key: Words
    event: npt.NDArray[np.uint16]
    cpumode: npt.NDArray[np.uint8]
    pid: npt.NDArray[np.int32]
    tid: npt.NDArray[np.int32]
    ip: Words
    stack: Words
    epoch: npt.NDArray[np.uint32]
    count: Words
    period: Words
    first: Words
    last: Words

    def take(self, order: Indices) -> "SampleTable":
        """The rows in that order."""
        return SampleTable(*(getattr(self, each.name)[order] for each in fields(self)))


def table_of(columns: SampleColumns, epoch: npt.NDArray[np.uint32]) -> tuple[SampleTable, Indices]:
    """Samples, grouped, and for each row the index of one of its samples."""
    key = columns.stack ^ (columns.ip * _MIX_1)
    key ^= key >> np.uint64(32)
    key *= _MIX_2
    key ^= columns.pid.astype(np.uint32).astype(np.uint64) << np.uint64(32) | columns.tid.astype(np.uint32)
    key *= _MIX_1
    key ^= key >> np.uint64(29)
    small = epoch.astype(np.uint64) << _EPOCH_SHIFT
    small |= columns.event.astype(np.uint64) << np.uint64(8) | columns.cpumode
    key += small * _MIX_2
    return _group(
        SampleTable(
            key=key,
            event=columns.event,
            cpumode=columns.cpumode,
            pid=columns.pid,
            tid=columns.tid,
            ip=columns.ip,
            stack=columns.stack,
            epoch=epoch,
            count=np.ones(key.size, dtype=np.uint64),
            period=columns.period,
            first=columns.time,
            last=columns.time,
        )
    )


def reunited(table: SampleTable, moment: Words) -> SampleTable:
    """Rows that differ in nothing but their epoch added up, if they are of one moment, of which each has a number."""
    key = table.key - (table.epoch.astype(np.uint64) << _EPOCH_SHIFT) * _MIX_2
    ordered = np.sort(key)
    if not (ordered[1:] == ordered[:-1]).any():
        return table
    merged, _ = _group(replace(table, key=key + moment * _MIX_1, epoch=np.zeros_like(table.epoch)))
    return merged


class Aggregator:
    """Collects tables and keeps them merged; ``result()`` is sorted by key."""

    def __init__(self) -> None:
        self._merged: SampleTable | None = None
        self._pending: list[SampleTable] = []
        self._pending_rows = 0

    def add(self, table: SampleTable) -> None:
        """Takes in a grouped table."""
        self._pending.append(table)
        self._pending_rows += table.key.size
        # Merging costs what is merged: waiting until the pending rows match the merged ones keeps it linear.
        if self._pending_rows >= max(_MERGE_ROWS, 0 if self._merged is None else self._merged.key.size):
            self._merge()

    def result(self) -> SampleTable | None:
        """All rows, or None when there was no sample."""
        if self._pending:
            self._merge()
        return self._merged

    def _merge(self) -> None:
        tables = ([self._merged] if self._merged is not None else []) + self._pending
        columns = (np.concatenate([getattr(t, each.name) for t in tables]) for each in fields(SampleTable))
        self._merged, _ = _group(SampleTable(*columns))
        self._pending, self._pending_rows = [], 0


def _group(table: SampleTable) -> tuple[SampleTable, Indices]:
    """Rows of equal key added up, and for each the index of one of them."""
    if not table.key.size:
        return table, np.zeros(0, dtype=np.int64)
    order = np.argsort(table.key)
    ordered = table.key[order]
    heads = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    example = order[heads]
    representative = table.take(example)
    grouped = SampleTable(
        **{
            each.name: getattr(representative, each.name)
            for each in fields(table)
            if each.name not in {"count", "period", "first", "last"}
        },
        count=np.add.reduceat(table.count[order], heads),
        period=np.add.reduceat(table.period[order], heads),
        first=np.minimum.reduceat(table.first[order], heads),
        last=np.maximum.reduceat(table.last[order], heads),
    )
    return grouped, example


class ChainStore:
    """Keeps one example of each distinct call chain, found by its hash."""

    def __init__(self) -> None:
        self._known = np.zeros(0, dtype=np.uint64)
        self._recent = np.zeros(0, dtype=np.uint64)
        self._hashes: list[Words] = []
        self._lengths: list[Indices] = []
        self._words: list[Words] = []

    def add(self, columns: SampleColumns, examples: Indices) -> None:
        """Copies the chains of a block that were not met before; ``examples`` are samples with every one of them."""
        hashes, index = np.unique(columns.stack[examples], return_index=True)
        index = examples[index]
        new = (hashes != 0) & ~_contains(self._known, hashes) & ~_contains(self._recent, hashes)
        if not new.any():
            return
        hashes, index = hashes[new], index[new]
        lengths = columns.chain_length[index]
        self._hashes.append(hashes)
        self._lengths.append(lengths)
        self._words.append(columns.words[ranges(columns.chain_start[index], lengths)])
        self._recent = np.union1d(self._recent, hashes)
        if self._recent.size * 4 > self._known.size:
            self._known = np.union1d(self._known, self._recent)
            self._recent = np.zeros(0, dtype=np.uint64)

    def result(self) -> Chains:
        """All chains."""
        if not self._hashes:
            return _NO_CHAINS
        return chains_of(np.concatenate(self._hashes), np.concatenate(self._lengths), np.concatenate(self._words))


def chains_of(hashes: Words, lengths: Indices, words: Words) -> Chains:
    """Chains in any order, one after another in ``words``; the first of those with equal hashes is kept."""
    starts = np.cumsum(lengths) - lengths
    hashes, order = np.unique(hashes, return_index=True)
    offsets = np.concatenate(([0], np.cumsum(lengths[order])))
    return hashes, offsets, words[ranges(starts[order], lengths[order])]


def united(results: Sequence[tuple[SampleTable | None, Chains]]) -> tuple[SampleTable | None, Chains]:
    """What several engines added up, as one."""
    if len(results) == 1:
        return results[0]
    aggregator = Aggregator()
    for table, _ in results:
        if table is not None:
            aggregator.add(table)
    hashes, offsets, words = zip(*(chains for _, chains in results or [(None, _NO_CHAINS)]), strict=True)
    lengths = np.concatenate([np.diff(each) for each in offsets])
    return aggregator.result(), chains_of(np.concatenate(hashes), lengths, np.concatenate(words))


def ranges(starts: Indices, lengths: Indices) -> Indices:
    """The indices start, start + 1, … of each range, one range after another."""
    total = int(lengths.sum())
    shift = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)
    indices: Indices = np.arange(total, dtype=np.int64) + shift
    return indices


def _contains(ordered: Words, values: Words) -> npt.NDArray[np.bool_]:
    if not ordered.size:
        return np.zeros(values.size, dtype=np.bool_)
    slot = np.minimum(np.searchsorted(ordered, values), ordered.size - 1)
    found: npt.NDArray[np.bool_] = ordered[slot] == values
    return found
