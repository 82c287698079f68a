"""Programs of call frame information: instructions → the rules for each stretch of a function's code.

Source: DWARF 5, 6.4.2 (instructions) and 7.24 (their encoding), with the extensions that gcc writes.
"""

from collections.abc import Callable
from dataclasses import dataclass

from hakprof.parse.perf_data.frames import (
    REGISTERS,
    RETURN_ADDRESS,
    RSP,
    FrameRow,
    Kind,
    Rule,
    signed_leb,
    unsigned_leb,
)

_MOST_REMEMBERED = 1 << 10
_State = tuple[int, int, bytes | None, dict[int, Rule]]


class DamagedFramesError(Exception):
    """An entry that cannot be decoded."""


@dataclass(frozen=True, slots=True)
class CommonEntry:
    """What the functions of one CIE share."""

    code_factor: int
    data_factor: int
    return_register: int
    pointer_encoding: int
    has_augmentation: bool
    is_signal: bool
    instructions: bytes


class Program:
    """Carries out the instructions of a CIE and an FDE for a function at [start, end), as far as to one address."""

    def __init__(self, common: CommonEntry, start: int, end: int, address: int) -> None:
        self.data_factor = common.data_factor
        self._common = common
        self._at, self._end, self._address = start, end, address
        self.cfa_register, self.cfa_offset = RSP, 0
        self.cfa_expression: bytes | None = None
        self.rules: dict[int, Rule] = {}
        self._initial: dict[int, Rule] = {}
        self._remembered: list[_State] = []
        self._until: int | None = None
        self._code, self._position = b"", 0

    def run(self, instructions: bytes) -> FrameRow:
        """The row of the address. DamagedFramesError or IndexError for what is no program."""
        self._carry_out(self._common.instructions)
        self._initial = dict(self.rules)
        self._carry_out(instructions)
        if self._common.return_register != RETURN_ADDRESS and self._common.return_register in self.rules:
            self.rules[RETURN_ADDRESS] = self.rules[self._common.return_register]
        return FrameRow(
            start=self._at,
            end=self._end if self._until is None else self._until,
            cfa_register=self.cfa_register,
            cfa_offset=self.cfa_offset,
            cfa_expression=self.cfa_expression,
            rules=self.rules,
            is_signal=self._common.is_signal,
        )

    def unsigned(self) -> int:
        """The next operand, an unsigned number."""
        value, self._position = unsigned_leb(self._code, self._position)
        return value

    def signed(self) -> int:
        """The next operand, a signed number."""
        value, self._position = signed_leb(self._code, self._position)
        return value

    def register(self) -> int:
        """The next operand, a register that the machine has."""
        number = self.unsigned()
        if number >= REGISTERS:
            raise DamagedFramesError(f"register {number}")
        return number

    def block(self) -> bytes:
        """The next operand, an expression."""
        size = self.unsigned()
        self._position += size
        return self._code[self._position - size : self._position]

    def _carry_out(self, code: bytes) -> None:
        self._code, self._position = code, 0
        factor = self._common.code_factor
        while self._position < len(code) and self._until is None:
            operation = code[self._position]
            self._position += 1
            if operation >> 6 == 1:
                self._advance(self._at + (operation & 0x3F) * factor)
            elif operation >> 6 == 2:
                self.rules[operation & 0x3F] = Rule(Kind.SAVED_AT, self.unsigned() * self.data_factor)
            elif operation >> 6 == 3:
                self._restore(operation & 0x3F)
            elif operation in _CFA_OPERATIONS:
                _CFA_OPERATIONS[operation](self)
            elif operation in _RULES:
                register = self.unsigned()
                self.rules[register] = _RULES[operation](self)
            else:
                self._extended(operation)

    def _extended(self, operation: int) -> None:
        if operation in (0x02, 0x03, 0x04):
            size = 1 << (operation - 2)
            delta = int.from_bytes(self._code[self._position : self._position + size], "little")
            self._position += size
            self._advance(self._at + delta * self._common.code_factor)
        elif operation == 0x06:
            self._restore(self.unsigned())
        elif operation == 0x08:
            self.rules.pop(self.unsigned(), None)
        elif operation == 0x0A and len(self._remembered) < _MOST_REMEMBERED:
            state = self.cfa_register, self.cfa_offset, self.cfa_expression, dict(self.rules)
            self._remembered.append(state)
        elif operation == 0x0B and self._remembered:
            self.cfa_register, self.cfa_offset, self.cfa_expression, self.rules = self._remembered.pop()
        elif operation == 0x2E:
            self.unsigned()
        elif operation != 0:
            raise DamagedFramesError(f"instruction {operation:#x}")

    def _restore(self, register: int) -> None:
        if register in self._initial:
            self.rules[register] = self._initial[register]
        else:
            self.rules.pop(register, None)

    def _advance(self, to: int) -> None:
        """The rules so far hold up to an address."""
        if to > self._address:
            self._until = min(to, self._end)
        else:
            self._at = max(to, self._at)


def _define(program: Program, register: int | None, offset: int | None) -> None:
    program.cfa_expression = None
    program.cfa_register = program.cfa_register if register is None else register
    program.cfa_offset = program.cfa_offset if offset is None else offset


def _define_by_expression(program: Program) -> None:
    program.cfa_expression = program.block()


# Instructions that set the CFA; their operands stand in the order of evaluation.
_CFA_OPERATIONS: dict[int, Callable[[Program], None]] = {
    0x0C: lambda p: _define(p, p.register(), p.unsigned()),
    0x12: lambda p: _define(p, p.register(), p.signed() * p.data_factor),
    0x0D: lambda p: _define(p, p.register(), None),
    0x0E: lambda p: _define(p, None, p.unsigned()),
    0x13: lambda p: _define(p, None, p.signed() * p.data_factor),
    0x0F: _define_by_expression,
}
# Instructions that give a register a rule; the register's number has been read.
_RULES: dict[int, Callable[[Program], Rule]] = {
    0x05: lambda p: Rule(Kind.SAVED_AT, p.unsigned() * p.data_factor),
    0x07: lambda _: Rule(Kind.UNDEFINED),
    0x09: lambda p: Rule(Kind.IN_REGISTER, p.register()),
    0x10: lambda p: Rule(Kind.SAVED_WHERE, expression=p.block()),
    0x11: lambda p: Rule(Kind.SAVED_AT, p.signed() * p.data_factor),
    0x14: lambda p: Rule(Kind.IS_OFFSET, p.unsigned() * p.data_factor),
    0x15: lambda p: Rule(Kind.IS_OFFSET, p.signed() * p.data_factor),
    0x16: lambda p: Rule(Kind.IS_VALUE, expression=p.block()),
    0x2F: lambda p: Rule(Kind.SAVED_AT, -p.unsigned() * p.data_factor),
}
