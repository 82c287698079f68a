"""`hakprof diff`: what moved between two runs, and whether it is noise."""

from typing import Annotated

import typer

from hakprof.cli.options import Format, FormatOption, ProjectOption, StoreOption, find_run, project_file, store_root
from hakprof.cli.output import emit, say


def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="Run to compare with: folder or name.")],
    after: Annotated[str, typer.Argument(metavar="B", help="Run to judge.")],
    format: FormatOption = Format.MARKDOWN,
    gate: Annotated[
        bool, typer.Option("--gate", help="Exit with 1 if throughput or memory is shown to be worse.")
    ] = False,
    project: ProjectOption = None,
    store: StoreOption = None,
) -> None:
    """Compare two runs: throughput with intervals and a verdict, layers, system calls, memory.

    Exits with 3 if no throughput row can be judged.
    """
    from hakprof import pipeline

    root = store_root(store, project_file(project))
    runs = [pipeline.load_run(find_run(name, root)) for name in (before, after)]
    for run in runs:
        for warning in run.warnings:
            say(f"warning: {run.name}: {warning}")
    comparison = pipeline.compare_runs(*runs)
    emit(pipeline.render_diff(runs[0], runs[1], comparison, format=format.value))
    raise typer.Exit(pipeline.diff_status(comparison, gate=gate))
