"""`hakprof diff`: what moved between two runs, and whether it is noise."""

from typing import Annotated

import typer

from hakprof.cli.options import Format, FormatOption, ProjectOption, StoreOption, find_run, project_file, store_root
from hakprof.cli.output import emit


def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="Run to compare with: folder or name.")],
    after: Annotated[str, typer.Argument(metavar="B", help="Run to judge.")],
    format: FormatOption = Format.MARKDOWN,
    project: ProjectOption = None,
    store: StoreOption = None,
) -> None:
    """Compare two runs: throughput with intervals and a verdict, layers, system calls, memory."""
    from hakprof import pipeline

    root = store_root(store, project_file(project))
    runs = [pipeline.load_run(find_run(name, root)) for name in (before, after)]
    emit(pipeline.render_diff(runs[0], runs[1], format=format.value))
