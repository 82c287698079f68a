"""Target: texts of perf stat, strace, callgrind, kernel and allocators. The first byte chooses the parser."""

from collections.abc import Callable
from functools import partial

from memory_file import MemoryFile

from hakprof.parse.bench import parse_bench
from hakprof.parse.callgrind import parse_callgrind
from hakprof.parse.counters import parse_counters
from hakprof.parse.perf_stat import parse_perf_stat
from hakprof.parse.routes import parse_routes
from hakprof.parse.strace import parse_strace
from hakprof.parse.strace_log import read_trace
from hakprof.symbols.demangle import demangle
from hakprof.symbols.kallsyms import read_kallsyms

_FILE = MemoryFile("kallsyms")
_TRACE = MemoryFile("strace")


def _kallsyms(data: bytes) -> None:
    table = read_kallsyms(_FILE.hold(data))
    assert (table.starts[1:] > table.starts[:-1]).all()


def _trace(data: bytes) -> None:
    trace = read_trace(_TRACE.hold(data))
    assert trace.frame["calls"].min() >= 0


def _demangle(data: bytes) -> None:
    demangle("_Z" + data.decode("utf-8", "replace"))


def _text(parser: Callable[..., object], data: bytes) -> None:
    parser(data.decode("utf-8", "replace"), source="text")


# The letters are those that seeds.py puts before its seeds.
PARSERS: dict[str, Callable[[bytes], None]] = {
    "p": partial(_text, parse_perf_stat),
    "s": partial(_text, partial(parse_strace, clock="system")),
    "c": partial(_text, parse_callgrind),
    "a": partial(_text, parse_counters),
    "b": partial(_text, parse_bench),
    "r": partial(_text, parse_routes),
    "k": _kallsyms,
    "d": _demangle,
    "l": _trace,
}
_ANY = tuple(PARSERS.values())


def check(data: bytes) -> None:
    """Hands the rest of the input to the parser that its first byte names."""
    if data:
        chosen = PARSERS.get(chr(data[0])) or _ANY[data[0] % len(_ANY)]
        chosen(data[1:])
