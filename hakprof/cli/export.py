"""`hakprof export`: a run's tables for other tools."""

from pathlib import Path
from typing import Annotated

import typer

from hakprof.cli.options import ProjectOption, RunArgument, StoreOption, find_run, project_file, store_root
from hakprof.cli.output import emit, say


def export(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the CSV files.")],
    run: RunArgument = None,
    project: ProjectOption = None,
    store: StoreOption = None,
) -> None:
    """Write the tables of a run as CSV: single runs, results, layers, system calls, memory, counters."""
    from hakprof import pipeline
    from hakprof.export import write_tables

    data = pipeline.load_run(find_run(run, store_root(store, project_file(project))))
    for warning in data.warnings:
        say(f"warning: {warning}")
    emit("\n".join(str(path) for path in write_tables(data, output)))
