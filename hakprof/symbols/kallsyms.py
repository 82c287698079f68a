"""Kernel function names from /proc/kallsyms or a copy of it."""

import gzip
import os
import re
import zlib
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from hakprof.errors import ParseError
from hakprof.symbols.symtab import Symbol, SymbolTable, table_of

PROC_KALLSYMS = Path("/proc/kallsyms")
_NOTYPE, _FUNCTION = 0, 2
_LOCAL, _GLOBAL, _WEAK = 0, 1, 2
_WANTED = frozenset("TtWwDdBb")
_MAX_BYTES = 64 << 20  # the kernel's own has 10 to 20 MB, packed to a quarter
_MAX_SYMBOLS = 1 << 20
_MOST_INFLATION = 32
_MOST_LINES, _LONGEST_LINE = 1 << 21, 1 << 10
REFERENCES = ("_text", "_stext")  # the symbols that perf takes for the kernel's first, in this order
_REFERENCE = re.compile(rf"([0-9a-f]{{1,16}}) [TtWw] ({'|'.join(REFERENCES)})$".encode())


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


def reference_address(path: Path) -> int | None:
    """The address of `_text`, or of `_stext` where there is no such function; None when it is hidden.

    Raises:
        ParseError: unreadable.
    """
    found: dict[bytes, int] = {}
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            for line in islice(iter(lambda: stream.readline(_LONGEST_LINE), b""), _MOST_LINES):
                function = _REFERENCE.match(line)
                if function:
                    found.setdefault(function[2], int(function[1], 16))
                    if function[2] == b"_text":
                        break
    except (OSError, EOFError, zlib.error) as error:
        raise ParseError(f"{path}: kernel symbols cannot be read: {error}") from error
    return found.get(b"_text", found.get(b"_stext")) or None


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


def _binding(letter: str) -> int:
    if letter in "Ww":
        return _WEAK
    return _GLOBAL if letter.isupper() else _LOCAL
