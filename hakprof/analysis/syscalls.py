"""System calls under strace (R6, T7): calls per 1,000 operations, and each call's time both ways.

A share of syscall time says nothing about the run: 36 calls can be 68 % of it and 0.1 % of the run. So every share of
syscall time stands beside the share of the traced run's wall time, and waiting calls are told apart from working ones.
"""

from dataclasses import dataclass

import polars as pl

from hakprof.analysis.inputs import RunData
from hakprof.analysis.labels import allocator_title, workload_title


@dataclass(frozen=True, slots=True)
class SyscallRow:
    """One system call on one workload; times are None where that strace pass is missing."""

    syscall: str
    category: str
    waiting: bool
    calls: int
    errors: int
    calls_per_1000_ops: float | None
    usec_per_call: float | None  # wall time where measured, else kernel CPU time
    kernel_share_of_syscalls: float | None  # of the kernel CPU time of all calls
    wall_share_of_syscalls: float | None  # of the wall time of all working calls; None for waiting ones
    kernel_share_of_run: float | None  # of the traced run's wall time
    wall_share_of_run: float | None


@dataclass(frozen=True, slots=True)
class SyscallTable:
    workload: str
    title: str
    allocator: str
    allocator_title: str
    is_subject: bool
    rows: tuple[SyscallRow, ...]  # working calls first, most time first
    calls: int
    calls_per_1000_ops: float | None
    wall_share_of_run: float | None  # working calls together

    def rate_of(self, *syscalls: str) -> float | None:
        """Calls per 1,000 operations of several calls together; None if the operations are not known."""
        rates = [row.calls_per_1000_ops for row in self.rows if row.syscall in syscalls]
        known = [rate for rate in rates if rate is not None]
        return sum(known) if len(known) == len(rates) and self.calls_per_1000_ops is not None else None

    def calls_of(self, *syscalls: str) -> int:
        return sum(row.calls for row in self.rows if row.syscall in syscalls)

    def row(self, syscall: str) -> SyscallRow | None:
        return next((row for row in self.rows if row.syscall == syscall), None)


def analyse_syscalls(run: RunData) -> tuple[SyscallTable, ...]:
    """A table per traced workload and allocator, subject first, in the study's order."""
    tables = []
    for workload in run.workloads:
        for allocator in reversed(run.allocators):
            part = run.syscalls.filter(
                (pl.col("workload") == workload) & (pl.col("allocator") == allocator) & (pl.col("variant") == "default")
            )
            if part.height:
                tables.append(
                    syscall_table(
                        part,
                        workload=workload,
                        title=workload_title(run, workload),
                        allocator=allocator,
                        allocator_title=allocator_title(run, allocator),
                        is_subject=allocator == run.subject,
                    )
                )
    return tuple(tables)


def syscall_table(
    part: pl.DataFrame, *, workload: str, title: str, allocator: str, allocator_title: str, is_subject: bool
) -> SyscallTable:
    """The table of one traced program: rows of frames.SYSCALLS, those of either clock at most once by name."""
    clocks = {clock: part.filter(pl.col("clock") == clock) for clock in ("system", "wall")}
    counted = clocks["system"] if clocks["system"].height else clocks["wall"]
    working_wall = float(clocks["wall"].filter(~pl.col("waiting"))["seconds"].sum())
    rows = [
        _row(name, _by_name(clocks["system"], name), _by_name(clocks["wall"], name), working_wall)
        for name in sorted(set(part["syscall"].to_list()))
    ]
    rows.sort(
        key=lambda row: (
            row.waiting,
            -_weight(row),
            -row.calls,
            row.syscall,
        )
    )
    rates = counted["calls_per_1000_ops"]
    shares = [row.wall_share_of_run for row in rows if not row.waiting and row.wall_share_of_run is not None]
    return SyscallTable(
        workload=workload,
        title=title,
        allocator=allocator,
        allocator_title=allocator_title,
        is_subject=is_subject,
        rows=tuple(rows),
        calls=sum(row.calls for row in rows),
        calls_per_1000_ops=float(rates.sum()) if rates.len() and rates.null_count() == 0 else None,
        wall_share_of_run=sum(shares) if shares else None,
    )


def _weight(row: SyscallRow) -> float:
    """The call's time: a share of the run where that is known, else of all calls."""
    of_run = row.wall_share_of_run or row.kernel_share_of_run
    return of_run or row.wall_share_of_syscalls or row.kernel_share_of_syscalls or 0.0


def _by_name(frame: pl.DataFrame, name: str) -> dict[str, object] | None:
    found = frame.filter(pl.col("syscall") == name)
    return found.row(0, named=True) if found.height else None


def _row(
    name: str, system: dict[str, object] | None, wall: dict[str, object] | None, working_wall: float
) -> SyscallRow:
    counted = system or wall or {}
    timed = wall or system or {}
    waiting = bool((wall or {}).get("waiting") or (system or {}).get("waiting"))
    wall_seconds = _number(wall, "seconds")
    return SyscallRow(
        syscall=name,
        category=str(counted["category"]),
        waiting=waiting,
        calls=int(_number(counted, "calls") or 0),
        errors=int(_number(counted, "errors") or 0),
        calls_per_1000_ops=_number(counted, "calls_per_1000_ops"),
        usec_per_call=_number(timed, "usec_per_call"),
        kernel_share_of_syscalls=_number(system, "share_of_syscall_time"),
        wall_share_of_syscalls=(
            wall_seconds / working_wall if wall_seconds is not None and working_wall and not waiting else None
        ),
        kernel_share_of_run=_number(system, "share_of_run"),
        wall_share_of_run=_number(wall, "share_of_run"),
    )


def _number(row: dict[str, object] | None, column: str) -> float | None:
    value = row.get(column) if row else None
    return float(value) if isinstance(value, int | float) else None
