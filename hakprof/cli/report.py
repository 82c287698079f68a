"""`hakprof report`: the bottleneck report of a stored run."""

from pathlib import Path
from typing import Annotated

import typer

from hakprof.cli.options import Format, FormatOption, ProjectOption, RunArgument, StoreOption, find_run
from hakprof.cli.options import project_file as find_project
from hakprof.cli.options import store_root as find_store
from hakprof.cli.output import emit, say
from hakprof.errors import HakprofError


def report(
    run: RunArgument = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Write report.md, report.json and the charts there."),
    ] = None,
    document: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With -o: write the Markdown here instead of DIR/report.md.")
    ] = None,
    format: FormatOption = Format.MARKDOWN,
    project: ProjectOption = None,
    store: StoreOption = None,
) -> None:
    """Write the report of a run to stdout, or with its charts into a folder."""
    from hakprof import pipeline

    if output is not None and format is Format.JSON:
        raise HakprofError("-o and --format json together", remedy="leave --format out: -o writes report.json too")
    if document is not None and output is None:
        raise HakprofError("--document without -o", remedy="name the folder of the charts with -o")
    folder = find_run(run, find_store(store, find_project(project)))
    data = pipeline.load_run(folder)
    for warning in data.warnings:
        say(f"warning: {warning}")
    if output is not None:
        emit("\n".join(str(path) for path in pipeline.write_report(data, output, document=document)))
    else:
        emit(pipeline.render_report(data, format=format.value))
    if data.is_damaged:
        raise HakprofError(
            f"{folder}: parts of the run could not be read whole (see the warnings above); the report is of the rest",
            remedy="do what the warnings say, or collect again",
        )
