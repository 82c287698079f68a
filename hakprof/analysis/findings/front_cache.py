"""Front-cache misses: mallocs that must refill, and the time behind them."""

from hakprof.analysis import wording
from hakprof.analysis.allocator_counters import CounterSet
from hakprof.analysis.findings.common import cost_finding, counter_proof, layer_proof, plain_command
from hakprof.analysis.findings.model import (
    FRONT_MISSES,
    REFILL_PATH,
    Context,
    Finding,
    Hypothesis,
    Proof,
    Status,
    crossings,
)
from hakprof.analysis.layers import layer_locations
from hakprof.analysis.statistics import Share, mann_whitney_p, median_ratio, wilson
from hakprof.analysis.throughput import differs
from hakprof.analysis.trust import Concern

LAYERS = ("refill", "drain", "shared_pool", "superslab")
CAPACITY_VARIABLE = "HAKMEM_TINY_FAST_CAP"


def find_front_cache_misses(context: Context) -> Finding | None:
    found = crossings(context, LAYERS, REFILL_PATH, kernel=False)
    if not found:
        return None
    lead = found[0]
    workload = lead.table.workload
    one = context.counters_of(workload)
    return cost_finding(
        found,
        id="front-cache-misses",
        title="Behind the front cache (refill, drain, shared pool, SuperSlab)",
        symptom=f"{wording.share(lead.share)} of the samples on {lead.table.title} are behind the front cache.",
        evidence=(
            *layer_proof(found, " + ".join(LAYERS)),
            *(_miss_proof(one) if one else ()),
            *counter_proof(
                context, workload, ["front.refills", "front.refill_blocks", "front.drains", "stages.stage3"]
            ),
        ),
        locations=tuple(spot for layer in LAYERS for spot in layer_locations(context.run, workload, layer, most=1)),
        hypotheses=(_misses(one), _capacity(context, workload)),
        options=(
            f"a larger cache ({CAPACITY_VARIABLE}) where the working set moves more blocks than it holds",
            "larger batches per refill and per drain",
        ),
        verify=tuple(
            f"{CAPACITY_VARIABLE}={size} {command}"
            for command in [plain_command(context.run, workload)]
            if command
            for size in (16, 32, 64, 128)
        ),
        concerns=(Concern.LAYERS, Concern.COUNTERS),
    )


def miss_share(one: CounterSet) -> Share:
    """Mallocs that refilled, of those that the front cache could serve."""
    refills = one.get("alloc_routes.refill")
    return wilson(refills, refills + one.get("alloc_routes.front_hit"))


def _miss_proof(one: CounterSet) -> list[Proof]:
    share = miss_share(one)
    if not share.total:
        return []
    return [
        Proof(
            f"Routes, {one.title}", "malloc", f"{wording.pct(share.value)} of {wording.count(share.total)} calls missed"
        )
    ]


def _misses(one: CounterSet | None) -> Hypothesis:
    text = "the front cache misses often"
    if one is None or not miss_share(one).total:
        return Hypothesis(text, Status.UNTESTED, "no route counters of this workload")
    share = miss_share(one)
    reason = f"{wording.pct(share.value)} of the mallocs that it could serve missed"
    return Hypothesis(text, Status.VALIDATED if share.low > FRONT_MISSES else Status.REJECTED, reason)


def _capacity(context: Context, workload: str) -> Hypothesis:
    """Tested by the study itself where it has a variant with another capacity."""
    text = "the cache's capacity limits the throughput"
    default = context.throughput.row(workload, context.run.subject)
    tested = [
        row
        for row in context.throughput.subject_rows(workload)
        if row.variant in context.run.project.variants
        and CAPACITY_VARIABLE in context.run.project.variants[row.variant].environment
    ]
    if default is None or not tested:
        return Hypothesis(text, Status.UNTESTED, f"the study has no variant that sets {CAPACITY_VARIABLE}")
    row = max(tested, key=lambda one: (abs(one.ops_per_second.value / default.ops_per_second.value - 1), one.variant))
    ratio = median_ratio(row.runs.values, default.runs.values)
    shown = differs(ratio, mann_whitney_p(row.runs.values, default.runs.values))
    reason = f"{row.variant_title}: {wording.ratio(ratio)} of the default's throughput"
    return Hypothesis(text, Status.VALIDATED if shown else Status.REJECTED, reason)
