"""``strace -c`` tables → syscalls with category and share.

The clock is the caller's to say, since the table does not tell it: "system" (CPU time in the kernel, strace's default)
or "wall" (``-w``, from entry to return). Columns are known by their heads, so ``-U`` in any order is read. With ``-f``
the times of all threads are added: under the wall clock they may exceed the run's own wall time.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from hakprof.errors import ParseError
from hakprof.parse.syscall_names import Clock, category, is_waiting
from hakprof.parse.text import MAX_INT, Parsed, excerpt, limited, read_text

STRACE: dict[str, Any] = {
    "clock": pl.String,
    "syscall": pl.String,
    "category": pl.String,
    "waiting": pl.Boolean,  # sleeps by design: its time is no work
    "calls": pl.Int64,
    "errors": pl.Int64,
    "seconds": pl.Float64,  # null where the table has no such column
    "usec_per_call": pl.Float64,  # seconds / calls: strace prints it cut off to whole microseconds
    "share_of_syscall_time": pl.Float64,  # of the same clock
}

_HEADS = ("% time", "seconds", "usecs/call", "calls", "errors", "syscall", "shortest", "longest")
_HEAD = re.compile("|".join(re.escape(head) for head in _HEADS))
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}$")
_CALL_LOG = re.compile(r"^(?:\[pid +\d+\] |\d+ +)?[a-z_0-9]+\(.*(?:= |<unfinished)", re.MULTILINE)
_REMEDY = "run `strace -f -c -o FILE -- PROGRAM` (and again with -w for wall time) and give that file"


@dataclass(slots=True)
class CallSum:
    """All calls of one name; ``seconds`` None where no time was noted."""

    calls: int
    errors: int
    seconds: float | None


class CallTable:
    """Collects the rows of every table in a text; a text may hold several (two personalities, ``-A``)."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.heads: list[str] | None = None
        self.tables = 0
        self.rows: dict[str, CallSum] = {}
        self.calls = 0  # of the present table
        self.warnings: list[str] = []

    def feed(self, number: int, line: str) -> None:
        heads = _columns(line)
        if heads is not None:
            self.heads, self.calls = heads, 0
            self.tables += 1
        elif self.heads is not None and line.strip() and set(line) - set("- \t"):
            self._row(self.heads, number, line)

    def _row(self, heads: list[str], number: int, line: str) -> None:
        tokens = line.split()
        if "total" in tokens:
            self._total(number, tokens)
            return
        if len(tokens) == len(heads) - 1 and "errors" in heads:
            tokens.insert(heads.index("errors"), "0")
        cells = dict(zip(heads, tokens, strict=False)) if len(tokens) == len(heads) else {}
        row = _row_of(cells)
        if row is None:
            self.warnings.append(f"{self.source}:{number}: no row of a strace table: {excerpt(line)}")
            return
        earlier = self.rows.get(cells["syscall"])
        total = row if earlier is None else _added(row, earlier)
        if total.calls > MAX_INT:
            self.warnings.append(f"{self.source}:{number}: more calls than 64 bits hold: {excerpt(line)}")
            return
        self.calls += row.calls
        self.rows[cells["syscall"]] = total

    def _total(self, number: int, tokens: list[str]) -> None:
        # Its columns may be blank by version, so the sum is looked for among its numbers.
        if str(self.calls) not in tokens:
            self.warnings.append(f"{self.source}:{number}: the rows' {self.calls} calls are not the table's own total")
        self.heads = None

    def end(self) -> None:
        """Says what the end of the text tells of its tables."""
        if self.heads is not None:
            self.warnings.append(f"{self.source}: the table has no total line; it may be cut off")
        if self.tables > 1:
            self.warnings.append(f"{self.source}: {self.tables} tables, added up")


def _columns(line: str) -> list[str] | None:
    """The heads of a table's first line, or None if it is another line."""
    heads = _HEAD.findall(line)
    is_head = "syscall" in heads and "calls" in heads and not _HEAD.sub("", line).strip()
    return heads if is_head else None


def _row_of(cells: dict[str, str]) -> CallSum | None:
    if not _NAME.match(cells.get("syscall", "")):
        return None
    try:
        calls, errors = int(cells["calls"]), int(cells.get("errors", "0"))
        seconds = float(cells["seconds"]) if "seconds" in cells else None
    except ValueError:
        return None
    sound = 0 <= errors <= calls <= MAX_INT and (seconds is None or 0 <= seconds < 1e12)
    return CallSum(calls, errors, seconds) if sound else None


def _added(first: CallSum, second: CallSum) -> CallSum:
    seconds = None if first.seconds is None or second.seconds is None else first.seconds + second.seconds
    return CallSum(first.calls + second.calls, first.errors + second.errors, seconds)


def parse_strace(text: str, *, clock: Clock, source: str) -> Parsed:
    """One row per syscall, most time first (schema :data:`STRACE`). Lines before and after the table are passed over.

    Raises:
        ParseError: empty, a log of single calls instead of a table, or no table at all.
    """
    table = CallTable(source)
    for number, line in enumerate(text.splitlines(), start=1):
        table.feed(number, line)
    if not table.rows:
        raise ParseError(f"{source}: {_why_none(text, table)}", remedy=_REMEDY)
    table.end()
    return Parsed(syscall_frame(table.rows, clock), limited(table.warnings))


def read_strace(path: Path, *, clock: Clock) -> Parsed:
    """:func:`parse_strace` of a file."""
    return parse_strace(read_text(path, remedy=_REMEDY), clock=clock, source=str(path))


def _why_none(text: str, table: CallTable) -> str:
    if not text.strip():
        return "empty; strace writes nothing when it traced no call or was killed"
    if table.tables:
        return "a table of strace -c without any row that can be read"
    if _CALL_LOG.search(text):
        return "a log of single calls, not the table of strace -c"
    return "no table of strace -c in it"


def syscall_frame(rows: dict[str, CallSum], clock: Clock) -> pl.DataFrame:
    """Sums by name as a frame (schema :data:`STRACE`), most time first."""
    ordered = sorted(rows.items(), key=lambda item: (-(item[1].seconds or 0.0), -item[1].calls, item[0]))
    total = sum(row.seconds or 0.0 for row in rows.values())
    records = [
        {
            "clock": clock,
            "syscall": name,
            "category": category(name),
            "waiting": is_waiting(name, clock),
            "calls": row.calls,
            "errors": row.errors,
            "seconds": row.seconds,
            "usec_per_call": row.seconds * 1e6 / row.calls if row.seconds is not None and row.calls else None,
            "share_of_syscall_time": row.seconds / total if row.seconds is not None and total > 0 else None,
        }
        for name, row in ordered
    ]
    return pl.DataFrame(records, schema=STRACE)
