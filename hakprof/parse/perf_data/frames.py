"""How to get from one stack frame to its caller: rules for a stretch of x86-64 code, and their evaluation.

The rules are what DWARF call frame information says (DWARF 5, 6.4); register numbers are those of the psABI for
x86-64. Where they come from is not this package's business: see `hakprof.symbols.callframes`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

RBP, RSP, RETURN_ADDRESS = 6, 7, 16
REGISTERS = 17
_WORD = 1 << 64
_MOST_OPERATIONS = 1000
_MOST_OPERANDS = 64
ReadWord = Callable[[int], int | None]


class Kind(Enum):
    """What a rule says about the caller's value of a register; a register without a rule keeps its value."""

    SAVED_AT = "stands at CFA + operand"
    IS_OFFSET = "is CFA + operand"
    IN_REGISTER = "is in the register that the operand numbers"
    SAVED_WHERE = "stands where the expression points"
    IS_VALUE = "is what the expression gives"
    UNDEFINED = "is lost; of the return address: there is no caller"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule with its number or DWARF expression."""

    kind: Kind
    offset: int = 0
    expression: bytes = b""


@dataclass(frozen=True, slots=True)
class FrameRow:
    """The rules for code at file offsets [start, end) of an object.

    The CFA is ``cfa_register`` + ``cfa_offset``, or what ``cfa_expression`` gives. After a ``is_signal`` frame the
    next address is an interrupted instruction and not one behind a call.
    """

    start: int
    end: int
    cfa_register: int
    cfa_offset: int
    cfa_expression: bytes | None
    rules: Mapping[int, Rule]
    is_signal: bool


class CallFrames(Protocol):
    """A source of rules."""

    def row(self, path: str, build_id: str | None, offset: int) -> FrameRow | None:
        """The rules at a file offset of an object; None where none are known."""


class ExpressionError(Exception):
    """An expression that is damaged, not supported, or reads memory that is not there."""


def caller_of(row: FrameRow, registers: Sequence[int], read: ReadWord) -> list[int] | None:
    """The caller's registers by any row; None where they cannot be told."""
    try:
        return _caller_of(row, registers, read)
    except (ExpressionError, IndexError):
        return None


def _caller_of(row: FrameRow, registers: Sequence[int], read: ReadWord) -> list[int]:
    if row.cfa_expression is not None:
        cfa = evaluate(row.cfa_expression, registers, read, [])
    else:
        cfa = (registers[row.cfa_register] + row.cfa_offset) % _WORD
    after = list(registers)
    after[RSP] = cfa
    for register, rule in row.rules.items():
        if register < REGISTERS:
            after[register] = _apply(rule, cfa, registers, read)
    return after


def _apply(rule: Rule, cfa: int, registers: Sequence[int], read: ReadWord) -> int:
    match rule.kind:
        case Kind.SAVED_AT:
            return _read(read, (cfa + rule.offset) % _WORD)
        case Kind.IS_OFFSET:
            return (cfa + rule.offset) % _WORD
        case Kind.IN_REGISTER:
            return registers[rule.offset]
        case Kind.SAVED_WHERE:
            return _read(read, evaluate(rule.expression, registers, read, [cfa]))
        case Kind.IS_VALUE:
            return evaluate(rule.expression, registers, read, [cfa])
        case Kind.UNDEFINED:
            return 0


def _read(read: ReadWord, address: int) -> int:
    word = read(address)
    if word is None:
        raise ExpressionError(f"no memory at {address:#x}")
    return word


def evaluate(expression: bytes, registers: Sequence[int], read: ReadWord, stack: list[int]) -> int:
    """The value of a DWARF expression (DWARF 5, 2.5), of the operations that call frame information uses."""
    at = 0
    for _ in range(_MOST_OPERATIONS):
        if at >= len(expression):
            if not stack:
                raise ExpressionError("the expression gives nothing")
            return stack[-1]
        if len(stack) > _MOST_OPERANDS:
            break
        at = _operate(expression, at, registers, read, stack)
    raise ExpressionError("the expression does not end")


