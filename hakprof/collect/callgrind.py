"""Instructions without a PMU: `valgrind --tool=callgrind` on the workload's short arguments, the same on every run."""

from hakprof.collect.cells import CellRun
from hakprof.model.run import CellResult, CellStatus

FILE = "callgrind.out"
_SLOWDOWN = 10.0


def run_callgrind(run: CellRun) -> CellResult:
    """Count the instructions of the whole program. valgrind passes LD_PRELOAD on, so `env` stands in front of it."""
    settings = tuple(f"{name}={value}" for name, value in sorted(run.target.environment.items()))
    options = ("-q", "--tool=callgrind", f"--callgrind-out-file={run.folder / FILE}")
    command = ("env", *settings, "valgrind", *options, "--", *run.target.program)
    outcome = run.execute(command, slowdown=_SLOWDOWN)
    status = outcome.status
    if status in (CellStatus.OK, CellStatus.FAILED) and not (run.folder / FILE).is_file():
        status = CellStatus.TOOL_FAILED
    return run.result(outcome, command, status=status, files={"callgrind": FILE})
