"""Assembles a :class:`Report` from a run and its analysis: what is said where, and why something is not said."""

from collections.abc import Iterator, Sequence

from hakprof.analysis.bundle import Analysis, analyse
from hakprof.analysis.compare import Comparison
from hakprof.analysis.inputs import RunData
from hakprof.analysis.labels import allocator_title, workload_group
from hakprof.analysis.layers import LayerTable
from hakprof.analysis.throughput import Throughput
from hakprof.analysis.trust import Concern, TrustCheck, Verdict
from hakprof.analysis.trust.endings import ending
from hakprof.model.run import CellStatus, Collector
from hakprof.report import sentences
from hakprof.report.appendix import appendix
from hakprof.report.layer_view import layer_matrix, layer_views
from hakprof.report.memory_view import memory_matrix
from hakprof.report.model import Chart, DiffReport, Ending, Missing, Provenance, Report, ResultGroup
from hakprof.report.syscall_view import syscall_views

MOST_ENDINGS = 6
TAIL_LINES = 12


def build_report(run: RunData, *, charts: Sequence[Chart] = ()) -> Report:
    """Analyses ``run`` and assembles its report. ``charts`` are files beside the document that it links to."""
    return assemble_report(run, analyse(run), charts=charts)


def assemble_report(run: RunData, analysis: Analysis, *, charts: Sequence[Chart] = ()) -> Report:
    return Report(
        provenance=provenance(run),
        trust=analysis.trust,
        trust_sentence=sentences.trust_sentence(analysis.trust),
        doubts=_doubts(analysis.trust),
        verdict=sentences.verdict_sentence(run, analysis),
        bottlenecks=sentences.bottlenecks(analysis.findings),
        no_bottleneck=sentences.no_bottleneck(analysis),
        throughput=analysis.throughput,
        results=_result_groups(run, analysis.throughput),
        key_findings=sentences.key_findings(run, analysis.throughput),
        layers=layer_views(analysis.layers),
        layer_matrix=layer_matrix(analysis.layers),
        layer_notes=tuple(_layer_notes(run, analysis.layers)),
        events=analysis.events,
        instructions=analysis.instructions,
        variants=analysis.variants,
        syscalls=analysis.syscalls,
        syscall_views=syscall_views(analysis.syscalls),
        stages=analysis.stages,
        routes=analysis.routes,
        memory=analysis.memory,
        memory_matrix=memory_matrix(analysis.memory),
        findings=analysis.findings,
        endings=tuple(_endings(run)),
        limits=tuple(_limits(run)),
        missing=dict(_missing(run, analysis)),
        appendix=appendix(run),
        charts=tuple(charts),
    )


def assemble_diff(before: RunData, after: RunData, comparison: Comparison) -> DiffReport:
    return DiffReport(provenance(before), provenance(after), comparison, sentences.diff_verdict(comparison))


def provenance(run: RunData) -> Provenance:
    manifest, host = run.manifest, run.manifest.host
    return Provenance(
        project=manifest.project,
        subject=manifest.subject,
        subject_title=allocator_title(run, manifest.subject),
        study=manifest.study,
        study_title=run.study.title or manifest.study,
        run=run.name,
        created_utc=manifest.created_utc,
        commit=manifest.commit,
        dirty=manifest.dirty,
        quick=manifest.quick,
        finished=manifest.finished_utc is not None,
        hakprof_version=manifest.hakprof_version,
        host=f"{host.cpus} × {host.cpu_model}, kernel {host.kernel}",
        cells_ok=sum(1 for result in run.results if result.status == CellStatus.OK),
        cells_planned=len(manifest.cells),
    )


def _doubts(checks: Sequence[TrustCheck]) -> dict[str, tuple[str, ...]]:
    failed = [check for check in checks if check.verdict == Verdict.FAIL]
    return {str(part): tuple(check.id for check in failed if part in check.concerns) for part in Concern}


def _result_groups(run: RunData, throughput: Throughput) -> tuple[ResultGroup, ...]:
    groups = dict.fromkeys(workload_group(run, workload) for workload in run.workloads)
    found = [
        ResultGroup(group, tuple(row for row in throughput.rows if workload_group(run, row.workload) == group))
        for group in groups
    ]
    return tuple(group for group in found if group.rows)


_NS_NOTES = {
    "task-clock": "ns/op is CPU time of one operation (task-clock under perf stat); times of several threads add up.",
    "wall": "ns/op is wall time of one operation × threads, from the plain runs: CPU time was not counted here.",
}


def _layer_notes(run: RunData, tables: Sequence[LayerTable]) -> Iterator[str]:
    """How the samples were taken, as far as a reader needs it to judge them."""
    events = sorted({facts.time_event for facts in run.profiles if facts.time_event})
    if events:
        yield f"Event: {', '.join(events)}, {run.study.frequency_hz} Hz; inlined functions count as their own layer."
        yield from (note for source, note in _NS_NOTES.items() if any(one.ns_source == source for one in tables))
        yield "The table over all workloads together weighs each by how long it was recorded."
    if run.unmatched_layers:
        yield f"Rules that matched nothing in this run: {', '.join(sorted(run.unmatched_layers))}."


def _endings(run: RunData) -> Iterator[Ending]:
    bad = [result for result in run.results if result.status != CellStatus.OK]
    for result in bad[:MOST_ENDINGS]:
        tail = "\n".join(result.output_tail.splitlines()[-TAIL_LINES:])
        yield Ending(result.cell.id, ending(result), tail)


def _limits(run: RunData) -> Iterator[Missing]:
    """What could not be measured: said once, with the remedy."""
    for one in run.manifest.skipped:
        yield Missing(one.what, one.reason, one.remedy)
    for capability in run.manifest.capabilities:
        if not capability.available:
            replaced = f"; replaced by {capability.replaced_by}" if capability.replaced_by else ""
            yield Missing(capability.name, f"{capability.detail}{replaced}", capability.remedy)
    for warning in run.warnings:
        yield Missing("what was read", warning)


def _missing(run: RunData, analysis: Analysis) -> Iterator[tuple[str, Missing]]:
    """Sections without data, each with the reason that applies."""
    if not analysis.throughput.rows:
        yield "results", _why(run, Collector.THROUGHPUT, "throughput")
    if not analysis.layers:
        yield "layers", _why(run, Collector.PERF_RECORD, "samples")
    if not analysis.syscalls:
        yield "syscalls", _why(run, Collector.STRACE, "system calls")
    if not analysis.stages:
        yield "stages", _why(run, Collector.COUNTERS, "stage counters")
    if not analysis.routes:
        yield "routes", _why(run, Collector.COUNTERS, "route counters")
    if not analysis.memory.rows:
        yield "memory", _why(run, Collector.THROUGHPUT, "peak memory")


def _why(run: RunData, collector: Collector, what: str) -> Missing:
    planned = [cell for cell in run.manifest.cells if cell.collector == collector]
    results = run.results_of(collector)
    if not planned:
        skipped = next((one for one in run.manifest.skipped if str(collector) in one.what), None)
        if skipped is not None:
            return Missing(what, skipped.reason, skipped.remedy)
        return Missing(what, f"the study has no {collector} cells", f'add "{collector}" to its collectors')
    if not results:
        return Missing(what, f"none of the {len(planned)} {collector} cells was run", "hakprof collect --resume latest")
    well = sum(1 for result in results if result.status == CellStatus.OK)
    return Missing(what, f"{well} of {len(results)} {collector} cells ended well, and none of them holds any")
