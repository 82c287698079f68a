"""T7: a share of syscall time is not a share of the run."""

from hakprof.analysis import wording
from hakprof.analysis.inputs import RunData
from hakprof.analysis.syscalls import SyscallRow, SyscallTable
from hakprof.analysis.trust.model import Concern, Evidence, TrustCheck, Verdict, worst, worst_first

TITLE = "syscall time is set against the run's time"
_REMEDY = "collect the strace cells with both passes (`strace -c` and `strace -c -w`)"


def check_syscall_time(run: RunData, tables: tuple[SyscallTable, ...]) -> TrustCheck:
    """Every share of syscall time has its share of the run beside it; the largest is spelled out."""
    own = [table for table in tables if table.allocator == run.subject]
    concerns = (Concern.SYSCALLS,)
    if not own:
        summary = "No strace cell of the subject was read, so no share of syscall time is shown."
        return TrustCheck("T7", TITLE, Verdict.UNKNOWN, summary, (), concerns)
    evidence = worst_first([_row(table) for table in own])
    verdict = worst([row.verdict for row in evidence])
    spelled = max(own, key=lambda table: (_largest_share(table), table.workload))
    summary = f"{len(own)} traced workloads. {spelled.title}: {_row(spelled).detail}."
    remedy = None if verdict == Verdict.PASS else _REMEDY
    return TrustCheck("T7", TITLE, verdict, summary, evidence, concerns, remedy)


def _largest_share(table: SyscallTable) -> float:
    top = _top(table)
    return (top.kernel_share_of_syscalls or 0.0) if top else 0.0


def _top(table: SyscallTable) -> SyscallRow | None:
    known = [row for row in table.rows if row.kernel_share_of_syscalls is not None]
    return max(known, key=lambda row: (row.kernel_share_of_syscalls or 0.0, row.syscall), default=None)


def _row(table: SyscallTable) -> Evidence:
    top = _top(table)
    if top is None or top.kernel_share_of_syscalls is None:
        return Evidence(table.title, "kernel time of the calls is not known", Verdict.UNKNOWN)
    of_run = top.wall_share_of_run if top.wall_share_of_run is not None else top.kernel_share_of_run
    clock = "wall time" if top.wall_share_of_run is not None else "kernel time"
    share = f"{top.syscall} is {wording.pct(top.kernel_share_of_syscalls)} of syscall time"
    if of_run is None:
        return Evidence(table.title, f"{share}, and its share of the run is not known", Verdict.WARN)
    waiting = ", waiting by design" if top.waiting else ""
    verdict = Verdict.PASS if top.wall_share_of_run is not None else Verdict.WARN
    return Evidence(
        table.title, f"{share} but {wording.pct(of_run)} of the traced run's time ({clock}{waiting})", verdict
    )
