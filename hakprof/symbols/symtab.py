"""Function names by address from ELF symbol tables, with the choices among aliases that perf makes.

perf's rules are in linux/tools/perf/util/symbol-elf.c (what is a symbol) and symbol.c (choose_best_symbol,
symbols__fixup_end): agreeing with `perf report` on names means following them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hakprof.elf import ElfFile, Section

_SYMBOL = np.dtype(
    [("name", "<u4"), ("info", "u1"), ("other", "u1"), ("section", "<u2"), ("value", "<u8"), ("size", "<u8")]
)
_RELOCATION_BYTES = 24
_NOTYPE, _OBJECT, _FUNCTION, _IFUNC = 0, 1, 2, 10
_LOCAL, _GLOBAL, _WEAK = 0, 1, 2
_FIRST_RESERVED_SECTION = 0xFF00
_ALLOC = 2
_PAGE = 4096


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


def table_of(symbols: Iterable[Symbol], *, last_end: int | None = None) -> SymbolTable:
    """One name for each start; a symbol of size 0 reaches to the next one."""
    chosen: list[Symbol] = []
    for symbol in sorted(symbols, key=lambda s: s.start):
        if chosen and chosen[-1].start == symbol.start:
            chosen[-1] = better(chosen[-1], symbol)
        else:
            chosen.append(symbol)
    starts = [s.start for s in chosen]
    ends = []
    for index, symbol in enumerate(chosen):
        following = starts[index + 1] if index + 1 < len(chosen) else None
        if symbol.size:
            ends.append(min(symbol.start + symbol.size, 2**64 - 1))
        elif following is not None:
            ends.append(following)
        else:
            ends.append(last_end or min((symbol.start + _PAGE - 1) // _PAGE * _PAGE + _PAGE, 2**64 - 1))
    return SymbolTable(
        np.array(starts, dtype=np.uint64), np.array(ends, dtype=np.uint64), tuple(s.name for s in chosen)
    )


def better(one: Symbol, other: Symbol) -> Symbol:
    """perf's choice between two names of one address (choose_best_symbol)."""

    def rank(symbol: Symbol) -> tuple[bool, bool, bool, bool, int, int]:
        underscores = len(symbol.name) - len(symbol.name.lstrip("_"))
        return (
            symbol.size > 0,
            symbol.kind != _NOTYPE,
            symbol.binding != _WEAK,
            symbol.binding == _GLOBAL,
            -underscores,
            len(symbol.name),
        )

    return other if rank(other) > rank(one) else one


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
    """`name@plt` for each stub of .plt (or .plt.sec), in the order of the relocations that it serves."""
    relocations = elf.section(".rela.plt")
    dynamic = elf.section(".dynsym")
    stubs, first = elf.section(".plt.sec"), 0
    if stubs is None:
        stubs, first = elf.section(".plt"), 1
    if relocations is None or dynamic is None or stubs is None or dynamic.link >= len(elf.sections):
        return []
    entry = stubs.entry_size or 16
    raw = elf.data(relocations)
    info = np.frombuffer(raw[: len(raw) // _RELOCATION_BYTES * _RELOCATION_BYTES], dtype="<u8")[1::3]
    table, strings = _table(elf, dynamic), elf.data(elf.sections[dynamic.link])
    indices = np.minimum(info >> np.uint64(32), max(table.size - 1, 0)).astype(np.int64)
    names = _names(strings, table["name"][indices].tolist()) if table.size else []
    room = stubs.size // entry - first
    return [
        Symbol(stubs.address + (first + number) * entry, entry, f"{name}@plt")
        for number, name in enumerate(names[: max(room, 0)])
        if name
    ]


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
    names = []
    for offset in offsets:
        end = strings.find(b"\0", offset)
        names.append(strings[offset : end if end >= 0 else offset].decode("utf-8", "backslashreplace"))
    return names
