"""Placing aggregated samples: thread names, mappings, and call chains with their own mappings."""

import numpy as np
import numpy.typing as npt
import polars as pl

from hakprof.parse.perf_data.aggregate import Chains, SampleTable, ranges
from hakprof.parse.perf_data.dumps import holds_stacks
from hakprof.parse.perf_data.format import (
    CHAIN_CUT,
    CONTEXT_KERNEL,
    CONTEXT_MAX,
    CONTEXT_USER,
    CONTEXT_USER_DEFERRED,
    RECORD_NAMES,
    EventAttr,
    Record,
)
from hakprof.parse.perf_data.header import Notes, describe_events
from hakprof.parse.perf_data.names import is_time_event
from hakprof.parse.perf_data.processes import KERNEL_PID, ProcessHistory
from hakprof.parse.perf_data.profile import MAPPING_SCHEMA, SAMPLE_SCHEMA, PerfEvent, PerfProfile, Stacks
from hakprof.parse.perf_data.records import RecordCollector
from hakprof.parse.perf_data.walk import Indices, Words

_PIECE = 1 << 16  # words of chains that are placed together: their columns fit in the cache


def place_samples(
    table: SampleTable,
    chains: Chains,
    history: ProcessHistory,
    attrs: tuple[EventAttr, ...],
    notes: Notes,
    records: RecordCollector,
    *,
    periods: tuple[tuple[int, int] | None, ...],
    warnings: tuple[str, ...],
    truncated: bool,
) -> PerfProfile:
    """The profile of a recording from its aggregated samples, distinct chains, process history and notes.

    ``periods`` are the extremes of each event.
    """
    stack_id, stacks = _stacks(table, chains, history)
    counts = {RECORD_NAMES.get(kind, f"UNKNOWN({kind})"): n for kind, n in sorted(records.counts.items()) if n}
    return PerfProfile(
        events=_events(attrs, describe_events(attrs, notes), periods),
        samples=_samples(table, stack_id, history),
        stacks=stacks,
        mappings=_mappings(history, notes.build_ids),
        comms=history.comm_names(),
        build_ids=dict(sorted(notes.build_ids.items())),
        record_counts={"TOTAL": sum(counts.values()), **counts},
        lost_records=records.lost_records,
        lost_samples=records.lost_samples,
        throttled=records.counts[Record.THROTTLE],
        unthrottled=records.counts[Record.UNTHROTTLE],
        hostname=notes.hostname,
        os_release=notes.os_release,
        perf_version=notes.perf_version,
        arch=notes.arch,
        cpu_count=notes.cpu_count,
        command_line=notes.command_line,
        has_stacks=holds_stacks(attrs),
        warnings=warnings,
        truncated=truncated,
    )


def _events(
    attrs: tuple[EventAttr, ...], names: tuple[str, ...], periods: tuple[tuple[int, int] | None, ...]
) -> tuple[PerfEvent, ...]:
    return tuple(
        PerfEvent(
            index=index,
            name=name,
            type=attr.type,
            config=attr.config,
            frequency_hz=attr.period_or_frequency if attr.uses_frequency else None,
            period=None if attr.uses_frequency else attr.period_or_frequency,
            periods=extremes,
            is_time=is_time_event(attr.type, attr.config),
        )
        for index, (attr, name, extremes) in enumerate(zip(attrs, names, periods, strict=True))
    )


def _samples(table: SampleTable, stack_id: Words, history: ProcessHistory) -> pl.DataFrame:
    comm, comms = history.comms(table.tid, table.first)
    frame = pl.DataFrame(
        {
            "event": table.event,
            "pid": table.pid,
            "tid": table.tid,
            "comm": pl.Series(comms, dtype=pl.String).gather(comm),
            "cpumode": table.cpumode,
            "ip": table.ip,
            "mapping": history.resolve(table.pid, table.cpumode, table.ip, table.first),
            "stack_id": stack_id,
            "count": table.count,
            "period": table.period,
            "first_ns": table.first,
            "last_ns": table.last,
        },
        schema=SAMPLE_SCHEMA,
    )
    return frame.sort("event", "pid", "tid", "first_ns", "cpumode", "ip", "stack_id", "last_ns")


