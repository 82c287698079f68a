"""Options that several commands share, and where their defaults come from."""

import shlex
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hakprof.errors import HakprofError, StoreError
from hakprof.resources import default_project_file

if TYPE_CHECKING:
    from hakprof.selection import Recording, Selection

STORE_NAME = ".hakprof"
MOST_SHOWN = 1_000_000  # of anything that is counted by an option: more than any document can hold

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


class TableFormat(StrEnum):
    """How a document that is mostly one table is written."""

    MARKDOWN = "markdown"
    JSON = "json"
    CSV = "csv"


FormatOption = Annotated[Format, typer.Option("--format", "-f", help="Form of the document.")]
TableFormatOption = Annotated[TableFormat, typer.Option("--format", "-f", help="Form of the document.")]
TargetArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[RUN|FILE]",
        help="A perf.data file or directory, or a run's folder or name (default: the latest run).",
        show_default=False,
    ),
]
EventOption = Annotated[
    str | None, typer.Option("--event", metavar="NAME", help="Event to show (default: the one that stands for time).")
]
WorkloadOption = Annotated[
    str | None, typer.Option("--workload", metavar="NAME", help="Of a run: only this workload's recordings.")
]
AllocatorOption = Annotated[
    str | None,
    typer.Option("--allocator", metavar="NAME", help="Of a run: this peer's recordings instead of the subject's."),
]
RulesOption = Annotated[
    Path | None,
    typer.Option("--rules", metavar="FILE", help="TOML file with [[layers]] that come before all others."),
]


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
    """A run named by its folder or by its name in the store; without a name, or for "latest", the latest one."""
    from hakprof.store import latest_run, list_runs

    if name is None or name == "latest":
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


def chosen_selection(
    target: str | None,
    project: Path | None,
    store: Path | None,
    *,
    rules: Path | None,
    workload: str | None,
    allocator: str | None,
) -> "Selection":
    """The recordings that a command looks at, and the rules for their layers."""
    from hakprof.project import load_layer_rules
    from hakprof.selection import select_run

    file = _perf_data_file(target, workload, allocator)
    if file is not None:
        return chosen_files([file], project, rules=rules)
    extra = load_layer_rules(rules) if rules is not None else ()
    folder = find_run(target, store_root(store, project_file(project)))
    return select_run(folder, workload=workload, allocator=allocator, rules=extra)


def chosen_files(paths: Sequence[Path], project: Path | None, *, rules: Path | None) -> "Selection":
    """perf.data files without a run, and the rules for their layers: ``rules``, the project's, the catalogues'."""
    from hakprof.project import load_layer_rules, load_project
    from hakprof.selection import select_files

    extra = load_layer_rules(rules) if rules is not None else ()
    return select_files(paths, load_project(project_file(project)), rules=extra)


def chosen_recordings(
    target: str | None, project: Path | None, store: Path | None, *, workload: str | None, allocator: str | None
) -> "tuple[Recording, ...]":
    """The same without the rules: a perf.data file by itself needs no project."""
    from hakprof.selection import Recording

    file = _perf_data_file(target, workload, allocator)
    if file is not None:
        return (Recording("", file),)
    return chosen_selection(target, project, store, rules=None, workload=workload, allocator=allocator).recordings


def _perf_data_file(target: str | None, workload: str | None, allocator: str | None) -> Path | None:
    """The file that a command looks at; None for a run. HakprofError for a file with an option that only runs have."""
    from hakprof.parse.perf_data.parts import is_directory_recording

    if target is None or not (Path(target).is_file() or is_directory_recording(Path(target))):
        return None
    for option, value in (("--workload", workload), ("--allocator", allocator)):
        if value is not None:
            raise HakprofError(f"{option} {value} with a perf.data file", remedy=f"leave {option} out, or name a run")
    return Path(target)
