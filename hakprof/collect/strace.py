"""Syscalls (C3): `strace -f -c` twice, once by CPU time in the kernel and once by wall time (-w)."""

from pathlib import Path

from hakprof.collect.cells import CellRun
from hakprof.collect.execute import Outcome
from hakprof.model.run import CellResult, CellStatus

SYSTEM_FILE = "strace_system.txt"
WALL_FILE = "strace_wall.txt"
_SLOWDOWN = 10.0


def run_strace(run: CellRun) -> CellResult:
    """Trace the program twice. The first run's output is the cell's; the second is left out if the first went wrong."""
    command = _command(run, SYSTEM_FILE)
    first = run.execute(command, slowdown=_SLOWDOWN)
    status = _status(first, run.folder / SYSTEM_FILE)
    walls = {}
    note = ""
    if status is CellStatus.OK:
        second = run.execute(_command(run, WALL_FILE, "-w"), suffix="_wall", slowdown=_SLOWDOWN)
        walls = {"strace_wall": second.wall_ns}
        if second.status is not CellStatus.OK:
            status = _status(second, run.folder / WALL_FILE)
            note = "the run by wall time went wrong"
    return run.result(
        first,
        command,
        status=status,
        files={"strace_system": SYSTEM_FILE, "strace_wall": WALL_FILE},
        role_wall_ns=walls,
        note=note,
    )


def _command(run: CellRun, file: str, *options: str) -> tuple[str, ...]:
    """-E sets the program's environment alone, so that LD_PRELOAD does not reach strace."""
    settings = tuple(
        part for name, value in sorted(run.target.environment.items()) for part in ("-E", f"{name}={value}")
    )
    return ("strace", "-f", "-c", *options, "-o", str(run.folder / file), *settings, "--", *run.target.pinned)


def _status(outcome: Outcome, file: Path) -> CellStatus:
    """strace ends as the program did; without a table it was strace itself that failed."""
    has_table = file.is_file() and file.stat().st_size > 0
    return outcome.status if has_table or outcome.status is not CellStatus.FAILED else CellStatus.TOOL_FAILED
