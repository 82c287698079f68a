"""`hakprof collect`: build, run every cell of a study, keep what the tools wrote."""

from typing import Annotated

import typer

from hakprof.cli.options import ProjectOption, StoreOption, project_file, store_root
from hakprof.cli.output import say


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
    unfinished = None if resume is None else find_run(None if resume == "latest" else resume, root, finished=False)
    with RichProgress() as progress:
        finished = run_study(
            load_project(file),
            study,
            project_file=file,
            store_root=root,
            quick=quick,
            resume=unfinished,
            progress=progress,
        )
    say("report: hakprof report > REPORT.md")
    typer.echo(finished.path)
