"""`hakprof annotate`: the hottest source lines and instructions of a layer."""

from pathlib import Path
from typing import Annotated

import typer

from hakprof.cli.options import (
    MOST_SHOWN,
    AllocatorOption,
    EventOption,
    Format,
    FormatOption,
    ProjectOption,
    RulesOption,
    StoreOption,
    TargetArgument,
    WorkloadOption,
    chosen_selection,
)
from hakprof.cli.output import emit, emit_document


def annotate(
    layer: Annotated[str, typer.Argument(metavar="LAYER", help="A layer, as `hakprof layers` names it.")],
    target: TargetArgument = None,
    function: Annotated[
        str | None, typer.Option("--function", metavar="NAME", help="Only this function (a glob is allowed).")
    ] = None,
    functions: Annotated[
        int, typer.Option("--functions", metavar="N", min=1, max=MOST_SHOWN, help="How many functions to show.")
    ] = 5,
    lines: Annotated[
        int,
        typer.Option(
            "--lines", metavar="N", min=1, max=MOST_SHOWN, help="How many lines and instructions of each function."
        ),
    ] = 10,
    context: Annotated[
        int,
        typer.Option(
            "--context", metavar="N", min=0, max=MOST_SHOWN, help="Instructions shown on either side of a hot one."
        ),
    ] = 3,
    source: Annotated[
        list[Path] | None,
        typer.Option("--source", metavar="DIR", exists=True, file_okay=False, help="Folder that holds the sources."),
    ] = None,
    no_source: Annotated[bool, typer.Option("--no-source", help="Name lines without their text.")] = False,
    event: EventOption = None,
    workload: WorkloadOption = None,
    allocator: AllocatorOption = None,
    rules: RulesOption = None,
    format: FormatOption = Format.MARKDOWN,
    project: ProjectOption = None,
    store: StoreOption = None,
) -> None:
    """Show the hottest source lines and instructions of a layer, inlined functions told apart.

    Reads any perf.data file, or all recordings of a run together. Lines and instructions are shown of the very
    file that was recorded, by its build id, or not at all. Without a recorded build id they are those of the file as
    it is now, which is said; none are shown of a file that was changed after the recording.
    """
    from hakprof.annotate import Wanted, annotate_layer

    selection = chosen_selection(target, project, store, rules=rules, workload=workload, allocator=allocator)
    wanted = Wanted(
        layer,
        event=event,
        function=function,
        functions=functions,
        lines=lines,
        context=context,
        with_source=not no_source,
        source=tuple(source or ()),
    )
    annotation = annotate_layer(selection, wanted)
    if format is Format.JSON:
        from hakprof.report.json_out import to_json

        emit(to_json(annotation))
    else:
        from hakprof.report.render import render_annotation_markdown

        emit_document(render_annotation_markdown(annotation))
