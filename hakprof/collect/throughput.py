"""Throughput (C6, C7): the program by itself. It times its own measured region and says so in its benchmark line."""

from hakprof.collect.cells import CellRun
from hakprof.model.run import CellResult


def run_throughput(run: CellRun) -> CellResult:
    """Run the program once, with nothing in front of it but the pinning that the study may ask for."""
    command = run.target.pinned
    return run.result(run.execute(command, environment=run.target.environment), command)
