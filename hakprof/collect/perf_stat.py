"""Counters of the machine and the kernel (C1): `perf stat -j`, hardware events where there are any, software always."""

import json
import signal
from collections.abc import Sequence
from pathlib import Path

from hakprof.collect.cells import CellRun, region
from hakprof.collect.execute import Outcome
from hakprof.model.run import CellResult, CellStatus

FILE = "perf_stat.json"
SOFTWARE_EVENTS = (
    "task-clock",
    "context-switches",
    "cpu-migrations",
    "page-faults",
    "minor-faults",
    "major-faults",
)


def run_perf_stat(run: CellRun, hardware_events: Sequence[str]) -> CellResult:
    """Run the program under perf stat, its measured region alone where the program marks it."""
    events = ",".join((*hardware_events, *SOFTWARE_EVENTS))
    with region(run.target) as marks:
        program = run.target.behind_env(marks.environment)
        command = ("perf", "stat", "-j", "-o", str(run.folder / FILE), *marks.options, "-e", events, "--", *program)
        outcome = run.execute(command)
    died_of = _signal_told(run.stderr_text())
    return run.result(
        outcome,
        command,
        status=_status(outcome, run.folder / FILE, died_of),
        signal=died_of,
        files={"perf_stat": FILE},
    )


def page_faults(path: Path) -> int | None:
    """The page faults that a stored perf stat file counted; None where it has no such figure."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    for line in lines:
        if not line.startswith("{"):
            continue
        try:
            row = json.loads(line)
            if row.get("event") == "page-faults":
                return int(float(row["counter-value"]))
        except (ValueError, OverflowError, KeyError, TypeError, AttributeError, RecursionError):
            continue
    return None


def _status(outcome: Outcome, file: Path, died_of: str | None) -> CellStatus:
    if outcome.status in (CellStatus.OK, CellStatus.FAILED) and died_of is not None:
        return CellStatus.CRASHED
    has_output = file.is_file() and file.stat().st_size > 0
    return outcome.status if has_output or outcome.status is CellStatus.TIMEOUT else CellStatus.TOOL_FAILED


def _signal_told(stderr: str) -> str | None:
    """The signal that ended the program: perf stat gives status 0 then, and tells by psignal(3) ("env: Aborted")."""
    lines = stderr.splitlines()
    names = {signal.strsignal(number): number.name for number in signal.Signals}
    for line in reversed(lines):
        if line.startswith("env: "):
            return names.get(line.removeprefix("env: ").strip())
    return None
