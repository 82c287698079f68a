"""Files that nobody vouches for: inputs that once broke a reader, replayed, and new ones by the fuzzer's own changes.

The checks are those of the fuzz targets: whatever a file holds, the outcome is a result that agrees with itself or a
HakprofError.
"""

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
    assert steps(400_000) < 5  # a second for what took minutes when each field copied all that follow
