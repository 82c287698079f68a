"""The stages in their order: a stored run → frames → analysis → report. No analysis happens here."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hakprof.analysis.bundle import analyse
from hakprof.analysis.compare import compare_runs
from hakprof.analysis.inputs import RunData
from hakprof.errors import StoreError
from hakprof.parse.cells import read_cells
from hakprof.project import parse_project
from hakprof.recordings import read_recordings
from hakprof.report.build import assemble_diff, assemble_report, build_report
from hakprof.report.figures import figures
from hakprof.report.json_out import to_json
from hakprof.report.model import Report
from hakprof.report.render import render_diff_markdown, render_markdown
from hakprof.store import open_run

__all__ = [
    "build_report",
    "compare_runs",
    "load_run",
    "render_diff",
    "render_report",
    "write_report",
]


def load_run(path: Path, *, use_cache: bool = True) -> RunData:
    """A run folder (or a recorded case of traces/), parsed and attributed.

    Raises:
        StoreError: the folder is no run, or its manifest cannot be read.
    """
    store = open_run(path)
    manifest = store.manifest
    project = parse_project(manifest.project_file, source=f"{path.name}/manifest.json: project_file")
    if manifest.study not in project.studies:
        raise StoreError(
            f"{path}: its project file has no study {manifest.study!r}", remedy="the manifest was edited; collect again"
        )
    results = tuple(store.results())
    cells = [(result, store.cell_dir(result.cell.id)) for result in results]
    texts = read_cells(cells)
    recordings = read_recordings(
        cells,
        project=project,
        objects=store.object_dir,
        kallsyms=store.kallsyms if store.kallsyms.is_file() else None,
        cache=path / "tables" if use_cache else None,
    )
    return RunData(
        name=path.resolve().name,
        manifest=manifest,
        project=project,
        results=results,
        bench=texts.bench,
        counters=texts.counters,
        syscalls=texts.syscalls,
        allocator_counters=texts.allocator_counters,
        instructions=texts.instructions,
        samples=recordings.samples,
        stacks=recordings.stacks,
        lines=recordings.lines,
        routes=texts.routes,
        route_samples=texts.route_samples,
        profiles=recordings.profiles,
        layer_titles=recordings.layer_titles,
        unmatched_layers=recordings.unmatched_layers,
        warnings=(*store.warnings, *texts.warnings, *recordings.warnings),
    )


def render_report(run: RunData, *, format: str = "markdown") -> str:
    """The report of a run as ``markdown`` or ``json`` text."""
    return _as_text(build_report(run), format)


def write_report(run: RunData, folder: Path, *, document: Path | None = None) -> Sequence[Path]:
    """Writes report.md, report.json and the charts into ``folder``; the paths written, the document first.

    ``document`` names another place for the Markdown; its links to the charts fit that place.

    Raises:
        StoreError: the folder or the document cannot be written.
    """
    document = document if document is not None else folder / "report.md"
    analysis = analyse(run)
    drawn = list(figures(run, analysis))
    charts = [replace(chart, file=_link(document, folder / chart.file)) for chart, _ in drawn]
    report = assemble_report(run, analysis, charts=charts)
    texts = {document: render_markdown(report), folder / "report.json": to_json(report) + "\n"}
    texts |= {folder / chart.file: svg for chart, svg in drawn}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"{error.filename or folder}: cannot be written: {error.strerror}",
            remedy="name a writable folder with -o, or make room",
        ) from error
    return list(texts)


def _link(document: Path, target: Path) -> str:
    """The path of ``target`` as seen from ``document``, with forward slashes."""
    return Path(os.path.relpath(target, document.parent)).as_posix()


def render_diff(before: RunData, after: RunData, *, format: str = "markdown") -> str:
    """The comparison of two runs as ``markdown`` or ``json`` text."""
    diff = assemble_diff(before, after, compare_runs(before, after))
    return to_json(diff) if format == "json" else render_diff_markdown(diff)


def _as_text(report: Report, format: str) -> str:
    return to_json(report) if format == "json" else render_markdown(report)
