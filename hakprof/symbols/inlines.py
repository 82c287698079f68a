"""Chains of inlined functions at an address, from DWARF by way of `symbolic`'s SymCache (cached by build id)."""

import struct
from dataclasses import dataclass
from pathlib import Path
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
    """Looks up chains in one object file; an object without DWARF, or with damaged DWARF, has none."""

    def __init__(self, elf: ElfFile, cache_dir: Path | None) -> None:
        self._base = min((s.address for s in elf.segments), default=0)
        has_dwarf = elf.section(".debug_info") is not None and _is_credible(elf)
        self._cache = _open_cache(elf, cache_dir) if has_dwarf else None

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


def _open_cache(elf: ElfFile, cache_dir: Path | None) -> Any | None:
    """The SymCache of a file, or None when its DWARF cannot be used."""
    from symbolic.exceptions import SymbolicError
    from symbolic.symcache import SYMCACHE_LATEST_VERSION, SymCache

    stored = None
    if cache_dir is not None and elf.build_id is not None:
        stored = cache_dir / f"{elf.build_id}-{elf.path.stat().st_size}-v{SYMCACHE_LATEST_VERSION}.symcache"
        if stored.exists():
            try:
                return SymCache.open(str(stored))  # type: ignore[no-untyped-call]
            except SymbolicError:
                stored.unlink(missing_ok=True)
    try:
        cache = _make_cache(elf.path)
    except (SymbolicError, LookupError):
        return None
    if stored is not None and cache is not None:
        _store(cache, stored)
    return cache


def _make_cache(path: Path) -> Any | None:
    from symbolic.debuginfo import Archive

    archive = Archive.open(str(path))
    one = next(iter(archive.iter_objects()), None)
    return one.make_symcache() if one is not None else None


def _store(cache: Any, path: Path) -> None:
    """Writes the cache; a folder that cannot be written only costs time."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as stream:
            cache.dump_into(stream)
        partial.replace(path)
    except OSError:
        return
