"""Where samples keep the registers and the stack bytes of their threads (REGS_USER and STACK_USER)."""

from dataclasses import dataclass

import numpy as np

from hakprof.parse.perf_data.format import BRANCH_INDEX, EventAttr, SampleType
from hakprof.parse.perf_data.frames import REGISTERS
from hakprof.parse.perf_data.walk import Indices, Words

# For each bit of sample_regs_user its DWARF number (linux/arch/x86/include/uapi/asm/perf_regs.h; psABI, 3.6.2).
_DWARF_NUMBERS = {
    0: 0, 1: 3, 2: 2, 3: 1, 4: 4, 5: 5, 6: 6, 7: 7, 8: 16,
    16: 8, 17: 9, 18: 10, 19: 11, 20: 12, 21: 13, 22: 14, 23: 15,
}  # fmt: skip
_NEEDED = 1 << 6 | 1 << 7 | 1 << 8  # frame pointer, stack pointer, instruction pointer
_ABI_64 = 2
_LOW_32 = np.uint64(0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class StackDumps:
    """What samples kept of their threads: registers (by DWARF number) and where in ``words`` the stack bytes are.

    ``owner`` is the index of the sample. The bytes begin at the stack pointer. ``lengths`` are in words.
    """

    words: Words
    owner: Indices
    registers: Words
    starts: Indices
    lengths: Indices


def holds_stacks(attrs: tuple[EventAttr, ...], arch: str | None) -> bool:
    """Whether samples of any event have stack bytes and registers of an x86-64 machine."""
    wanted = SampleType.REGS_USER | SampleType.STACK_USER
    found = any(a.sample_type & wanted == wanted and a.user_registers & _NEEDED == _NEEDED for a in attrs)
    return found and arch in {None, "x86_64"}


def find_dumps(words: Words, at: Indices, ends: Indices, attr: EventAttr) -> StackDumps:
    """The dumps of samples whose fields after the call chain begin at ``at``.

    Kernel threads have no user registers and therefore no dump; neither have samples whose record is too short.
    """
    last = words.size - 1

    def word(index: Indices) -> Indices:
        """A count that a record tells; none is larger than the block."""
        return np.minimum(words[np.minimum(index, last)], np.uint64(8 * words.size)).astype(np.int64)

    if attr.has(SampleType.RAW):
        at = at + (4 + (words[np.minimum(at, last)] & _LOW_32).astype(np.int64) + 7) // 8
    if attr.has(SampleType.BRANCH_STACK):
        at = at + 1 + bool(attr.branch_type & BRANCH_INDEX) + 3 * word(at)
    bits = [bit for bit in range(64) if attr.user_registers >> bit & 1]
    abi, first = word(at), at + 1
    size_at = first + len(bits)
    size = word(size_at) // 8
    dynamic = word(size_at + 1 + size) // 8
    present = (abi != 0) & (size_at < ends) & (size_at + size + (size > 0) < ends)
    owner = np.flatnonzero(present)
    registers = np.zeros((owner.size, REGISTERS), dtype=np.uint64)
    for index, bit in enumerate(bits):
        if bit in _DWARF_NUMBERS:
            registers[:, _DWARF_NUMBERS[bit]] = words[first[owner] + index]
    # Stacks of 32-bit programs have other rules: nothing of them is followed.
    lengths = np.where(abi == _ABI_64, np.minimum(size, dynamic), 0)[owner]
    return StackDumps(words, owner, registers, size_at[owner] + 1, lengths)
