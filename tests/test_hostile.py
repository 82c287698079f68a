"""Files that nobody vouches for: inputs that once broke a reader, replayed, and new ones by the fuzzer's own changes.

The checks are those of the fuzz targets: whatever a file holds, the outcome is a result that agrees with itself or a
HakprofError.
"""

import gzip
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest

from hakprof.errors import HakprofError, ParseError
from hakprof.parse.bench import parse_bench
from hakprof.parse.counters import parse_counters
from hakprof.parse.perf_stat import parse_perf_stat
from hakprof.symbols.demangle import Demangler, demangle
from hakprof.symbols.kallsyms import read_kallsyms

_ROOT = Path(__file__).parent
_ONCE_BROKE = sorted(path for path in (_ROOT / "hostile").glob("*/*") if path.is_file())


def _target(name: str) -> Callable[[bytes], None]:
    """The check of a fuzz target."""
    folder = str(_ROOT.parent / "fuzz")
    if folder not in sys.path:
        sys.path.append(folder)
    return import_module(name).check


@pytest.mark.parametrize("path", _ONCE_BROKE, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_what_once_broke_a_reader_is_refused_or_read(path: Path) -> None:
    began = time.process_time()
    with suppress(HakprofError):
        _target(path.parent.name)(path.read_bytes())
    assert time.process_time() - began < 5


def test_text_that_no_frame_can_hold_is_replaced() -> None:
    line = parse_bench('{"benchmark": "\\ud800", "ops": 1, "measured_ns": 1}', source="out")
    assert line is not None
    assert line.benchmark == "?"


def test_counters_under_a_long_key_do_not_repeat_it() -> None:
    deep = '{"' + "k" * 400 + '": ' + '{"' + "l" * 400 + '": [' + ", ".join("1" for _ in range(1000)) + "]}}"
    with pytest.raises(ParseError, match="no whole number"):
        parse_counters(deep, source="counters")
    many = "[" + ", ".join("1" for _ in range(100_001)) + "]"
    with pytest.raises(ParseError, match="100,000 numbers"):
        parse_counters(f'{{"x": {many}}}', source="counters")


def test_a_line_of_many_fields_takes_time_by_its_length() -> None:
    def steps(fields: int) -> float:
        began = time.process_time()
        with suppress(ParseError):
            parse_perf_stat("1," * fields, source="stat")
        return time.process_time() - began

    steps(1000)
    assert steps(100_000) < 4  # a second for what took minutes when each field copied all that follow


@pytest.mark.parametrize("content", [b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"\xff" * 40, gzip.compress(bytes(1 << 22))])
def test_packed_kernel_symbols_that_are_damaged_or_a_bomb_are_refused(tmp_path: Path, content: bytes) -> None:
    packed = tmp_path / "kallsyms.gz"
    packed.write_bytes(content)
    with pytest.raises(ParseError, match="cannot be read"):
        read_kallsyms(packed)


def doubled(times: int) -> str:
    """A C++ name of 20 + 10 × times characters that stands for more than 2 ** times types."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return "_Z1f1PI1AS0_E" + "".join(f"S_IS{digits[number]}_S{digits[number]}_E" for number in range(1, times + 1))


def test_a_name_that_stands_for_gigabytes_stays_as_it_is() -> None:
    assert demangle(doubled(3)) == "f"
    assert demangle(doubled(35)) == doubled(35)


def test_many_names_that_stand_for_much_end_the_reading_of_such_names() -> None:
    demangler = Demangler(max_unusual=10_000)
    taken = sum(demangler.signature(doubled(8)) is not None for _ in range(100))
    assert 0 < taken < 100
    assert demangler.signature("_ZN2ns3Box4growEi") == "ns::Box::grow(int)"
