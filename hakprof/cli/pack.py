"""`hakprof pack`: a copy of a run that is small enough to send."""

from pathlib import Path
from typing import Annotated

import typer

from hakprof.cli.options import ProjectOption, StoreOption, find_run, project_file, store_root


def pack(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder or name.")],
    target: Annotated[Path, typer.Argument(metavar="DIR", help="New folder to write.")],
    project: ProjectOption = None,
    store: StoreOption = None,
) -> None:
    """Copy a run without what no report of it needs; `hakprof report DIR` gives the same report anywhere."""
    from hakprof.pack import pack_run

    typer.echo(pack_run(find_run(run, store_root(store, project_file(project))), target))
