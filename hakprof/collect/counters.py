"""The instrumented build (C5): its counters as one JSON object at exit, and in a second, short run its route trace."""

from hakprof.collect.cells import CellRun
from hakprof.collect.target import Target
from hakprof.model.run import CellResult, CellStatus
from hakprof.project.schema import Build

COUNTERS_FILE = "counters.json"
TRACE_FILE = "routes.txt"
_PLACEHOLDER = "{file}"
_SLOWDOWN = 5.0


def run_counters(run: CellRun, build: Build, *, short: Target | None) -> CellResult:
    """Run the program with its counters on; then ``short`` with its trace on, which would slow the first one down.

    Without ``short`` nothing is traced: the calls are another allocator's on purpose.
    """
    extra = {
        name: value.replace(_PLACEHOLDER, str(run.folder / COUNTERS_FILE))
        for name, value in build.counters_environment.items()
    }
    command = run.target.pinned
    outcome = run.execute(command, environment=run.target.environment | extra, slowdown=_SLOWDOWN)
    note = ""
    if short is not None and build.trace_environment and outcome.status is CellStatus.OK:
        note = _trace(run, build, short)
    return run.result(
        outcome,
        command,
        files={"counters": COUNTERS_FILE, "route_trace": TRACE_FILE},
        environment={
            name: value.replace(_PLACEHOLDER, COUNTERS_FILE) for name, value in build.counters_environment.items()
        },
        note=note,
    )


def _trace(run: CellRun, build: Build, short: Target) -> str:
    extra = {
        name: value.replace(_PLACEHOLDER, str(run.folder / TRACE_FILE))
        for name, value in build.trace_environment.items()
    }
    traced = run.execute(short.pinned, environment=short.environment | extra, suffix="_trace", slowdown=_SLOWDOWN)
    return "" if traced.status is CellStatus.OK else f"the traced run ended with {traced.status.value}"
