"""Where samples keep the registers and the stack bytes of their threads (REGS_USER and STACK_USER)."""

from dataclasses import dataclass

import numpy as np

from hakprof.parse.perf_data.format import BRANCH_INDEX, EventAttr, SampleType
from hakprof.parse.perf_data.frames import REGISTERS, RETURN_ADDRESS
from hakprof.parse.perf_data.walk import Indices, Words

# For each bit of sample_regs_user its DWARF number (linux/arch/x86/include/uapi/asm/perf_regs.h; psABI, 3.6.2).
_DWARF_NUMBERS = {
    0: 0, 1: 3, 2: 2, 3: 1, 4: 4, 5: 5, 6: 6, 7: 7, 8: 16,
    16: 8, 17: 9, 18: 10, 19: 11, 20: 12, 21: 13, 22: 14, 23: 15,
}  # fmt: skip
_NUMBERED = "x86_64"  # the machine whose stacks are unwound
_POINTERS = 1 << 7 | 1 << 8  # of the stack and of the instruction
# Besides them, what functions must preserve: rbx, rbp, r12 to r15.
_PRESERVED = 1 << 1 | 1 << 6 | 0xF << 20
# Where other machines have the instruction pointer (linux/arch/*/include/uapi/asm/perf_regs.h).
_INSTRUCTION_POINTERS = {"aarch64": 32, "armv7l": 15, "riscv64": 0, "i686": 8}
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


def holds_stacks(attrs: tuple[EventAttr, ...]) -> bool:
    """Whether samples of any event have registers and stack bytes instead of user call chains."""
    return any(_holds_stacks(attr) for attr in attrs)


def why_not_unwound(attrs: tuple[EventAttr, ...], arch: str | None) -> str | None:
    """Why the stacks lead to no or not to all callers, and how to record better; None if they can."""
    if arch not in {None, _NUMBERED}:
        named = arch if arch.isidentifier() else "another machine"
        return f"stacks of {named} are not unwound; record by frame pointers: perf record --call-graph fp"
    wanted = _POINTERS | _PRESERVED
    if any(_holds_stacks(attr) and attr.user_registers & wanted != wanted for attr in attrs):
        return "the recording lacks registers that lead to callers; record without --user-regs"
    return None


def _holds_stacks(attr: EventAttr) -> bool:
    return attr.has(SampleType.REGS_USER) and attr.has(SampleType.STACK_USER)


def find_dumps(words: Words, at: Indices, ends: Indices, attr: EventAttr, arch: str | None) -> StackDumps:
    """The dumps of samples whose fields after the call chain begin at ``at``.

    Kernel threads have no user registers and therefore no dump; neither have samples whose record is too short.
    Registers that were not recorded are 0, and what cannot be unwound has no stack bytes.
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
    is_known = arch in {None, _NUMBERED}
    numbers = _DWARF_NUMBERS if is_known else {_INSTRUCTION_POINTERS.get(arch or "", -1): RETURN_ADDRESS}
    for index, bit in enumerate(bits):
        if bit in numbers:
            registers[:, numbers[bit]] = words[first[owner] + index]
    # Stacks of 32-bit programs have other rules: nothing of them is followed.
    can_follow = (abi == _ABI_64) & is_known & (attr.user_registers & _POINTERS == _POINTERS)
    lengths = np.where(can_follow, np.minimum(size, dynamic), 0)[owner]
    return StackDumps(words, owner, registers, size_at[owner] + 1, lengths)
