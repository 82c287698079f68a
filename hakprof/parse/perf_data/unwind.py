"""User call chains from the registers and stack bytes that `perf record --call-graph dwarf` keeps with each sample.

All samples of a block climb their stacks together, one frame at a time: each address is looked up in a table of rules
(frames.py) and the caller's registers are gathered from the stacks by array operations. Rules that are not plain
offsets (signal frames, realigned stacks) are carried out one by one. Where no rules are known the frame pointer is
followed, as libunwind does on x86-64.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from hakprof.parse.perf_data.aggregate import ranges
from hakprof.parse.perf_data.columns import SampleColumns
from hakprof.parse.perf_data.dumps import StackDumps
from hakprof.parse.perf_data.format import CHAIN_CUT, CONTEXT_USER, CPUMODE_USER
from hakprof.parse.perf_data.frames import RBP, RETURN_ADDRESS, RSP, CallFrames, caller_of
from hakprof.parse.perf_data.processes import ProcessHistory
from hakprof.parse.perf_data.rules import KEPT, SAVED, RowKind, RuleTable
from hakprof.parse.perf_data.walk import Indices, Words

MOST_FRAMES = 1024
_FURTHEST_FRAME = 0x4000  # a frame pointer that leads further up is none (libunwind's guess)
_WORD = np.uint64(8)


@dataclass(frozen=True, slots=True)
class Climbed:
    """Frames of all samples, in order of sample and then leaf first; ``whole`` tells which reached the last caller.

    ``exact`` addresses are of the instruction itself, all others are return addresses.
    """

    owner: Indices
    address: Words
    exact: npt.NDArray[np.bool_]
    whole: npt.NDArray[np.bool_]


@dataclass(slots=True)
class _Climb:
    """The samples that are still climbing."""

    who: Indices
    registers: Words
    exact: npt.NDArray[np.bool_]
    space: Indices

    def keep(self, chosen: npt.NDArray[np.bool_]) -> None:
        self.who, self.registers = self.who[chosen], self.registers[chosen]
        self.exact, self.space = self.exact[chosen], self.space[chosen]


class StackUnwinder:
    """Unwinds the stacks of a recording whose mappings are known. Without ``frames`` only frame pointers are used.

    ``arch``: the machine that it was made on, None where that is not known.
    """

    def __init__(self, history: ProcessHistory, frames: CallFrames | None, arch: str | None) -> None:
        self._history, self.arch = history, arch
        self._rules = RuleTable(history.mappings, frames)
        self.samples = 0
        self.cut = 0

    def with_chains(self, columns: SampleColumns, dumps: StackDumps) -> SampleColumns:
        """The samples with the user part of their chains, and with words of their own for all chains.

        The kernel writes the kernel part only. ``CHAIN_CUT`` ends a chain whose last callers are not known.
        """
        who = dumps.owner
        # Where the registers lack it, a sample of user code still says itself where that was.
        is_known = (dumps.registers[:, RETURN_ADDRESS] != 0) | (columns.cpumode[who] != CPUMODE_USER)
        dumps.registers[:, RETURN_ADDRESS] += np.where(is_known, np.uint64(0), columns.ip[who])
        climbed = self.climb(dumps, columns.pid[who], columns.time[who])
        kernel_owner, kernel = _kernel_parts(columns, who)
        # A marker stands before addresses that are no return addresses: the sampled one, interrupted ones.
        repeats = 1 + climbed.exact.astype(np.int64)
        frames = np.repeat(climbed.address, repeats)
        frames[(np.cumsum(repeats) - repeats)[climbed.exact]] = CONTEXT_USER
        owner = np.concatenate((kernel_owner, np.repeat(who[climbed.owner], repeats)))
        cut = who[~climbed.whole]
        cut = cut[np.isin(cut, owner)]
        owner = np.concatenate((owner, cut))
        words = np.concatenate((kernel, frames, np.full(cut.size, CHAIN_CUT, dtype=np.uint64)))
        lengths = np.bincount(owner, minlength=columns.pid.size)
        return replace(
            columns,
            words=words[np.argsort(owner, kind="stable")],
            chain_start=np.cumsum(lengths) - lengths,
            chain_length=lengths,
        )

    def climb(self, dumps: StackDumps, pid: npt.NDArray[np.int32], time: Words) -> Climbed:
        """The user call chain of each sample."""
        count = pid.size
        spaces = self._history.spaces(pid, time)
        climb = _Climb(np.arange(count), dumps.registers, np.ones(count, dtype=np.bool_), spaces)
        climb.keep(dumps.registers[:, RETURN_ADDRESS] != 0)
        whole = np.zeros(count, dtype=np.bool_)
        owners: list[Indices] = []
        addresses: list[Words] = []
        exact: list[npt.NDArray[np.bool_]] = []
        while climb.who.size and len(owners) < MOST_FRAMES:
            owners.append(climb.who)
            addresses.append(climb.registers[:, RETURN_ADDRESS].copy())
            exact.append(climb.exact)
            self._step(climb, dumps, whole)
        self.samples += count
        self.cut += int(count - np.count_nonzero(whole))
        if not owners:
            return Climbed(climb.who, climb.registers[:, RETURN_ADDRESS], climb.exact, whole)
        owner = np.concatenate(owners)
        order = np.argsort(owner, kind="stable")
        return Climbed(owner[order], np.concatenate(addresses)[order], np.concatenate(exact)[order], whole)

    def _step(self, climb: _Climb, dumps: StackDumps, whole: npt.NDArray[np.bool_]) -> None:
        """Takes every climbing sample to its caller; those that have none, or cannot find it, stop."""
        address = climb.registers[:, RETURN_ADDRESS] - (~climb.exact).astype(np.uint64)
        row = self._rules.find(self._history.find(climb.space, address), address)
        table = self._rules
        kind = table.kind[row]
        cfa = (
            np.take_along_axis(climb.registers, table.cfa_register[row][:, None], axis=1)[:, 0] + table.cfa_offset[row]
        )
        after = climb.registers.copy()
        fine = kind == RowKind.OFFSETS
        offsets = table.saved[row]
        values, there = _read(dumps, climb.who, cfa[:, None] + offsets.view(np.uint64))
        is_saved = (offsets != KEPT) & fine[:, None]
        after[:, SAVED] = np.where(is_saved, np.where(there, values, 0), after[:, SAVED])
        after[fine, RSP] = cfa[fine]
        fine &= there[:, -1] & (cfa > climb.registers[:, RSP])
        for at in np.flatnonzero(kind == RowKind.OTHER).tolist():
            fine[at] = self._carry_out(int(row[at]), at, climb, dumps, after)
        self._follow_frame_pointers(kind == RowKind.UNKNOWN, climb, dumps, after, fine)
        has_caller = fine & (after[:, RETURN_ADDRESS] != 0)
        ended = (kind == RowKind.LAST) | (fine & ~has_caller)
        whole[climb.who[ended]] = True
        climb.registers = after
        climb.exact = table.is_signal[row]
        climb.keep(has_caller & ~ended)

    def _carry_out(self, row: int, at: int, climb: _Climb, dumps: StackDumps, after: Words) -> bool:
        """One frame by rules of any kind."""
        start, length = int(dumps.starts[climb.who[at]]), int(dumps.lengths[climb.who[at]])
        base = int(dumps.registers[climb.who[at], RSP])

        def read(address: int) -> int | None:
            index, rest = divmod(address - base, 8)
            return int(dumps.words[start + index]) if 0 <= index < length and not rest else None

        found = caller_of(self._rules.row(row), climb.registers[at].tolist(), read)
        if found is None:
            return False
        after[at] = np.array(found, dtype=np.uint64)
        return True

    def _follow_frame_pointers(
        self, chosen: npt.NDArray[np.bool_], climb: _Climb, dumps: StackDumps, after: Words, fine: npt.NDArray[np.bool_]
    ) -> None:
        """Frames without rules: the frame pointer leads to the caller's, and the return address is above it."""
        at = np.flatnonzero(chosen)
        if not at.size:
            return
        pointer, stack = climb.registers[at, RBP], climb.registers[at, RSP]
        pair, there = _read(dumps, climb.who[at], pointer[:, None] + np.array([0, 8], dtype=np.uint64))
        # What is saved there says nothing: the caller may keep anything in that register. But code must have called;
        # where the frame pointer was none, a 0 above it may be anything and proves no end.
        is_code = self._history.find(climb.space[at], pair[:, 1] - np.uint64(1)) >= 0
        is_near = (pointer >= stack) & (pointer - stack <= np.uint64(_FURTHEST_FRAME))
        fine[at] = there.all(axis=1) & is_near & is_code
        after[at, RBP], after[at, RETURN_ADDRESS] = pair[:, 0], pair[:, 1]
        after[at, RSP] = pointer + np.uint64(16)


def _kernel_parts(columns: SampleColumns, cut: Indices) -> tuple[Indices, Words]:
    """Owner and word of all chains; of samples in ``cut`` only what stands before the user part, if there is one."""
    owner = np.repeat(np.arange(columns.pid.size), columns.chain_length)
    words = columns.words[ranges(columns.chain_start, columns.chain_length)]
    seen = np.cumsum(words == np.uint64(CONTEXT_USER))
    first = np.cumsum(columns.chain_length) - columns.chain_length
    before = np.append(0, seen)[first]
    is_cut = np.zeros(columns.pid.size, dtype=np.bool_)
    is_cut[cut] = True
    kept = ~is_cut[owner] | (seen == before[owner])
    return owner[kept], words[kept]


def _read(dumps: StackDumps, who: Indices, address: Words) -> tuple[Words, npt.NDArray[np.bool_]]:
    """Words of each sample's stack at a row of addresses, and whether they are there."""
    distance = address - dumps.registers[who, RSP][:, None]
    index = (distance // _WORD).view(np.int64)
    there = (distance % _WORD == 0) & (index >= 0) & (index < dumps.lengths[who][:, None])
    at = np.where(there, dumps.starts[who][:, None] + index, 0)
    return dumps.words[at], there
