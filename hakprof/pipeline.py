"""The stages in their order: a stored run → frames → analysis → report. No analysis happens here."""

from collections.abc import Sequence
from pathlib import Path

from hakprof.analysis.bundle import analyse
from hakprof.analysis.compare import Comparison, compare_runs
from hakprof.analysis.inputs import RunData
from hakprof.documents import write_document
from hakprof.errors import EXIT_NOT_MEASURED, EXIT_OK, EXIT_WORSE, StoreError
from hakprof.parse.cells import read_cells
from hakprof.project import parse_project
from hakprof.recordings import read_recordings
from hakprof.report.build import assemble_diff, assemble_report, build_report
from hakprof.report.figures import figures
from hakprof.report.json_out import to_json
from hakprof.report.model import Chart, Report
from hakprof.report.render import render_diff_markdown, render_markdown
from hakprof.store import open_run

__all__ = [
    "build_report",
    "compare_runs",
    "diff_status",
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
    regions = {name for name, workload in project.workloads.items() if workload.region}
    texts = read_cells(cells, must_print=regions)
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
    analysis = analyse(run)

    def render(charts: Sequence[Chart]) -> tuple[str, str]:
        report = assemble_report(run, analysis, charts=charts)
        return render_markdown(report), to_json(report)

    return write_document(folder, figures(run, analysis), render, document=document)


def diff_status(comparison: Comparison, *, gate: bool) -> int:
    """Exit status of a comparison: nothing could be judged; shown to be worse, where that is asked; fine."""
    if not comparison.is_judged:
        return EXIT_NOT_MEASURED
    return EXIT_WORSE if gate and comparison.is_worse else EXIT_OK


def render_diff(
    before: RunData, after: RunData, comparison: Comparison | None = None, *, format: str = "markdown"
) -> str:
    """The comparison of two runs, made here unless it is given, as ``markdown`` or ``json`` text."""
    diff = assemble_diff(before, after, comparison if comparison is not None else compare_runs(before, after))
    return to_json(diff) if format == "json" else render_diff_markdown(diff)


def _as_text(report: Report, format: str) -> str:
    return to_json(report) if format == "json" else render_markdown(report)
