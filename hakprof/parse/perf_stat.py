"""``perf stat -j`` (and ``-x``, of older perf) → counter values.

The value decides whether an event was measured, never the percentage: perf writes ``pcnt-running`` 100.00 for
``<not supported>``. Rows of one event (``-I`` intervals, ``-A`` CPUs) are added up. On hybrid processors, where perf
counts ``cpu_core/cycles/`` and ``cpu_atom/cycles/``, their sum is added as ``cycles``.
"""

import json
import math
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from hakprof.errors import ParseError
from hakprof.parse.text import Parsed, encodable, excerpt, limited, read_text

PERF_STAT: dict[str, Any] = {
    "event": pl.String,  # as perf names it
    "value": pl.Float64,  # scaled by perf when multiplexed; null: not supported or not counted
    "unit": pl.String,  # "" or "msec", "Joules" …
    "running_share": pl.Float64,  # of the time the event was on a counter; null where value is null
}
_REMEDY = "run `perf stat -j -o FILE -- PROGRAM` and give that file"
_MAX_VALUE = 1e30  # beyond any counter of 64 bits, however scaled, and sums of it stay finite
_NO_VALUE = {"<not supported>": True, "<not counted>": False}  # → lacks support altogether
_BARE_NUMBER = re.compile(r"(?<=: )-?(?:nan|inf)\b")
_HYBRID = re.compile(r"cpu_(?:core|atom|lowpower)/([^/]+)/([A-Za-z]*)$")
_PERCENT = re.compile(r"\d{1,3}\.\d\d$")


@dataclass(frozen=True, slots=True)
class _Reading:
    event: str
    value: float | None
    unit: str
    running_share: float
    unsupported: bool = False


def parse_perf_stat(text: str, *, source: str) -> Parsed:
    """One row per event in perf's order, hybrid sums last (schema :data:`PERF_STAT`).

    Raises:
        ParseError: empty, or no line of it is a counter.
    """
    readings: list[_Reading] = []
    warnings: list[str] = []
    separator = _separator(text)
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        try:
            reading = _from_json(line) if line.startswith("{") else _from_csv(line, separator)
        except (ValueError, TypeError, OverflowError, RecursionError):
            warnings.append(f"{source}:{number}: no counter of perf stat: {excerpt(line)}")
            continue
        if reading is not None:
            readings.append(reading)
    if not readings:
        what = "no counter of perf stat in it" if text.strip() else "empty"
        raise ParseError(f"{source}: {what}", remedy=_REMEDY)
    rows = _by_event(readings)
    return Parsed(pl.DataFrame([*rows, *_hybrid_sums(rows, readings)], schema=PERF_STAT), limited(warnings))


def read_perf_stat(path: Path) -> Parsed:
    """:func:`parse_perf_stat` of a file."""
    return parse_perf_stat(read_text(path, remedy=_REMEDY), source=str(path))


def _reading(event: str, value: str, unit: str, percent: float) -> _Reading:
    if not event:
        message = "no event name"
        raise ValueError(message)
    if value in _NO_VALUE:
        return _Reading(event, None, unit, 0.0, unsupported=_NO_VALUE[value])
    number = float(value)
    if not abs(number) <= _MAX_VALUE or not 0 <= percent <= 100:
        message = f"got: {value!r} at {percent!r} percent"
        raise ValueError(message)
    return _Reading(event, number, unit, percent / 100)


def _from_json(line: str) -> _Reading | None:
    """One object of ``perf stat -j``; None for a line that holds only a further metric of the event before it."""
    try:
        record = json.loads(line)
    except ValueError:
        record = json.loads(_BARE_NUMBER.sub("null", line))  # perf prints a 0/0 metric as a bare nan
    if "metric-value" in record and "counter-value" not in record:
        return None
    event, value, unit = (encodable(str(record.get(key, ""))) for key in ("event", "counter-value", "unit"))
    return _reading(event, value, unit, float(record.get("pcnt-running", 100.0)))


def _separator(text: str) -> str:
    """The field separator of ``-x``: the mark after the first counter value."""
    for line in text.splitlines():
        match = re.match(r"\s*(?:<not [a-z]+>|\d+(?:\.\d+)?)([^\d.\w\s]|\t)", line)
        if match:
            return match.group(1)
    return ","


def _from_csv(line: str, separator: str) -> _Reading | None:
    """One line of ``-x``: value, unit, event, [deviation %,] run time, percent, [metric, its unit].

    A time (``-I``) or a CPU (``-A``) may stand before it. perf quotes nothing, so an event name may hold the separator:
    it ends where run time and percent stand side by side.
    """
    if line.startswith(separator):
        return None  # a further metric of the event before it
    fields = line.split(separator)
    starts = (at for at in range(len(fields) - 1) if _is_value_and_unit(fields[at : at + 2]))
    fields = fields[next(starts, len(fields)) :]
    ends = (
        index for index in range(3, len(fields) - 1) if fields[index].isdecimal() and _PERCENT.match(fields[index + 1])
    )
    end = next(ends, None)
    if end is None:
        message = "no run time and percentage"
        raise ValueError(message)
    name = [field for field in fields[2:end] if field and not field.endswith("%")]
    return _reading(separator.join(name), fields[0], fields[1], float(fields[end + 1]))


def _is_value_and_unit(fields: list[str]) -> bool:
    return (fields[0] in _NO_VALUE or _is_number(fields[0])) and not _is_number(fields[1])


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\s*\d+(?:\.\d+)?", text) is not None


def _by_event(readings: list[_Reading]) -> list[dict[str, Any]]:
    groups: dict[str, list[_Reading]] = defaultdict(list)
    for reading in readings:
        groups[reading.event].append(reading)
    return [_summed(event, group) for event, group in groups.items()]


def _summed(event: str, group: list[_Reading]) -> dict[str, Any]:
    counted = [(reading.value, reading.running_share) for reading in group if reading.value is not None]
    value = math.fsum(number for number, _ in counted) if counted else None
    running = math.fsum(part for _, part in counted) / len(counted) if counted else None
    return {"event": event, "value": value, "unit": group[0].unit, "running_share": running}


def _hybrid_sums(rows: list[dict[str, Any]], readings: list[_Reading]) -> list[dict[str, Any]]:
    """The sum over core types, unless one of them cannot count the event: that sum would be a part sold as the whole.

    Not *counted* on one type is a zero: the program never ran there.
    """
    unsupported = {reading.event for reading in readings if reading.unsupported}
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        match = _HYBRID.match(row["event"])
        if match:
            groups[match.group(1) + (f":{match.group(2)}" if match.group(2) else "")].append(row)
    names = {row["event"] for row in rows}
    sums: list[dict[str, Any]] = []
    for event, group in groups.items():
        counted = [row for row in group if row["value"] is not None]
        if len(group) > 1 and counted and event not in names and not {row["event"] for row in group} & unsupported:
            value = math.fsum(row["value"] for row in counted)
            running = min(row["running_share"] for row in counted)
            sums.append({"event": event, "value": value, "unit": group[0]["unit"], "running_share": running})
    return sums
