"""The allocator's own large layers, where no more specific rule has taken them.

Work that an allocator must do never vanishes, so these rank behind everything that could, and are never severe: low
where no peer is shown to be faster, medium where one is.
"""

from hakprof.analysis import wording
from hakprof.analysis.findings import classification, front_cache, peer_gap
from hakprof.analysis.findings.common import at_most, layer_proof, titles, tool_command
from hakprof.analysis.findings.model import (
    HOT_LAYER,
    Context,
    Crossing,
    Finding,
    Hypothesis,
    Severity,
    Status,
    allocator_layers,
    crossings,
    gain_of,
)
from hakprof.analysis.layers import layer_locations
from hakprof.analysis.trust import Concern

PREFIX = "hot-layer-"
_TAKEN = frozenset((*classification.LAYERS, *front_cache.LAYERS))


def find_hot_layers(context: Context) -> tuple[Finding, ...]:
    """A finding for each layer of the allocator that alone crosses the line on some workload."""
    names = {layer for table in context.tables for layer in allocator_layers(table)} - _TAKEN
    found = [(layer, crossings(context, [layer], HOT_LAYER, kernel=False)) for layer in sorted(names)]
    return tuple(_finding(context, layer, crossed) for layer, crossed in found if crossed)


def _finding(context: Context, layer: str, found: list[Crossing]) -> Finding:
    lead = found[0]
    row = lead.table.row(layer)
    per_op = f", {wording.ns(row.ns_per_op)} of each operation" if row and row.ns_per_op is not None else ""
    gain = gain_of(lead.share)
    return Finding(
        id=f"{PREFIX}{layer}",
        severity=Severity.MEDIUM if _behind(context, found) else Severity.LOW,
        title=f"Time in {layer}",
        workloads=titles(found),
        impact=lead.share,
        gain=gain,
        symptom=f"{wording.share(lead.share)} of the samples on {lead.table.title} are in {layer}{per_op}.",
        evidence=tuple(layer_proof(found, layer)),
        locations=layer_locations(context.run, lead.table.workload, layer),
        hypotheses=(_why(context),),
        options=(
            "read the hottest lines beside `perf annotate`: memory misses and mispredicted branches look alike in time",
        ),
        expected=f"{at_most(gain, lead.table.title)}; no allocator can make it vanish, so far less than that",
        verify=tool_command(context.run, lead.table.workload, ["perf", "record", "-g", "--"]),
        concerns=(Concern.LAYERS,),
    )


def _behind(context: Context, found: list[Crossing]) -> bool:
    rows = (context.throughput.row(one.table.workload, context.run.subject) for one in found)
    return any(row is not None and peer_gap.is_behind(context, row) for row in rows)


def _why(context: Context) -> Hypothesis:
    text = "it waits for memory or mispredicts branches rather than executing too much"
    counters = context.run.counters
    known = counters.filter(
        counters["event"].is_in(["cache-misses", "branch-misses"]) & counters["value"].is_not_null()
    )
    if known.height:
        return Hypothesis(text, Status.UNTESTED, "the hardware counters are of the whole program, not of this layer")
    return Hypothesis(text, Status.UNTESTED, "this machine has no hardware counters")