_SIZES = {0x08: (1, False), 0x09: (1, True), 0x0A: (2, False), 0x0B: (2, True)}
_SIZES |= {0x0C: (4, False), 0x0D: (4, True), 0x0E: (8, False), 0x0F: (8, True), 0x03: (8, False)}
_BINARY: dict[int, Callable[[int, int], int]] = {
    0x1A: lambda a, b: a & b,
    0x1C: lambda a, b: a - b,
    0x1E: lambda a, b: a * b,
    0x21: lambda a, b: a | b,
    0x22: lambda a, b: a + b,
    0x24: lambda a, b: a << b if b < 64 else 0,
    0x25: lambda a, b: a >> b if b < 64 else 0,
    0x26: lambda a, b: _signed(a) >> min(b, 63),
    0x27: lambda a, b: a ^ b,
    0x29: lambda a, b: int(a == b),
    0x2A: lambda a, b: int(_signed(a) >= _signed(b)),
    0x2B: lambda a, b: int(_signed(a) > _signed(b)),
    0x2C: lambda a, b: int(_signed(a) <= _signed(b)),
    0x2D: lambda a, b: int(_signed(a) < _signed(b)),
    0x2E: lambda a, b: int(a != b),
}


def _operate(code: bytes, at: int, registers: Sequence[int], read: ReadWord, stack: list[int]) -> int:
    """Carries out the operation at ``at``; the position of the next one."""
    operation, at = code[at], at + 1
    if operation in _BINARY:
        right, left = stack.pop(), stack.pop()
        stack.append(_BINARY[operation](left, right) % _WORD)
    elif operation in _SIZES:
        size, is_signed = _SIZES[operation]
        stack.append(int.from_bytes(code[at : at + size], "little", signed=is_signed) % _WORD)
        at += size
    elif 0x30 <= operation <= 0x4F:
        stack.append(operation - 0x30)
    elif 0x70 <= operation <= 0x8F:
        offset, at = signed_leb(code, at)
        stack.append((registers[operation - 0x70] + offset) % _WORD)
    elif operation == 0x10:
        value, at = unsigned_leb(code, at)
        stack.append(value % _WORD)
    elif operation == 0x11:
        value, at = signed_leb(code, at)
        stack.append(value % _WORD)
    elif operation == 0x23:
        value, at = unsigned_leb(code, at)
        stack.append((stack.pop() + value) % _WORD)
    elif operation == 0x06:
        stack.append(_read(read, stack.pop()))
    elif operation in (0x28, 0x2F):
        taken = operation == 0x2F or stack.pop() != 0
        at = at + 2 + (int.from_bytes(code[at : at + 2], "little", signed=True) if taken else 0)
        if at < 0:
            raise ExpressionError("a jump leaves the expression")
    else:
        _shuffle(operation, stack)
    return at


def _shuffle(operation: int, stack: list[int]) -> None:
    """Operations on the operands alone."""
    match operation:
        case 0x12:
            stack.append(stack[-1])
        case 0x13:
            stack.pop()
        case 0x14:
            stack.append(stack[-2])
        case 0x16:
            stack[-1], stack[-2] = stack[-2], stack[-1]
        case 0x1F:
            stack.append(-stack.pop() % _WORD)
        case 0x20:
            stack.append(~stack.pop() % _WORD)
        case 0x96:
            pass
        case _:
            raise ExpressionError(f"operation {operation:#x} is not supported")


def _signed(value: int) -> int:
    return value - _WORD if value >> 63 else value


def unsigned_leb(code: bytes, at: int) -> tuple[int, int]:
    """An unsigned LEB128 number of at most 64 bits and the position after it; IndexError where the bytes end."""
    value = shift = 0
    while True:
        byte = code[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, at
        if shift > 63:
            raise IndexError("a LEB128 number of more than 64 bits")


def signed_leb(code: bytes, at: int) -> tuple[int, int]:
    """A signed LEB128 number and the position after it."""
    value, after = unsigned_leb(code, at)
    bits = 7 * (after - at)
    return value - (1 << bits) if value >> (bits - 1) else value, after
