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
from hakprof.parse.text import MAX_INT, MAX_NAME, MIN_INT, Parsed, encodable, excerpt, limited, read_text

COUNTERS_FILE: dict[str, Any] = {
    "counter": pl.String,  # "free_routes.map_fast"
    "value": pl.Int64,
}
_MAX_BYTES = 4 << 20
_MAX_COUNTERS = 100_000
_END = object()
_REMEDY = "run the instrumented build again; its counters are written at exit, so it must end by itself"


def parse_counters(text: str, *, source: str) -> Parsed:
    """One row per number, sorted by counter (schema :data:`COUNTERS_FILE`).

    Raises:
        ParseError: empty, cut off, not JSON, not an object, without any number, or with more than anybody counts.
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
        if len(name) > MAX_NAME:
            warnings.append(f"{source}: {excerpt(name)} is longer than {MAX_NAME} characters; left out")
        elif not isinstance(number, int) or not MIN_INT <= number <= MAX_INT:
            warnings.append(
                f"{source}: {excerpt(name)} = {excerpt(str(number))} is no whole number of 64 bits; left out"
            )
        elif name in values:
            warnings.append(f"{source}: {excerpt(name)} occurs twice; the first value is kept")
        elif len(values) == _MAX_COUNTERS:
            raise ParseError(f"{source}: more than {_MAX_COUNTERS:,} numbers are no counters", remedy=_REMEDY)
        else:
            values[name] = number
    if not values:
        raise ParseError(f"{source}: no whole number in the counters' JSON", remedy=_REMEDY)
    names = sorted(values)
    frame = pl.DataFrame({"counter": names, "value": [values[name] for name in names]}, schema=COUNTERS_FILE)
    return Parsed(frame, limited(warnings))


def read_counters(path: Path) -> Parsed:
    """:func:`parse_counters` of a file."""
    return parse_counters(read_text(path, remedy=_REMEDY, max_bytes=_MAX_BYTES), source=str(path))


def _leaves(document: dict[str, Any]) -> Iterator[tuple[str, int | float]]:
    """Every number with its joined key; iterative, so that depth is no matter.

    A key that has grown too long for a name grows no further: each number below would repeat it.
    """
    stack = [_children("", document)]
    while stack:
        name, value = next(stack[-1], ("", _END))
        if value is _END:
            stack.pop()
        elif isinstance(value, dict | list):
            stack.append(_children(f"{name}.", value))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield name, value


def _children(prefix: str, container: dict[str, Any] | list[Any]) -> Iterator[tuple[str, Any]]:
    items = container.items() if isinstance(container, dict) else enumerate(container)
    for key, value in items:
        yield encodable(f"{prefix}{key}"[: MAX_NAME + 1]), value
