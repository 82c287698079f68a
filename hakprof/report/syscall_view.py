"""Syscall tables as they are shown: the calls that take most time, those that wait, and the rest in one row."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hakprof.analysis.syscalls import SyscallRow, SyscallTable

MOST_WORKING = 6
LEAST_FOLDED = 2  # one small call takes no more room than a row that stands for it


@dataclass(frozen=True, slots=True)
class SyscallView:
    """One table. ``total`` leaves the time of waiting calls out: it is nobody's work."""

    title: str
    rows: tuple[SyscallRow, ...]
    other: SyscallRow | None
    other_kinds: int
    total: SyscallRow


def syscall_views(tables: Sequence[SyscallTable]) -> tuple[SyscallView, ...]:
    """One view for each of the subject's tables."""
    return tuple(syscall_view(table) for table in tables if table.is_subject)


def syscall_view(table: SyscallTable) -> SyscallView:
    """The view of one table."""
    working = [row for row in table.rows if not row.waiting]
    waiting = [row for row in table.rows if row.waiting]
    folded = working[MOST_WORKING:]
    if len(folded) < LEAST_FOLDED:
        folded = []
    shown = working[: len(working) - len(folded)] + waiting
    return SyscallView(
        title=table.title,
        rows=tuple(shown),
        other=_together("other", folded, timed=folded) if folded else None,
        other_kinds=len(folded),
        total=_together("total", table.rows, timed=working),
    )


def _together(name: str, rows: Sequence[SyscallRow], *, timed: Sequence[SyscallRow]) -> SyscallRow:
    return SyscallRow(
        syscall=name,
        category="",
        waiting=False,
        calls=sum(row.calls for row in rows),
        errors=sum(row.errors for row in rows),
        calls_per_1000_ops=_sum(rows, lambda row: row.calls_per_1000_ops),
        usec_per_call=None,
        kernel_share_of_syscalls=_sum(rows, lambda row: row.kernel_share_of_syscalls),
        wall_share_of_syscalls=_sum(timed, lambda row: row.wall_share_of_syscalls),
        kernel_share_of_run=_sum(rows, lambda row: row.kernel_share_of_run),
        wall_share_of_run=_sum(timed, lambda row: row.wall_share_of_run),
    )


def _sum(rows: Iterable[SyscallRow], figure: Callable[[SyscallRow], float | None]) -> float | None:
    known = [value for row in rows if (value := figure(row)) is not None]
    return sum(known) if known else None
