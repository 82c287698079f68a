"""Chains of inlined functions at an address, from DWARF by way of `symbolic`'s SymCache."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from hakprof.elf import SHF_COMPRESSED, ElfFile
from hakprof.errors import ParseError

# Debug sections are compressed to a third or so. What claims to be more is no debug information, and the library that
# reads it would end the process when there is no memory for it.
_MOST_INFLATION = 32
_INFLATION_FLOOR = 1 << 20
_COMPRESSION_HEADER = struct.Struct("<IIQQ")  # Elf64_Chdr: type, reserved, size, alignment


@dataclass(frozen=True, slots=True)
class Location:
    """One function of the chain at an address; ``line`` is where in it that address, or the inlined call, is."""

    function: str
    file: str | None
    line: int | None


class InlineTable:
    """Looks up chains in one object file; an object without DWARF, or with damaged DWARF, has none.

    ``symcache`` gives the bytes of the file's SymCache, as :func:`make_symcache` does.
    """

    def __init__(self, elf: ElfFile, symcache: Callable[[], bytes | None]) -> None:
        self._base = min((s.address for s in elf.segments), default=0)
        self._cache = _opened(symcache()) if elf.has_dwarf and _is_credible(elf) else None

    def find(self, address: int) -> tuple[Location, ...]:
        """The chain at a virtual address of the file, innermost first."""
        if self._cache is None or address < self._base:
            return ()
        found = self._cache.lookup(address - self._base)
        return tuple(Location(each.symbol, each.full_path, each.line or None) for each in found)


def _is_credible(elf: ElfFile) -> bool:
    """Whether the compressed sections of a file claim no more bytes than such a file can hold."""
    present = elf.path.stat().st_size
    claimed = 0
    for section in elf.sections:
        try:
            if section.flags & SHF_COMPRESSED:
                claimed += _COMPRESSION_HEADER.unpack_from(elf.data(section, _COMPRESSION_HEADER.size))[2]
            elif section.name.startswith(".zdebug_"):
                claimed += int.from_bytes(elf.data(section, 12)[4:], "big")
        except (ParseError, struct.error):
            return False
    return claimed <= present * _MOST_INFLATION + _INFLATION_FLOOR


def make_symcache(path: Path) -> bytes | None:
    """A file's DWARF, ordered by address; None when it cannot be used."""
    from symbolic.debuginfo import Archive
    from symbolic.exceptions import SymbolicError

    try:
        archive = Archive.open(str(path))
        one = next(iter(archive.iter_objects()), None)
        if one is None:
            return None
        with TemporaryFile() as stream:
            one.make_symcache().dump_into(stream)  # type: ignore[no-untyped-call]
            stream.seek(0)
            return stream.read()
    except (SymbolicError, LookupError):
        return None


def _opened(content: bytes | None) -> Any | None:
    from symbolic.exceptions import SymbolicError
    from symbolic.symcache import SymCache

    if content is None:
        return None
    try:
        return SymCache.from_bytes(content)  # type: ignore[no-untyped-call]
    except SymbolicError:
        return None
