"""`hakprof report`: the bottleneck report of a stored run, or what perf.data and strace files tell by themselves."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hakprof.cli.options import (
    Format,
    FormatOption,
    ProjectOption,
    RulesOption,
    RunArgument,
    StoreOption,
    chosen_files,
    find_run,
)
from hakprof.cli.options import project_file as find_project
from hakprof.cli.options import store_root as find_store
from hakprof.cli.output import emit, say
from hakprof.errors import HakprofError

if TYPE_CHECKING:
    from hakprof.selection import Selection


def report(
    run: RunArgument = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Write report.md, report.json and the charts there."),
    ] = None,
    document: Annotated[
        Path | None, typer.Option(metavar="FILE", help="With -o: write the Markdown here instead of DIR/report.md.")
    ] = None,
    perf_data: Annotated[
        list[Path] | None,
        typer.Option("--perf-data", metavar="FILE", help="Instead of a run: a perf.data file (may be given again)."),
    ] = None,
    strace: Annotated[
        Path | None,
        typer.Option("--strace", metavar="FILE", help="Instead of a run: output of strace, with or without -c."),
    ] = None,
    strace_wall: Annotated[
        Path | None, typer.Option("--strace-wall", metavar="FILE", help="The same: a table of strace -c -w.")
    ] = None,
    rules: RulesOption = None,
    format: FormatOption = Format.MARKDOWN,
    project: ProjectOption = None,
    store: StoreOption = None,
) -> None:
    """Write the report of a run to stdout, or with its charts into a folder.

    With --perf-data, --strace or both: of those files, wherever they are from. What only a run can tell is then left
    out, and the report says so.
    """
    place = _Place(output, document, format)
    if perf_data or strace is not None or strace_wall is not None:
        if run is not None:
            raise HakprofError(f"run {run} together with files", remedy="name a run, or files, not both")
        _report_files(chosen_files(perf_data or [], project, rules=rules), place, strace, strace_wall)
        return
    if rules is not None:
        raise HakprofError(
            "--rules for a run", remedy="a run keeps its own rules; `hakprof layers --rules` looks with others"
        )
    _report_run(find_run(run, find_store(store, find_project(project))), place)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the report goes: into a folder, its Markdown perhaps elsewhere, or to stdout in some format."""

    folder: Path | None
    document: Path | None
    format: Format

    def __post_init__(self) -> None:
        if self.folder is not None and self.format is Format.JSON:
            raise HakprofError("-o and --format json together", remedy="leave --format out: -o writes report.json too")
        if self.document is not None and self.folder is None:
            raise HakprofError("--document without -o", remedy="name the folder of the charts with -o")


def _report_run(folder: Path, place: _Place) -> None:
    from hakprof import pipeline

    data = pipeline.load_run(folder)
    for warning in data.warnings:
        say(f"warning: {warning}")
    if place.folder is not None:
        emit("\n".join(map(str, pipeline.write_report(data, place.folder, document=place.document))))
    else:
        emit(pipeline.render_report(data, format=place.format.value))
    if data.is_damaged:
        raise HakprofError(
            f"{folder}: parts of the run could not be read whole (see the warnings above); the report is of the rest",
            remedy="do what the warnings say, or collect again",
        )


def _report_files(selection: "Selection", place: _Place, strace: Path | None, strace_wall: Path | None) -> None:
    from hakprof import file_report

    files = file_report.read_files(selection, strace=strace, strace_wall=strace_wall)
    if place.folder is not None:
        emit("\n".join(map(str, file_report.write_files(files, place.folder, document=place.document))))
    else:
        emit(file_report.render_files(files, format=place.format.value))
