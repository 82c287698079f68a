"""The figures beside a report: which of its numbers become which chart."""

from collections.abc import Iterator

import polars as pl

from hakprof.analysis.bundle import Analysis
from hakprof.analysis.inputs import RunData
from hakprof.analysis.labels import allocator_title, workload_title
from hakprof.analysis.layers import ALL, LayerTable
from hakprof.analysis.listing import Listing
from hakprof.analysis.statistics import LEAST_FOR_INTERVAL
from hakprof.analysis.throughput import Throughput
from hakprof.analysis.wording import configuration
from hakprof.report.charts import LayerBar, ThroughputBar, ThroughputGroup, layer_chart, throughput_chart
from hakprof.report.flamegraph import flame_graph
from hakprof.report.model import Chart


def figures(run: RunData, analysis: Analysis) -> Iterator[tuple[Chart, str]]:
    """Each chart that ``run`` has data for, with its SVG text."""
    name = allocator_title(run, run.subject)
    if analysis.throughput.rows:
        title = "Throughput by workload and allocator"
        groups = [_throughput_group(run, workload, analysis.throughput) for workload in run.workloads]
        has_interval = min(row.runs.n for row in analysis.throughput.rows) >= LEAST_FOR_INTERVAL
        subtitle = "median, 95 % interval" if has_interval else "median; minimum and maximum of fewer than six runs"
        svg = throughput_chart([group for group in groups if group.bars], title=title, subtitle=subtitle)
        yield Chart("throughput", title, "throughput.svg"), svg
    overall = next((t for t in analysis.layers if t.workload == ALL), analysis.layers[0] if analysis.layers else None)
    if overall is not None:
        title = f"Layers of {name}, {overall.title}"
        yield (
            Chart("layers", title, "layers.svg"),
            layer_chart(_layer_bars(overall), title=title, subtitle=_samples(overall)),
        )
    for table in analysis.layers:
        if table.workload != ALL:
            yield from _flame(run, table)


def recording_figures(name: str, listing: Listing, stacks: pl.DataFrame, *, suffix: str) -> Iterator[tuple[Chart, str]]:
    """The charts of one recording without a run: its layers, and its call chains (Attribution.stacks) as flames."""
    bars = [
        LayerBar(
            row.layer,
            (row.share.count - row.kernel_samples) / listing.samples,
            row.kernel_samples / listing.samples,
            row.share.low,
            row.share.high,
        )
        for row in listing.layers
        if row.share.count
    ]
    title = f"Layers of {name}"
    subtitle = f"{listing.samples:,} samples of {listing.event}, 95 % intervals"
    yield Chart("layers", title, f"layers{suffix}.svg"), layer_chart(bars, title=title, subtitle=subtitle)
    title = f"Flame graph: {name}"
    yield Chart("flame", title, f"flame{suffix}.svg"), flame_graph(stacks, event=listing.event, title=title)


def _throughput_group(run: RunData, workload: str, throughput: Throughput) -> ThroughputGroup:
    bars = [
        ThroughputBar(
            configuration(row.allocator_title, row.variant_title),
            row.ops_per_second.value,
            row.ops_per_second.low,
            row.ops_per_second.high,
            row.is_subject,
        )
        for row in throughput.rows
        if row.workload == workload
    ]
    return ThroughputGroup(workload_title(run, workload), tuple(bars), throughput.ceilings.get(workload))


def _layer_bars(table: LayerTable) -> tuple[LayerBar, ...]:
    """One bar per layer; a layer with user and kernel samples is one bar of two parts."""
    bars = []
    for layer in dict.fromkeys(row.layer for row in table.rows):
        rows = [row for row in table.rows if row.layer == layer]
        together = table.share_of(layer)
        kernel = sum(row.share.value for row in rows if row.kernel)
        user = sum(row.share.value for row in rows if not row.kernel)
        bars.append(LayerBar(layer, user, kernel, together.low, together.high))
    return tuple(bars)


def _flame(run: RunData, table: LayerTable) -> Iterator[tuple[Chart, str]]:
    cells = {facts.cell: facts.time_event for facts in run.profiles if facts.time_event}
    own = run.stacks.filter(
        (pl.col("workload") == table.workload)
        & (pl.col("allocator") == table.allocator)
        & (pl.col("variant") == table.variant)
        & pl.col("cell").is_in(list(cells))
    )
    if not own.height:
        return
    title = f"Flame graph: {table.title}"
    svg = flame_graph(own, event=cells[own["cell"][0]] or "", title=title)
    yield Chart("flame", title, f"flame-{table.workload}.svg"), svg


def _samples(table: LayerTable) -> str:
    return f"{table.samples:,} samples, 95 % intervals"
