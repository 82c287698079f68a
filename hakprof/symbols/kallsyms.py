"""Kernel function names from /proc/kallsyms or a copy of it, cached as long as the machine is up."""

import gzip
import os
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from hakprof.errors import ParseError
from hakprof.symbols.symtab import Symbol, SymbolTable, table_of

PROC_KALLSYMS = Path("/proc/kallsyms")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NOTYPE, _FUNCTION = 0, 2
_LOCAL, _GLOBAL, _WEAK = 0, 1, 2
_WANTED = frozenset("TtWwDdBb")
_MAX_BYTES = 64 << 20  # the kernel's own has 10 to 20 MB, packed to a quarter
_MAX_SYMBOLS = 1 << 20
_MOST_INFLATION = 32


def read_kallsyms(path: Path) -> SymbolTable:
    """The names in a kallsyms file (may be .gz); empty when addresses are hidden.

    Raises:
        ParseError: unreadable, not kallsyms, or longer than any kernel's.
    """
    try:
        with path.open("rb") as stored:
            content = _content(stored, packed=path.suffix == ".gz")
    except (OSError, EOFError, zlib.error) as error:
        raise ParseError(f"{path}: kernel symbols cannot be read: {error}") from error
    symbols: list[Symbol] = []
    for line in content.decode("utf-8", "backslashreplace").splitlines():
        words = line.split()
        if len(words) < 3 or words[1] not in _WANTED:
            continue
        if len(symbols) == _MAX_SYMBOLS:
            raise ParseError(f"{path}: names more than {_MAX_SYMBOLS:,} functions")
        try:
            address = int(words[0], 16)
        except ValueError as error:
            raise ParseError(f"{path}: not a kallsyms file: {line[:60]!r}") from error
        if 0 < address < 1 << 64:
            symbols.append(Symbol(address, 0, words[2], _FUNCTION, _binding(words[1])))
    return table_of(symbols)


def _content(stored: BinaryIO, *, packed: bool) -> bytes:
    """The text of a file, and OSError when it is too long, or too long for what it was packed into."""
    if packed:
        most = min(os.fstat(stored.fileno()).st_size * _MOST_INFLATION, _MAX_BYTES)
        with gzip.open(stored, "rb") as stream:
            content = stream.read(most + 1)
    else:
        most = _MAX_BYTES
        content = stored.read(most + 1)
    if len(content) > most:
        raise OSError(f"more than {most} bytes")
    return content


def running_kernel(cache_dir: Path | None) -> SymbolTable:
    """The names of the kernel that runs now, from the cache when it was filled since this boot."""
    boot = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""
    cached = cache_dir / f"kallsyms-{boot}.npz" if cache_dir and boot else None
    if cached is not None and cached.exists():
        table = _load(cached)
        if table is not None:
            return table
    table = read_kallsyms(PROC_KALLSYMS)
    if cached is not None and table.names:
        _store(table, cached)
    return table


def _binding(letter: str) -> int:
    if letter in "Ww":
        return _WEAK
    return _GLOBAL if letter.isupper() else _LOCAL


def _load(path: Path) -> SymbolTable | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            names = bytes(stored["names"]).decode().split("\n")
            table = SymbolTable(stored["starts"], stored["ends"], tuple(names))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    return table if table.starts.shape == table.ends.shape == (len(table.names),) else None


def _store(table: SymbolTable, path: Path) -> None:
    """Writes the cache; a folder that cannot be written only costs time."""
    names = np.frombuffer("\n".join(table.names).encode(), dtype=np.uint8)
    partial = path.with_name(f".{path.name}.partial.npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(partial, starts=table.starts, ends=table.ends, names=names)
        partial.replace(path)
    except OSError:
        return
