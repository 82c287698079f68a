"""Any output of strace → syscalls with category and share: the table of ``-c``, or a log of single calls, summed here.

A log is what strace writes without ``-c``, with or without ``-f``, ``-T``, ``-t``, ``-tt``, ``-ttt``, ``-r``. A call
counts when it returns, in one line or in the one that resumes it, as it does for ``-c``. ``-T`` gives its wall time;
without, calls are counted and not timed. Time stamps with a fraction tell how long the traced program ran.

A table does not tell its clock. A sleep that took long by it was measured by the wall clock: sleeping costs no CPU.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import polars as pl

from hakprof.errors import ParseError
from hakprof.parse.strace import CallSum, CallTable, syscall_frame
from hakprof.parse.syscall_names import Clock
from hakprof.parse.text import excerpt, limited, open_stored

Kind = Literal["table", "log"]

_REMEDY = "give what `strace -f -c -o FILE PROGRAM` or `strace -f -T -ttt -o FILE PROGRAM` wrote"
_LONGEST_LINE = 1 << 20  # bytes
_SLEEPS = ("nanosleep", "clock_nanosleep")
_SLEEP_USEC = 20_000.0  # per call: more CPU time than a tick of the kernel can charge to a call that only sleeps
_DAY_SECONDS = 86_400.0
_LEAST_EPOCH = 1e8  # seconds: a larger time stamp is one of -ttt, a smaller one of -r
# Possessive blanks: a line of nothing but them must not be tried in every way to divide it.
_START = re.compile(
    r"(?:\[pid +(?P<pid>\d+)\] |(?P<bare_pid>\d+) ++)?"
    r" *+(?:(?P<hours>\d\d):(?P<minutes>\d\d):(?P<seconds>\d\d(?P<fraction>\.\d+)?) |(?P<stamp>\d{1,12}\.\d+) )?"
    r" *+(?:\(\+ *+\d+\.\d+\) )?(?:\[[ 0-9a-f?]+\] ){0,2}"
    r"(?:<\.\.\. (?P<resumed>[a-z_][a-z0-9_]{0,63}) resumed>|(?P<call>[a-z_][a-z0-9_]{0,63})\()"
)
_RESULT = re.compile(r".*\) += (?P<value>\?|-?\w+)(?P<error> E[A-Z0-9]+\b)?.*?(?:<(?P<took>\d{1,9}\.\d+)>)?$")
# A call that another line interrupts; on a terminal, strace's own message may be that line.
_UNFINISHED = re.compile(r"(?:<unfinished \.\.\.>|strace: Process \d+ attached)$")
_UNFINISHED_ENDS = (" ...>", " attached")  # which most lines have not


@dataclass(frozen=True, slots=True)
class Trace:
    """What one file of strace says. ``clock`` is a guess where ``clock_is_sure`` is not set.

    ``span_seconds``: from the first to the last time stamp, None without any that are fine enough.
    """

    source: str
    kind: Kind
    clock: Clock
    clock_is_sure: bool
    frame: pl.DataFrame  # STRACE
    span_seconds: float | None
    warnings: tuple[str, ...]


@dataclass(slots=True)
class _Log:
    """Adds up the calls of a log, line by line."""

    source: str
    rows: dict[str, CallSum] = field(default_factory=dict)
    pending: dict[str, str] = field(default_factory=dict)  # thread → the call that it has not returned from
    begun: float | None = None
    ended: float = 0.0
    last_stamp: float = 0.0
    days: float = 0.0
    timed: int = 0
    cut: list[str] = field(default_factory=list)

    def feed(self, number: int, line: str) -> None:
        """Takes in a line; what is no call (signals, exits, stacks, the program's output) is passed over."""
        start = _START.match(line)
        if start is None:
            return
        thread = start["pid"] or start["bare_pid"] or ""
        stamp = self._stamp(start)
        name = start["resumed"] or start["call"]
        if line.endswith(_UNFINISHED_ENDS) and _UNFINISHED.search(line):
            self.pending[thread] = name
            self._seen(stamp, 0.0)
            return
        result = _RESULT.match(line, start.end() - 1)
        if result is None:
            self.cut.append(f"{self.source}:{number}: a call without its result: {excerpt(line)}")
            return
        took = float(result["took"]) if result["took"] else None
        self._seen(stamp, took if took is not None and start["call"] else 0.0)
        self.pending.pop(thread, None)
        if result["value"] == "?" and result["error"] is None:
            return  # exit and its like never return; -c leaves them out as well
        self._add(name, failed=result["error"] is not None, took=took)

    def _add(self, name: str, *, failed: bool, took: float | None) -> None:
        self.timed += took is not None
        total = self.rows.setdefault(name, CallSum(0, 0, 0.0))
        total.calls += 1
        total.errors += failed
        total.seconds = None if took is None or total.seconds is None else total.seconds + took

    def _stamp(self, start: re.Match[str]) -> float | None:
        """Seconds since some beginning; None for no time stamp, or one of whole seconds (-t)."""
        if start["stamp"] is not None:
            value = float(start["stamp"])
            return value if value >= _LEAST_EPOCH else self.last_stamp + value
        if start["fraction"] is None:
            return None
        value = self.days + 3600 * int(start["hours"]) + 60 * int(start["minutes"]) + float(start["seconds"])
        if value < self.last_stamp - _DAY_SECONDS / 2:  # past midnight
            self.days += _DAY_SECONDS
            value += _DAY_SECONDS
        return value

    def _seen(self, stamp: float | None, took: float) -> None:
        if stamp is None:
            return
        if self.begun is None:
            self.begun = stamp
        self.last_stamp = stamp
        self.ended = max(self.ended, stamp + took)

    @property
    def calls(self) -> int:
        return sum(row.calls for row in self.rows.values())

    def warnings(self) -> Iterator[str]:
        yield from self.cut
        if self.pending:
            names = ", ".join(sorted(set(self.pending.values()))[:5])
            yield f"{self.source}: {len(self.pending)} calls had not returned at its end and are not counted ({names})"
        if 0 < self.timed < self.calls:
            yield f"{self.source}: {self.calls - self.timed} of {self.calls} calls have no time (-T): theirs is unknown"

    def span_seconds(self) -> float | None:
        span = self.ended - self.begun if self.begun is not None else 0.0
        return span if span > 0 else None


def read_trace(path: Path, *, clock: Clock | None = None) -> Trace:
    """Reads a file of strace, whichever kind it is; a table after a log (``-C``) is what counts.

    ``clock`` is the table's, where the caller knows it; the times of a log are wall times.

    Raises:
        ParseError: the file cannot be read, or holds neither a table nor a call.
    """
    source = str(path)
    table, log = CallTable(source), _Log(source)
    for number, line in enumerate(_lines(path), start=1):
        if table.tables or "syscall" in line:  # which a table's first line has, and next to none of a log
            table.feed(number, line)
        if not table.tables:
            log.feed(number, line)
    if table.rows:
        table.end()
        return _of_table(table, clock)
    if not log.calls:
        raise ParseError(f"{source}: {_why_none(path, table)}", remedy=_REMEDY)
    frame = syscall_frame(log.rows, "wall")
    return Trace(source, "log", "wall", True, frame, log.span_seconds(), limited(list(log.warnings())))


def _of_table(table: CallTable, clock: Clock | None) -> Trace:
    frame = syscall_frame(table.rows, clock or "system")
    sleeping = frame.filter(pl.col("syscall").is_in(_SLEEPS) & (pl.col("usec_per_call") >= _SLEEP_USEC))
    is_wall = clock is None and sleeping.height > 0
    if is_wall:
        frame = syscall_frame(table.rows, "wall")
    known: Clock = "wall" if is_wall else clock or "system"
    return Trace(table.source, "table", known, clock is not None or is_wall, frame, None, limited(table.warnings))


def _lines(path: Path) -> Iterator[str]:
    """The lines of a file of any size; one beyond all sense comes in pieces."""
    try:
        with open_stored(path, remedy=_REMEDY) as raw, io.BufferedReader(raw) as file:
            while line := file.readline(_LONGEST_LINE):
                yield line.decode("utf-8", "replace").rstrip("\r\n")
    except OSError as error:
        raise ParseError(f"cannot read {path}: {error.strerror or error}", remedy=_REMEDY) from error


def _why_none(path: Path, table: CallTable) -> str:
    if not path.stat().st_size:
        return "empty; strace writes nothing when it traced no call or was killed"
    if table.tables:
        return "a table of strace -c without any row that can be read"
    return "neither a table of strace -c nor a log of calls"