def _mappings(history: ProcessHistory, build_ids: dict[str, str]) -> pl.DataFrame:
    rows = history.mappings
    return pl.DataFrame(
        {
            "pid": [r.pid for r in rows],
            "start": [r.start for r in rows],
            "end": [r.end for r in rows],
            "file_offset": [r.file_offset for r in rows],
            "path": [r.path for r in rows],
            "build_id": [r.build_id or build_ids.get(r.path) for r in rows],
            "since_ns": [r.since for r in rows],
            "until_ns": [r.until for r in rows],
            "is_executable": [r.path in history.executables for r in rows],
        },
        schema=MAPPING_SCHEMA,
    )


def _stacks(table: SampleTable, chains: Chains, history: ProcessHistory) -> tuple[Words, Stacks]:
    """A dense stack id for each row of the table, and the chains themselves.

    The same addresses mean different code in different processes, so a stack is a chain in one process between
    two changes of its mappings.
    """
    with_chain = np.flatnonzero(table.stack)
    pid, first, stack = table.pid[with_chain], table.first[with_chain], table.stack[with_chain]
    space = history.spaces(pid, first)
    order = np.lexsort((first, stack, space, pid))
    differs = np.ones(order.size, dtype=np.bool_)
    if order.size:
        differs[1:] = False
        for column in (stack, space, pid):
            differs[1:] |= column[order][1:] != column[order][:-1]
    stack_id = np.zeros(table.key.size, dtype=np.uint64)
    stack_id[with_chain[order]] = np.cumsum(differs)
    heads = order[differs]
    return stack_id, _place_chains(chains, stack[heads], pid[heads], first[heads], history)


def _place_chains(
    chains: Chains, stack: Words, pid: npt.NDArray[np.int32], time: Words, history: ProcessHistory
) -> Stacks:
    """The chain of each stack, piece by piece: what is made on the way is larger than the chains."""
    hashes, offsets, words = chains
    source = np.searchsorted(hashes, stack)
    starts = offsets[source]
    lengths = offsets[source + 1] - starts
    user = history.spaces(pid, time)
    kernel = history.spaces(np.full(pid.size, KERNEL_PID, dtype=np.int32), time)
    ends = np.cumsum(lengths)
    cuts = np.searchsorted(ends, np.arange(_PIECE, ends[-1] if ends.size else 0, _PIECE))
    parts = [
        _place_words(words[ranges(starts[part], lengths[part])], lengths[part], user[part], kernel[part], history)
        for part in np.split(np.arange(stack.size), cuts)
    ]
    counts, address, is_kernel, exact, mapping, cut = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Stacks(np.concatenate(([0], np.cumsum(counts))), address, is_kernel, exact, mapping, cut)


def _place_words(
    words: Words, lengths: Indices, user: Indices, kernel: Indices, history: ProcessHistory
) -> tuple[Indices, Words, npt.NDArray[np.bool_], npt.NDArray[np.bool_], npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Drops the context markers from chains, keeping what they say about the addresses after them.

    ``user`` and ``kernel`` are the spaces of each chain. Gives the new length of each chain, the columns of ``Stacks``
    for all of them, and which are cut off.
    """
    owner = np.repeat(np.arange(lengths.size), lengths)
    is_marker = words >= np.uint64(CONTEXT_MAX)
    index = np.arange(words.size, dtype=np.int64)
    first_of_chain = np.ones(words.size, dtype=np.bool_)
    first_of_chain[1:] = owner[1:] != owner[:-1]
    context_at = np.maximum.accumulate(np.where(is_marker | first_of_chain, index, 0))
    context = words[context_at]
    is_kernel = context == np.uint64(CONTEXT_KERNEL)
    is_user = (context == np.uint64(CONTEXT_USER)) | (context == np.uint64(CONTEXT_USER_DEFERRED))
    unmarked = ~is_marker[context_at]
    is_high = words >> np.uint64(63) != 0
    is_kernel |= unmarked & is_high
    is_user |= unmarked & ~is_high
    follows_marker = np.zeros(words.size, dtype=np.bool_)
    follows_marker[1:] = is_marker[:-1]
    cut = np.zeros(lengths.size, dtype=np.bool_)
    cut[owner[words == np.uint64(CHAIN_CUT)]] = True
    keep = ~is_marker
    address, owner, is_kernel, is_user = words[keep], owner[keep], is_kernel[keep], is_user[keep]
    space = np.where(is_kernel, kernel[owner], np.where(is_user, user[owner], -1))
    mapping = history.find(space, address)
    counts = np.bincount(owner, minlength=lengths.size)
    return counts, address, is_kernel, (follows_marker | first_of_chain)[keep], mapping, cut
