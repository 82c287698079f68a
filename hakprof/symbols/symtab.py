"""Function names by address from ELF symbol tables, with the choices among aliases that perf makes.

perf's rules are in linux/tools/perf/util/symbol-elf.c (what is a symbol) and symbol.c (choose_best_symbol,
symbols__fixup_end): agreeing with `perf report` on names means following them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from hakprof.elf import ElfFile, Section
from hakprof.errors import ParseError
from hakprof.symbols.demangle import demangle

_SYMBOL = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"), ("size", "<u8")]
)
_RELOCATION_BYTES = 24
_NOTYPE, _OBJECT, _FUNCTION, _IFUNC = 0, 1, 2, 10
_LOCAL, _GLOBAL, _WEAK = 0, 1, 2
_FIRST_RESERVED_SECTION = 0xFF00
_ALLOC = 2
_PAGE = 4096
_LONGEST_NAME = 1 << 14
_MOST_OVERLAP, _NAMES_FLOOR = 8, 1 << 20  # names may share their ends, but not all of them nearly everything
_JUMP_THROUGH_SLOT = b"\xff\x25"  # x86-64: jmp *distance(%rip)


@dataclass(frozen=True, slots=True)
class Symbol:
    """A candidate name for [start, start + size)."""

    start: int
    size: int
    name: str
    kind: int = _FUNCTION
    binding: int = _GLOBAL


@dataclass(frozen=True, slots=True)
class SymbolTable:
    """Disjoint address ranges with a name each, ascending; empty for a stripped file."""

    starts: npt.NDArray[np.uint64]
    ends: npt.NDArray[np.uint64]
    names: tuple[str, ...]

    def find(self, addresses: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Index of the name of each address, -1 for none."""
        if not self.names:
            return np.full(addresses.size, -1, dtype=np.int64)
        slot = np.searchsorted(self.starts, addresses, side="right") - 1
        return np.where((slot >= 0) & (addresses < self.ends[slot]), slot, -1)


