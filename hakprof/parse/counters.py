"""Counters that an allocator writes as one JSON object at exit: nested objects of numbers → one flat frame.

Any project's object will do: nested keys are joined by ".", places in a list are their index; text, booleans and null
are descriptions, not counters, and are passed over.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from hakprof.errors import ParseError
from hakprof.parse.text import Parsed, excerpt, limited, read_text

COUNTERS_FILE: dict[str, Any] = {
    "counter": pl.String,  # "free_routes.map_fast"
    "value": pl.Int64,
}
_MIN_INT, _MAX_INT = -(2**63), 2**63 - 1
_REMEDY = "run the instrumented build again; its counters are written at exit, so it must end by itself"


def parse_counters(text: str, *, source: str) -> Parsed:
    """One row per number, sorted by counter (schema :data:`COUNTERS_FILE`).

    Raises:
        ParseError: empty, cut off, not JSON, not an object, or without any number.
    """
    if not text.strip():
        raise ParseError(f"{source} is empty", remedy=_REMEDY)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ParseError(f"{source}: counters are cut off or not JSON ({error})", remedy=_REMEDY) from error
    if not isinstance(document, dict):
        raise ParseError(f"{source}: counters must be one JSON object, got {type(document).__name__}", remedy=_REMEDY)
    warnings: list[str] = []
    values: dict[str, int] = {}
    for name, number in _leaves(document):
        if isinstance(number, float) and number.is_integer():
            number = int(number)
        if not isinstance(number, int) or not _MIN_INT <= number <= _MAX_INT:
            warnings.append(f"{source}: {excerpt(name)} = {number} is no whole number of 64 bits; left out")
        elif name in values:
            warnings.append(f"{source}: {excerpt(name)} occurs twice; the first value is kept")
        else:
            values[name] = number
    if not values:
        raise ParseError(f"{source}: no whole number in the counters' JSON", remedy=_REMEDY)
    names = sorted(values)
    frame = pl.DataFrame({"counter": names, "value": [values[name] for name in names]}, schema=COUNTERS_FILE)
    return Parsed(frame, limited(warnings))


def read_counters(path: Path) -> Parsed:
    """:func:`parse_counters` of a file."""
    return parse_counters(read_text(path, remedy=_REMEDY), source=str(path))


def _leaves(document: dict[str, Any]) -> Iterator[tuple[str, int | float]]:
    """Every number with its joined key; iterative, so that depth is no matter."""
    stack: list[tuple[str, Any]] = [("", document)]
    while stack:
        name, value = stack.pop()
        prefix = f"{name}." if name else ""
        if isinstance(value, dict):
            stack.extend((f"{prefix}{key}", item) for key, item in reversed(value.items()))
        elif isinstance(value, list):
            stack.extend((f"{prefix}{index}", item) for index, item in reversed(list(enumerate(value))))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield name, value
