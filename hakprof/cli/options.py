"""Options that several commands share, and where their defaults come from."""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hakprof.errors import StoreError
from hakprof.resources import default_project_file

STORE_NAME = ".hakprof"

ProjectOption = Annotated[
    Path | None,
    typer.Option("--project", "-p", help="hakprof.toml to use (default: the nearest one above, else the bundled one)."),
]
StoreOption = Annotated[
    Path | None,
    typer.Option("--store", help="Folder for runs and builds (default: .hakprof beside hakprof.toml, else here)."),
]
RunArgument = Annotated[
    str | None,
    typer.Argument(metavar="RUN", help="A run's folder or name (default: the latest run).", show_default=False),
]


class Format(StrEnum):
    """How a document is written."""

    MARKDOWN = "markdown"
    JSON = "json"


FormatOption = Annotated[Format, typer.Option("--format", "-f", help="Form of the document.")]


def project_file(chosen: Path | None) -> Path:
    """The hakprof.toml in force."""
    from hakprof.project import find_project_file

    return chosen if chosen is not None else find_project_file(Path.cwd())


def store_root(chosen: Path | None, project: Path) -> Path:
    """Where runs are kept: as asked, else beside the user's hakprof.toml, else in the current folder. Absolute."""
    if chosen is not None:
        return chosen.resolve()
    is_bundled = project.resolve() == default_project_file().resolve()
    return (Path.cwd() if is_bundled else project.absolute().parent) / STORE_NAME


def given_options(store: Path | None, project: Path | None) -> tuple[str, ...]:
    """The options that a remedy must repeat so that its command means the same store and project."""
    named = (("--store", store), ("--project", project))
    return tuple(part for option, path in named if path is not None for part in (option, str(path.resolve())))


def _store_option(root: Path) -> str:
    """What leads a command to a store: nothing where it is the one that a command without options takes."""
    default = store_root(None, project_file(None))
    return "" if root.resolve() == default.resolve() else f" --store {shlex.quote(str(root))}"


def find_run(name: str | None, root: Path, *, finished: bool = True) -> Path:
    """A run named by its folder or by its name in the store; the latest (un)finished one where none is named."""
    from hakprof.store import latest_run, list_runs

    if name is None:
        found = latest_run(root, finished=finished)
        if found is None:
            which = "finished" if finished else "unfinished"
            raise StoreError(
                f"no {which} run in {root}",
                remedy=f"make one with `hakprof collect{_store_option(root)}`, or name a run's folder",
            )
        return found
    for candidate in (Path(name), root / "runs" / name):
        if candidate.is_dir():
            return candidate
    known = ", ".join(path.name for path in list_runs(root)[-5:]) or "none"
    raise StoreError(
        f"no run {name!r}: neither a folder nor in {root}",
        remedy=f"runs there: {known} (`hakprof runs{_store_option(root)}`)",
    )