def table_of(symbols: Iterable[Symbol]) -> SymbolTable:
    """One name for each start; a symbol of size 0 reaches to the next one, the last one to the end of its next page.

    Of several at one start, the order given matters as in perf: only the last of size 0 reaches anywhere.
    """
    chosen: list[Symbol] = []
    for _, group in groupby(sorted(symbols, key=lambda s: s.start), key=lambda s: s.start):
        aliases = list(group)
        if len(aliases) == 1:
            chosen.append(aliases[0])
            continue
        chosen.append(max(aliases, key=lambda s: _preference(s, reaches=s.size > 0 or s is aliases[-1])))
    starts = [s.start for s in chosen]
    following = [*starts[1:], min((starts[-1] + _PAGE - 1) // _PAGE * _PAGE + _PAGE, 2**64 - 1)] if starts else []
    ends = [
        min(symbol.start + symbol.size, 2**64 - 1) if symbol.size else end
        for symbol, end in zip(chosen, following, strict=True)
    ]
    names = [symbol.name for symbol in chosen]
    if any(end > start for end, start in zip(ends, starts[1:], strict=False)):
        starts, ends, names = _apart(starts, ends, names)
    return SymbolTable(np.array(starts, dtype=np.uint64), np.array(ends, dtype=np.uint64), tuple(names))


def _apart(starts: list[int], ends: list[int], names: list[str]) -> tuple[list[int], list[int], list[str]]:
    """Ranges that overlap, such as entries in the midst of a function, as ranges that do not.

    The one that began last has an address, and behind its end the one that it lies in. perf finds either of the two or
    none, depending on the shape of its tree.
    """
    ranges: list[tuple[int, int, str]] = []
    open_ones: list[tuple[int, str]] = []
    at = 0
    for start, end, name in zip([*starts, 2**64], [*ends, 2**64], [*names, ""], strict=True):
        while open_ones and at < start:
            until, owner = open_ones[-1]
            if until <= at:
                open_ones.pop()
                continue
            ranges.append((at, min(until, start), owner))
            at = ranges[-1][1]
        open_ones.append((end, name))
        at = start
    return [r[0] for r in ranges], [r[1] for r in ranges], [r[2] for r in ranges]


def _preference(symbol: Symbol, *, reaches: bool) -> tuple[bool, bool, bool, bool, int, int]:
    """perf's choice among names of one address (choose_best_symbol); the first of equals is kept."""
    name = demangle(symbol.name)
    underscores = len(name) - len(name.lstrip("_"))
    return (
        reaches,
        symbol.kind != _NOTYPE,
        symbol.binding != _WEAK,
        symbol.binding == _GLOBAL,
        -underscores,
        len(name),
    )


def elf_symbols(elf: ElfFile) -> list[Symbol]:
    """Named code and data of a file's .symtab, or of .dynsym when it has none; [] for a stripped file."""
    section = elf.section(".symtab") or elf.section(".dynsym")
    if section is None or section.link >= len(elf.sections):
        return []
    table, strings = _table(elf, section), elf.data(elf.sections[section.link])
    kind, binding = table["info"] & 15, table["info"] >> 4
    in_memory = np.array([bool(s.flags & _ALLOC) for s in elf.sections], dtype=np.bool_)
    takes_labels = np.array(["text" in s.name or "data" in s.name for s in elf.sections], dtype=np.bool_)
    at = table["section"].astype(np.int64)
    placed = (at > 0) & (at < min(len(elf.sections), _FIRST_RESERVED_SECTION))
    at = np.where(placed, at, 0)
    wanted = np.isin(kind, (_FUNCTION, _IFUNC, _OBJECT)) | ((kind == _NOTYPE) & takes_labels[at])
    rows = np.flatnonzero(placed & wanted & in_memory[at] & (table["name"] != 0))
    return [
        Symbol(value, size, name, symbol_kind, symbol_binding)
        for value, size, name, symbol_kind, symbol_binding in zip(
            table["value"][rows].tolist(),
            table["size"][rows].tolist(),
            _names(strings, table["name"][rows].tolist()),
            kind[rows].tolist(),
            binding[rows].tolist(),
            strict=True,
        )
        if name
    ]


def plt_symbols(elf: ElfFile) -> list[Symbol]:
    """`name@plt` for each stub through which the file calls other objects, ascending."""
    return sorted([*_lazy_stubs(elf), *_got_stubs(elf)], key=lambda s: s.start)


def _lazy_stubs(elf: ElfFile) -> list[Symbol]:
    """The stubs of .plt (or .plt.sec), which stand in the order of the relocations that they serve."""
    stubs, first = elf.section(".plt.sec"), 0
    if stubs is None:
        stubs, first = elf.section(".plt"), 1
    if stubs is None:
        return []
    entry = stubs.entry_size or 16
    names = [name for _, name in _relocations(elf, ".rela.plt")]
    room = max(stubs.size // entry - first, 0)
    return [
        Symbol(stubs.address + (first + number) * entry, entry, _stub_name(name))
        for number, name in enumerate(names[:room])
    ]


def _got_stubs(elf: ElfFile) -> list[Symbol]:
    """The stubs of .plt.got: functions whose address is also taken. Each is told by the slot that it jumps through."""
    stubs = elf.section(".plt.got")
    if stubs is None:
        return []
    slots = dict(_relocations(elf, ".rela.dyn"))
    code, entry = elf.data(stubs), stubs.entry_size or 8
    found = []
    for at in range(0, len(code) - entry + 1, entry):
        jump = code.find(_JUMP_THROUGH_SLOT, at, at + entry)
        if jump < 0:
            continue
        distance = int.from_bytes(code[jump + 2 : jump + 6], "little", signed=True)
        name = slots.get(stubs.address + jump + 6 + distance)
        if name:
            found.append(Symbol(stubs.address + at, entry, _stub_name(name)))
    return found


def _stub_name(name: str) -> str:
    """As perf writes it: what is before "@plt" is demangled, which nobody could do with it there."""
    return f"{demangle(name)}@plt"


def _relocations(elf: ElfFile, section_name: str) -> list[tuple[int, str]]:
    """Slot address and symbol name of each relocation; the name is empty for one without symbol."""
    section, dynamic = elf.section(section_name), elf.section(".dynsym")
    if section is None or dynamic is None or dynamic.link >= len(elf.sections):
        return []
    raw = elf.data(section)
    rows = np.frombuffer(raw[: len(raw) // _RELOCATION_BYTES * _RELOCATION_BYTES], dtype="<u8").reshape(-1, 3)
    table, strings = _table(elf, dynamic), elf.data(elf.sections[dynamic.link])
    if not table.size:
        return []
    indices = np.minimum(rows[:, 1] >> np.uint64(32), table.size - 1).astype(np.int64)
    return list(zip(rows[:, 0].tolist(), _names(strings, table["name"][indices].tolist()), strict=True))


def merged_table(symbols: Sequence[Symbol], stubs: Sequence[Symbol]) -> SymbolTable:
    """The table of a file's symbols with its stubs laid over them."""
    table = table_of(symbols)
    if not stubs:
        return table
    over = table_of(stubs)
    begin, end = over.starts[0], over.ends[-1]
    before, after = table.starts < begin, table.starts >= end
    starts = np.concatenate((table.starts[before], over.starts, table.starts[after]))
    ends = np.concatenate((np.minimum(table.ends[before], begin), over.ends, table.ends[after]))
    kept_before, kept_after = np.flatnonzero(before).tolist(), np.flatnonzero(after).tolist()
    names = (
        *(table.names[i] for i in kept_before),
        *over.names,
        *(table.names[i] for i in kept_after),
    )
    return SymbolTable(starts, ends, names)


def _table(elf: ElfFile, section: Section) -> npt.NDArray[np.void]:
    raw = elf.data(section)
    return np.frombuffer(raw[: len(raw) // _SYMBOL.itemsize * _SYMBOL.itemsize], dtype=_SYMBOL)


def _names(strings: bytes, offsets: list[int]) -> list[str]:
    """The strings at offsets; ParseError when they overlap so much that they would take far more room than the file."""
    known: dict[int, str] = {}
    room = _MOST_OVERLAP * len(strings) + _NAMES_FLOOR
    for offset in offsets:
        if offset in known:
            continue
        end = max(strings.find(b"\0", offset, offset + _LONGEST_NAME), offset)
        room -= end - offset
        if room < 0:
            raise ParseError("its symbol names take more room than its strings")
        known[offset] = strings[offset:end].decode("utf-8", "backslashreplace")
    return [known[offset] for offset in offsets]
