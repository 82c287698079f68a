"""`hakprof collect`: build, run every cell of a study, keep what the tools wrote."""

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from hakprof.cli.options import ProjectOption, StoreOption, given_options, project_file, store_root
from hakprof.cli.output import say

if TYPE_CHECKING:
    from hakprof.store import RunStore


def collect(
    study: Annotated[
        str | None, typer.Argument(help="Study to run (default: the project's).", show_default=False)
    ] = None,
    project: ProjectOption = None,
    store: StoreOption = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer and shorter runs: a look, not a result.")] = False,
    resume: Annotated[
        str | None, typer.Option("--resume", metavar="RUN", help="Finish an interrupted run ('latest' or its name).")
    ] = None,
) -> None:
    """Build, run every cell of a study under its tools, and store the run. Prints the run's folder on stdout."""
    from hakprof.cli.options import find_run
    from hakprof.cli.progress import RichProgress
    from hakprof.collect.run import collect as run_study
    from hakprof.project import load_project

    file = project_file(project)
    root = store_root(store, file)
    unfinished = None if resume is None else find_run(resume, root, finished=False)
    options = given_options(store, project)
    with RichProgress() as progress:
        finished = run_study(
            load_project(file),
            study,
            project_file=file,
            store_root=root,
            quick=quick,
            resume=unfinished,
            progress=progress,
            options=options,
        )
    say(f"report: hakprof report {shlex.quote(str(finished.path))} > REPORT.md")
    for line in went_wrong(finished):
        say(line)
    typer.echo(finished.path)


def went_wrong(run: "RunStore") -> list[str]:
    """How many cells did not end well, in one line; none if all did."""
    from collections import Counter

    from hakprof.model.run import CellStatus

    endings: Counter[CellStatus] = Counter(
        result.status for result in run.results() if result.status is not CellStatus.OK
    )
    if not endings:
        return []
    counts = ", ".join(f"{endings[status]} {status.value}" for status in CellStatus if endings[status])
    again = f"; `{run.resume_command}` tries those again whose tool failed" if endings[CellStatus.TOOL_FAILED] else ""
    return [f"{endings.total()} of {len(run.manifest.cells)} cells went wrong: {counts}{again}"]
