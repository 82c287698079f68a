"""A flat profile: one line per thread name, object and symbol, most samples first, as `perf report` has it.

Written without templates and data frames: such tables run to thousands of lines, and start-up counts.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hakprof.choice import event_among, no_samples_of
from hakprof.errors import HakprofError
from hakprof.report.markdown import one_line

if TYPE_CHECKING:
    from hakprof.profiles import FlatProfile, FlatRow

KEYS = ("event", "comm", "dso", "symbol")
Row = tuple[str | int, ...]  # a value for each key, samples, period


@dataclass(frozen=True, slots=True)
class FlatTable:
    """Samples and period of one recording by ``keys``; of one event, unless the event is among them."""

    title: str
    event: str | None
    keys: tuple[str, ...]
    rows: tuple[Row, ...]
    warnings: tuple[str, ...]

    def text(self) -> str:
        """Aligned lines under a heading. Names come from binaries: control characters are taken out."""
        total = sum(int(row[-2]) for row in self.rows)
        of_event = f" of {self.event}" if self.event else ""
        names = [[one_line(name) for name in row[: len(self.keys)]] for row in self.rows]
        # The last name may be as long as it likes.
        widths = [max(len(key), *(len(row[at]) for row in names)) for at, key in enumerate(self.keys[:-1])]
        lines = [
            f"# {one_line(self.title)}: {total:,} samples{of_event}",
            _line("share", "samples", "period", self.keys, widths),
        ]
        for row, texts in zip(self.rows, names, strict=True):
            lines.append(_line(f"{100 * int(row[-2]) / total:.2f} %", f"{row[-2]:,}", f"{row[-1]:,}", texts, widths))
        return "\n".join(lines)


def parse_keys(text: str) -> tuple[str, ...]:
    """``comm,dso,symbol`` → the keys; HakprofError for one that does not exist."""
    keys = tuple(dict.fromkeys(key.strip() for key in text.split(",")))
    for key in keys:
        if key not in KEYS:
            raise HakprofError(f"--by {text}: there is no key {key!r}", remedy=f"use some of {','.join(KEYS)}")
    return keys


def flat_table(
    profile: "FlatProfile",
    keys: tuple[str, ...],
    *,
    title: str,
    event: str | None = None,
    comm: str | None = None,
    dso: str | None = None,
) -> FlatTable:
    """Adds up a flat profile by ``keys``; only the event, thread name or object that is named.

    Raises:
        NotMeasuredError: the recording has no samples.
        HakprofError: an event, thread name or object that is asked for is in none of them.
    """
    wanted = profile.rows
    if event is not None or "event" not in keys:
        event = event_among(event, _largest_first(profile.rows, "event"), profile.of_time)
        wanted = _having(wanted, "event", event)
    if comm is not None:
        wanted = _having(wanted, "comm", comm)
    if dso is not None:
        wanted = _having(wanted, "dso", dso)
    shown: dict[str, None] = {}
    sums: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0])
    for row in wanted:
        found = sums[tuple(getattr(row, key) for key in keys)]
        found[0] += row.samples
        found[1] += row.period
        shown.setdefault(row.event)
    ordered = sorted(sums.items(), key=lambda item: (-item[1][0], item[0]))
    rows: tuple[Row, ...] = tuple((*names, samples, period) for names, (samples, period) in ordered)
    unequal = (profile.unequal[name] for name in shown if name in profile.unequal)
    return FlatTable(title, event, keys, rows, (*unequal, *profile.warnings))


def _having(rows: "Sequence[FlatRow]", column: str, value: str) -> "tuple[FlatRow, ...]":
    kept = tuple(row for row in rows if getattr(row, column) == value)
    if not kept:
        raise no_samples_of(column, value, _largest_first(rows, column))
    return kept


def _largest_first(rows: "Sequence[FlatRow]", column: str) -> list[str]:
    """The values of a column, those with most samples first."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts[getattr(row, column)] += row.samples
    return sorted(counts, key=lambda name: (-counts[name], name))


def _line(share: str, samples: str, period: str, names: Sequence[str], widths: Sequence[int]) -> str:
    padded = [name.ljust(width) for name, width in zip(names, widths, strict=False)]
    return "  ".join([share.rjust(8), samples.rjust(12), period.rjust(18), *padded, *names[len(widths) :]])
