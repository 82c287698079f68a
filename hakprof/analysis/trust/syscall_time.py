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
    """Of a working call: that a waiting one holds much of the time misleads nobody."""
    top = _top(table)
    return _of_syscalls(top) if top and not top.waiting else 0.0


def _of_syscalls(row: SyscallRow) -> float:
    """Share of all calls' kernel time; of their wall time where the kernel's clock saw none."""
    return row.kernel_share_of_syscalls or row.wall_share_of_syscalls or 0.0


def _top(table: SyscallTable) -> SyscallRow | None:
    return max(table.rows, key=lambda row: (_of_syscalls(row), row.syscall), default=None)


def _row(table: SyscallTable) -> Evidence:
    top = _top(table)
    if top is None or not _of_syscalls(top):
        return Evidence(table.title, "the calls took no time that could be measured", Verdict.PASS)
    share = f"{top.syscall} is {wording.pct(_of_syscalls(top))} of syscall time"
    if top.wall_share_of_run is None:
        return Evidence(table.title, f"{share}, and its share of the run's wall time is not known", Verdict.WARN)
    waiting = ", waiting by design" if top.waiting else ""
    of_run = f"{wording.pct(top.wall_share_of_run)} of the traced run's time{waiting}"
    return Evidence(table.title, f"{share} and {of_run}", Verdict.PASS)
