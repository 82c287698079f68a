"""`hakprof runs`: what the store holds."""

import typer

from hakprof.cli.options import ProjectOption, StoreOption, project_file, store_root


def runs(project: ProjectOption = None, store: StoreOption = None) -> None:
    """List the stored runs, oldest first: name, cells done of planned, commit. One that is broken is said to be so."""
    from hakprof.errors import StoreError
    from hakprof.store import list_runs, open_run

    for path in list_runs(store_root(store, project_file(project))):
        try:
            run = open_run(path)
        except StoreError as error:
            typer.echo(f"{path.name}  unreadable: {error.message}")
            continue
        done = len(run.results())
        state = "finished" if run.manifest.finished_utc else "unfinished"
        typer.echo(
            f"{path.name}  {state}  {done}/{len(run.manifest.cells)} cells  commit {run.manifest.commit or 'none'}"
        )
