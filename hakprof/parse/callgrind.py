"""`valgrind --tool=callgrind` output → instructions executed per object and function (self cost).

Format: "Callgrind Format Specification" of the Valgrind manual. Names are compressed, ``(id) name`` at first and
``(id)`` afterwards; the line after ``calls=`` is the callee's inclusive cost and belongs to no self cost.
"""

import re
from collections import Counter
from pathlib import Path

import polars as pl

from hakprof.errors import ParseError
from hakprof.parse.text import MAX_INT, Parsed, excerpt, limited, read_text

FRAME = {"object": pl.String, "function": pl.String, "instructions": pl.Int64}
_REMEDY = "collect the cell again; `hakprof doctor` tells whether valgrind works here"
_NAME = re.compile(r"^(c?)(ob|fn|fl|fi|fe)=(?:\((\d+)\))?\s*(.*)$")
_COST = re.compile(r"^(?:\+|-|\*|\d|0x)[0-9a-fx]*(?: (?:\+|-|\*)?\d*)*$")
_COUNT = re.compile(r"[0-9]{1,19}$")
_UNKNOWN = "???"


def read_callgrind(path: Path) -> Parsed:
    """The file at ``path``; see :func:`parse_callgrind`."""
    return parse_callgrind(read_text(path, remedy=_REMEDY), source=str(path))


def parse_callgrind(text: str, *, source: str) -> Parsed:
    """Columns :data:`FRAME`, most instructions first.

    Raises:
        ParseError: no callgrind file, no event Ir, nothing counted, or more than 64 bits hold.
    """
    lines = text.splitlines()
    events = next((line.split()[1:] for line in lines if line.startswith("events:")), None)
    if events is None or "Ir" not in events:
        raise ParseError(f"{source}: not a callgrind file with instruction counts (event Ir)", remedy=_REMEDY)
    positions = next((len(line.split()) - 1 for line in lines if line.startswith("positions:")), 1)
    reader = _Reader(column=positions + events.index("Ir"), source=source)
    for number, line in enumerate(lines, start=1):
        reader.take(line, number)
    if not reader.cost:
        raise ParseError(f"{source}: holds no instruction counts", remedy=_REMEDY)
    told = next((line.partition(":")[2].split() for line in lines if line.startswith(("totals:", "summary:"))), [])
    counted = sum(reader.cost.values())
    if counted > MAX_INT:
        raise ParseError(f"{source}: its instruction counts add up to more than 2^63", remedy=_REMEDY)
    if told[:1] != [str(counted)]:
        own = excerpt(told[0]) if told else "missing"
        reader.warnings.append(f"{source}: {counted} instructions read, but the file's own total is {own}: cut off?")
    rows = [
        {"object": found, "function": function, "instructions": count}
        for (found, function), count in sorted(reader.cost.items(), key=lambda item: (-item[1], item[0]))
    ]
    return Parsed(pl.DataFrame(rows, schema=FRAME), limited(reader.warnings))


class _Reader:
    """Where in the file we are: the current object and function, and the names met so far."""

    def __init__(self, *, column: int, source: str) -> None:
        self.cost: Counter[tuple[str, str]] = Counter()
        self.warnings: list[str] = []
        self._column = column
        self._source = source
        self._names: dict[tuple[str, str], str] = {}
        self._object = _UNKNOWN
        self._function = _UNKNOWN
        self._is_callee_cost = False

    def take(self, line: str, number: int) -> None:
        """One line of the file."""
        if line.startswith("calls="):
            self._is_callee_cost = True
        elif named := _NAME.match(line):
            self._enter(*named.groups())
        elif _COST.match(line):
            if not self._is_callee_cost:
                self._count(line, number)
            self._is_callee_cost = False

    def _enter(self, callee: str, kind: str, identity: str | None, name: str) -> None:
        space = "fl" if kind in ("fl", "fi", "fe") else kind
        if identity is not None:
            name = self._names.setdefault((space, identity), name) if name else self._names.get((space, identity), "")
        name = name or _UNKNOWN
        if callee:
            return
        if kind == "ob":
            self._object = name
        elif kind == "fn":
            self._function = name

    def _count(self, line: str, number: int) -> None:
        parts = line.split()
        if len(parts) <= self._column:
            return  # trailing zeros may be left out
        count = parts[self._column]
        if not _COUNT.match(count):
            self.warnings.append(f"{self._source}:{number}: no instruction count: {excerpt(line)}")
            return
        self.cost[self._object, self._function] += int(count)
