"""`hakprof layers`: the layers of a run's recordings or of any perf.data file."""

from typing import TYPE_CHECKING, Annotated

import typer

from hakprof.cli.options import (
    MOST_SHOWN,
    AllocatorOption,
    EventOption,
    ProjectOption,
    RulesOption,
    StoreOption,
    TableFormat,
    TableFormatOption,
    TargetArgument,
    WorkloadOption,
    chosen_recordings,
    chosen_selection,
)
from hakprof.cli.output import emit, emit_csv, emit_document, say

if TYPE_CHECKING:
    from hakprof.report.flat_table import FlatTable


def layers(
    target: TargetArgument = None,
    event: EventOption = None,
    comm: Annotated[str | None, typer.Option("--comm", metavar="NAME", help="Only threads of this name.")] = None,
    dso: Annotated[
        str | None, typer.Option("--dso", metavar="NAME", help="Only samples in this object, named as perf names it.")
    ] = None,
    workload: WorkloadOption = None,
    allocator: AllocatorOption = None,
    functions: Annotated[
        int,
        typer.Option(
            "--functions", metavar="N", min=0, max=MOST_SHOWN, help="How many functions to name of each layer."
        ),
    ] = 3,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="KEYS",
            help="Instead of layers a flat table by some of event,comm,dso,symbol: perf report's samples and periods.",
        ),
    ] = None,
    rules: RulesOption = None,
    format: TableFormatOption = TableFormat.MARKDOWN,
    project: ProjectOption = None,
    store: StoreOption = None,
) -> None:
    """List the layers of a recording: shares, their functions, what caused the kernel's part, what has no layer.

    Reads any perf.data file, or the recordings of a run.
    """
    if by is not None:
        from hakprof.profiles import flat_profile
        from hakprof.report.flat_table import flat_table, parse_keys

        keys = parse_keys(by)
        tables = []
        for one in chosen_recordings(target, project, store, workload=workload, allocator=allocator):
            profile = flat_profile(one.path, objects=one.objects, kallsyms=one.kallsyms)
            tables.append(flat_table(profile, keys, title=one.title or one.path.name, event=event, comm=comm, dso=dso))
        _write_flat(tables, format)
        return
    from hakprof.analysis.listing import Narrowing
    from hakprof.inspection import report_layers

    selection = chosen_selection(target, project, store, rules=rules, workload=workload, allocator=allocator)
    report = report_layers(selection, Narrowing(event, comm, dso), functions=functions)
    if format is TableFormat.JSON:
        from hakprof.report.json_out import to_json

        emit(to_json(report))
    elif format is TableFormat.CSV:
        from hakprof.report.layer_report import CSV_COLUMNS, layer_rows

        emit_csv(CSV_COLUMNS, layer_rows(report))
    else:
        from hakprof.report.render import render_layers_markdown

        emit_document(render_layers_markdown(report))


def _write_flat(tables: "list[FlatTable]", format: TableFormat) -> None:
    for table in tables:
        for warning in table.warnings:
            say(f"warning: {table.title}: {warning}")
    columns = ("recording", *tables[0].keys, "samples", "period")
    rows = [(table.title, *row) for table in tables for row in table.rows]
    if format is TableFormat.CSV:
        emit_csv(columns, rows)
    elif format is TableFormat.JSON:
        import json

        emit(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], ensure_ascii=False, indent=1))
    else:
        emit("\n\n".join(table.text() for table in tables))
