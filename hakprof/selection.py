"""What a command looks at: the recordings of a run, or one perf.data file, and the rules that name its layers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hakprof.errors import HakprofError, NotMeasuredError

if TYPE_CHECKING:
    from hakprof.project.schema import LayerRule, Project
    from hakprof.store import RunStore


@dataclass(frozen=True, slots=True)
class Recording:
    """One perf.data file, with what was kept of the machine it is from. ``title`` tells it from others of its run.

    ``objects`` are folders laid out `<folder>/<build id>/<file name>`; ``kallsyms`` is the kernel's symbols.
    """

    title: str
    path: Path
    objects: tuple[Path, ...] = ()
    kallsyms: Path | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """Recordings and the rules for them; ``layers`` come before those of the bundled ``catalogues``."""

    name: str
    recordings: tuple[Recording, ...]
    catalogues: tuple[str, ...]
    layers: "tuple[LayerRule, ...]" = field(default=())


def select_files(paths: Sequence[Path], project: "Project", *, rules: "Sequence[LayerRule]" = ()) -> Selection:
    """perf.data files by themselves, under the rules of ``project``, ``rules`` before them."""
    recordings = tuple(Recording(str(path) if len(paths) > 1 else "", path) for path in paths)
    return Selection(", ".join(map(str, paths)), recordings, project.catalogues, (*rules, *project.layers))


def select_run(
    folder: Path,
    *,
    workload: str | None = None,
    allocator: str | None = None,
    rules: "Sequence[LayerRule]" = (),
) -> Selection:
    """The recordings of a run, or of one workload of it; of the allocator under test unless another is named.

    Raises:
        StoreError: the folder is no run.
        HakprofError: the run has no such workload or allocator.
        NotMeasuredError: the run has no recording of what is asked for.
    """
    from hakprof.model.run import CellStatus, Collector
    from hakprof.project import parse_project
    from hakprof.store import open_run

    store = open_run(folder)
    manifest = store.manifest
    cells = [cell for cell in manifest.cells if cell.collector is Collector.PERF_RECORD]
    _refuse_unknown("workload", workload, [cell.workload for cell in cells])
    _refuse_unknown("allocator", allocator, [cell.allocator for cell in cells])
    found = [
        _recording(store, result.cell.id, result.cell.workload, result.files["perf_data"])
        for result in store.results()
        if result.cell.collector is Collector.PERF_RECORD
        and result.status is not CellStatus.TOOL_FAILED
        and "perf_data" in result.files
        and result.cell.allocator == (allocator or manifest.subject)
        and workload in (None, result.cell.workload)
    ]
    if not found:
        raise NotMeasuredError(
            f"{folder}: no recording of {allocator or manifest.subject}{f' on {workload}' if workload else ''}",
            remedy="collect a study with the perf_record collector on a machine with perf (`hakprof doctor`)",
        )
    project = parse_project(manifest.project_file, source=f"{folder.name}/manifest.json: project_file")
    return Selection(folder.resolve().name, tuple(found), project.catalogues, (*rules, *project.layers))


def _recording(store: "RunStore", cell: str, workload: str, name: str) -> Recording:
    kallsyms = store.kallsyms if store.kallsyms.is_file() else None
    # A stored name is data: it must not lead out of the cell's folder.
    return Recording(workload, store.cell_dir(cell) / Path(name).name, (store.object_dir,), kallsyms)


def _refuse_unknown(what: str, name: str | None, known: Sequence[str]) -> None:
    if name is not None and known and name not in known:
        raise HakprofError(
            f"the run recorded no {what} {name!r}", remedy=f"use one of: {', '.join(sorted(set(known)))}"
        )
