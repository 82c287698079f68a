"""Free-route traces: ``[FREE_ROUTE] ss_hit ptr=0x7f…`` among the other lines of a program's output."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from hakprof.errors import ParseError
from hakprof.parse.text import read_text

ROUTES: dict[str, Any] = {
    "route": pl.String,
    "count": pl.Int64,  # traced frees that took it
    "share": pl.Float64,  # of the traced frees
}
SAMPLE_LINES = 10
_MARKER = "[FREE_ROUTE]"
# Several markers may share a line: threads write at once, and old allocators printed no newline.
_RECORD = re.compile(r"\[FREE_ROUTE\] +([A-Za-z_][A-Za-z0-9_]{0,63}) +ptr=(0x[0-9a-fA-F]{1,16}|\(nil\))(?=\s|\[|$)")
_REMEDY = "run the instrumented build with HAKMEM_FREE_ROUTE_TRACE=1 and keep its standard error"


@dataclass(frozen=True, slots=True)
class RouteTrace:
    """Where traced frees went. ``routes`` has schema :data:`ROUTES`, largest first.

    A trace is a sample, and no random one: the allocator traces the first frees up to its limit.
    """

    routes: pl.DataFrame
    sample_lines: tuple[str, ...]  # the first records, as written
    traced: int
    bad_records: int  # markers that no whole record followed
    warnings: tuple[str, ...] = ()


def parse_routes(text: str, *, source: str) -> RouteTrace:
    """The distribution over routes and the first records of a trace.

    Raises:
        ParseError: not one whole record.
    """
    counts: Counter[str] = Counter()
    samples: list[str] = []
    for match in _RECORD.finditer(text):
        counts[match.group(1)] += 1
        if len(samples) < SAMPLE_LINES:
            samples.append(match.group(0))
    traced = counts.total()
    if not traced:
        raise ParseError(f"{source}: no {_MARKER} record", remedy=_REMEDY)
    bad = text.count(_MARKER) - traced
    warnings = (f"{source}: {bad} of {traced + bad} route records are broken; left out",) if bad else ()
    rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    columns = {
        "route": [route for route, _ in rows],
        "count": [count for _, count in rows],
        "share": [count / traced for _, count in rows],
    }
    return RouteTrace(pl.DataFrame(columns, schema=ROUTES), tuple(samples), traced, bad, warnings)


def read_routes(path: Path) -> RouteTrace:
    """:func:`parse_routes` of a file."""
    return parse_routes(read_text(path, remedy=_REMEDY), source=str(path))
