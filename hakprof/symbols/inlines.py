"""Chains of inlined functions at an address, from DWARF by way of `symbolic`'s SymCache (cached by build id)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hakprof.elf import ElfFile


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
        self._cache = _open_cache(elf, cache_dir) if elf.section(".debug_info") is not None else None

    def find(self, address: int) -> tuple[Location, ...]:
        """The chain at a virtual address of the file, innermost first."""
        if self._cache is None or address < self._base:
            return ()
        found = self._cache.lookup(address - self._base)
        return tuple(Location(each.symbol, each.full_path, each.line or None) for each in found)


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
