"""The benchmark's JSON line: one object on a line of its own in the program's output.

Required keys: ``benchmark`` (string), ``ops`` and ``measured_ns`` (whole numbers); all others are optional, so that any
program can report a measured region by printing ``{"benchmark": "mine", "ops": 1000, "measured_ns": 52000}``.
"""

import json
from dataclasses import dataclass
from typing import Any

from hakprof.errors import ParseError
from hakprof.parse.text import MAX_INT, encodable, excerpt
from hakprof.units import finite

SCHEMA_VERSION = 1
_RATE_TOLERANCE = 0.01
_REMEDY = "run the benchmark by itself and look at its last line; it must be one whole JSON object"


@dataclass(frozen=True, slots=True)
class BenchLine:
    """What a benchmark says of its measured region. None: the program did not say."""

    benchmark: str
    ops: int
    measured_ns: int  # the measured region's wall time
    ops_unit: str = "operation"
    mode: str | None = None
    allocator_mode: str | None = None  # "real", "empty" (no calls) or "null" (an allocator that does nothing)
    threads: int | None = None
    seed: int | None = None
    malloc_calls: int | None = None
    free_calls: int | None = None
    total_malloc_calls: int | None = None  # of the whole process, warm-up included
    total_free_calls: int | None = None
    startup_ns: int | None = None
    warmup_ns: int | None = None
    vm_hwm_bytes: int | None = None
    vm_rss_bytes: int | None = None
    minor_faults: int | None = None
    major_faults: int | None = None
    startup_minor_faults: int | None = None
    malloc_object: str | None = None  # ELF object whose malloc served the calls
    malloc_symbol: str | None = None
    build: str | None = None

    @property
    def ops_per_second(self) -> float:
        """Operations per second of the measured region."""
        return self.ops * 1e9 / self.measured_ns


_INT_KEYS = (
    "threads",
    "seed",
    "malloc_calls",
    "free_calls",
    "total_malloc_calls",
    "total_free_calls",
    "startup_ns",
    "warmup_ns",
    "vm_hwm_bytes",
    "vm_rss_bytes",
    "minor_faults",
    "major_faults",
    "startup_minor_faults",
)
_TEXT_KEYS = ("ops_unit", "mode", "allocator_mode", "malloc_object", "malloc_symbol", "build")


def parse_bench(text: str, *, source: str) -> BenchLine | None:
    """The benchmark line in a program's output, or None if there is none.

    Raises:
        ParseError: the line is cut off, contradicts itself, lacks a key, or there are several.
    """
    lines = [line.strip() for line in text.split("\n") if line.lstrip().startswith("{") and '"benchmark"' in line]
    if not lines:
        return None
    if len(lines) > 1:
        message = f"{source}: {len(lines)} benchmark lines; a run must print one"
        raise ParseError(message, remedy="print one line for the whole measured region, from one process")
    try:
        record = json.loads(lines[0])
    except (ValueError, RecursionError) as error:
        raise ParseError(f"{source}: broken benchmark line {excerpt(lines[0])}", remedy=_REMEDY) from error
    if not isinstance(record, dict):
        raise ParseError(f"{source}: benchmark line is no JSON object: {excerpt(lines[0])}", remedy=_REMEDY)
    return _from_record(record, source)


def _from_record(record: dict[str, Any], source: str) -> BenchLine:
    schema = _whole(record, "schema", source)
    if schema is not None and schema != SCHEMA_VERSION:
        message = f"{source}: benchmark line of schema {schema}; this hakprof reads {SCHEMA_VERSION}"
        raise ParseError(message, remedy="use the hakprof that belongs to the benchmark")
    benchmark, ops = _text(record, "benchmark", source), _whole(record, "ops", source)
    measured_ns = _whole(record, "measured_ns", source)
    if benchmark is None or ops is None or not measured_ns:
        lacking = "benchmark" if benchmark is None else "ops" if ops is None else "measured_ns above 0"
        raise ParseError(f"{source}: benchmark line lacks {lacking}", remedy=_REMEDY)
    optional: dict[str, Any] = {key: _whole(record, key, source) for key in _INT_KEYS}
    optional |= {key: _text(record, key, source) for key in _TEXT_KEYS}
    given = {key: value for key, value in optional.items() if value is not None}
    line = BenchLine(benchmark=benchmark, ops=ops, measured_ns=measured_ns, **given)
    _check_rate(record.get("ops_per_second"), line, source)
    return line


def _whole(record: dict[str, Any], key: str, source: str) -> int | None:
    value = record.get(key)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_INT):
        return value
    message = f"{source}: benchmark line has {key} = {_shown(value)}; must be a whole number from 0 to 2^63-1"
    raise ParseError(message, remedy=_REMEDY)


def _text(record: dict[str, Any], key: str, source: str) -> str | None:
    value = record.get(key)
    if value is None:
        return None
    if isinstance(value, str):
        return encodable(value)
    raise ParseError(f"{source}: benchmark line has {key} = {_shown(value)}; must be text", remedy=_REMEDY)


def _shown(value: object) -> str:
    """A wrong value for a message. What holds others is only named: they may be nested beyond what can be printed."""
    return "a list" if isinstance(value, list) else "an object" if isinstance(value, dict) else excerpt(str(value))


def _check_rate(printed: object, line: BenchLine, source: str) -> None:
    """A printed rate that contradicts ops and time means that one of them is not what we think it is."""
    rate = finite(printed) if isinstance(printed, int | float) else None
    if rate is None or abs(rate - line.ops_per_second) <= _RATE_TOLERANCE * line.ops_per_second:
        return
    region = f"{line.ops} ops in {line.measured_ns} ns are {line.ops_per_second:g}"
    message = f"{source}: benchmark line says {rate:g} ops/s, but {region}"
    raise ParseError(message, remedy="print ops_per_second = ops × 1e9 / measured_ns, or leave it out")
