"""Names of code that a program made while it ran: /tmp/perf-<pid>.map, which just-in-time compilers write for perf.

Format: linux/tools/perf/Documentation/jit-interface.txt, one line "START SIZE name" with hexadecimal numbers.
"""

import re
from contextlib import suppress
from pathlib import Path

from hakprof.symbols.symtab import Symbol, SymbolTable, table_of

_PATH = re.compile(r"/tmp/perf-\d+\.map")  # noqa: S108 - where the interface has it
_MOST_BYTES = 64 << 20
_MOST_ADDRESS = 1 << 64


def is_perf_map(path: str) -> bool:
    """Whether a recorded object stands for code without a file."""
    return _PATH.fullmatch(path) is not None


def read_perf_map(path: Path) -> SymbolTable:
    """The names by address; none when there is no such file. Lines of another form are passed over."""
    symbols = []
    text = ""
    if path.is_file():  # anybody can put anything there
        with suppress(OSError), path.open("rb") as stream:
            text = stream.read(_MOST_BYTES).decode("utf-8", "backslashreplace")
    for line in text.splitlines():
        words = line.split(maxsplit=2)
        try:
            start, size = int(words[0], 16), int(words[1], 16)
        except (ValueError, IndexError):
            continue
        if len(words) == 3 and size > 0 and start + size < _MOST_ADDRESS and start >= 0:
            symbols.append(Symbol(start, size, words[2]))
    return table_of(symbols)
