"""Workloads on which a peer is faster, with the layers where the subject's time goes."""

from hakprof.analysis import wording
from hakprof.analysis.findings.common import plain_command
from hakprof.analysis.findings.model import (
    Context,
    Finding,
    Gain,
    Hypothesis,
    Proof,
    Status,
    allocator_layers,
    allocator_share,
    severity_of,
)
from hakprof.analysis.labels import allocator_title
from hakprof.analysis.layers import LayerTable, layer_locations
from hakprof.analysis.statistics import Estimate, attainable_gain, mann_whitney_p
from hakprof.analysis.throughput import ResultRow, differs
from hakprof.analysis.trust import Concern


def find_peer_gap(context: Context) -> Finding | None:
    """One finding over all workloads on which the fastest peer is shown to be ahead of the default variant."""
    behind = [
        row
        for row in context.throughput.rows
        if row.is_subject and row.variant == "default" and is_behind(context, row)
    ]
    if not behind:
        return None
    behind.sort(key=lambda row: (_ratio(row).value, row.workload))
    lead = behind[0]
    ratio = _ratio(lead)
    gain = Gain(1 / ratio.value - 1, 1 / ratio.high - 1, 1 / ratio.low - 1)
    table = next((one for one in context.tables if one.workload == lead.workload), None)
    peer = allocator_title(context.run, lead.fastest_peer or "")
    return Finding(
        id="peer-gap",
        severity=severity_of(gain),
        title=f"Slower than {peer}" if len(behind) == 1 else "Slower than the fastest peer",
        workloads=tuple(row.workload_title for row in behind),
        impact=allocator_share(table) if table else None,
        gain=gain,
        symptom=f"On {lead.workload_title} the throughput is {wording.ratio(ratio)} of {peer}'s.",
        evidence=(
            *(_gap_proof(context, row) for row in behind),
            *(_layer_proofs(table) if table else ()),
        ),
        locations=tuple(
            spot
            for layer in allocator_layers(table)[:2]
            for spot in layer_locations(context.run, lead.workload, layer, most=1)
        )
        if table
        else (),
        hypotheses=(_within_reach(table, gain),),
        options=("start with the layers named in the evidence: they are where this allocator's own time goes",),
        expected=(
            f"{wording.change(gain.value)} ({wording.change(gain.low)} to {wording.change(gain.high)}) on"
            f" {lead.workload_title} would draw level with {peer}"
        ),
        verify=tuple(command for command in [plain_command(context.run, lead.workload)] if command),
        concerns=(Concern.RESULTS, Concern.LAYERS),
    )


def _ratio(row: ResultRow) -> Estimate:
    if row.vs_fastest_peer is None:
        raise ValueError(f"{row.workload}: no peer was measured")
    return row.vs_fastest_peer


def is_behind(context: Context, row: ResultRow) -> bool:
    """Whether the fastest peer is shown to be faster than the row."""
    if row.vs_fastest_peer is None or row.fastest_peer is None:
        return False
    peer = context.throughput.row(row.workload, row.fastest_peer)
    if peer is None or row.vs_fastest_peer.value >= 1:
        return False
    return differs(row.vs_fastest_peer, mann_whitney_p(row.runs.values, peer.runs.values))


def _gap_proof(context: Context, row: ResultRow) -> Proof:
    peer = allocator_title(context.run, row.fastest_peer or "")
    figure = f"{wording.rate(row.ops_per_second.value)}, {wording.ratio(_ratio(row))} of {peer}"
    return Proof("Results", row.workload_title, figure)


def _layer_proofs(table: LayerTable) -> list[Proof]:
    rows = [row for row in table.rows if row.layer in allocator_layers(table)][:3]
    return [
        Proof(
            f"Layers, {table.title}",
            row.layer,
            wording.share(row.share)
            + (f", {wording.ns(row.ns_per_op)} per operation" if row.ns_per_op is not None else ""),
        )
        for row in rows
    ]


def _within_reach(table: LayerTable | None, gain: Gain) -> Hypothesis:
    text = "the allocator's own layers are large enough to close the gap"
    if table is None:
        return Hypothesis(text, Status.UNTESTED, "this workload was not recorded")
    own = allocator_share(table)
    least, most = attainable_gain(own.low), attainable_gain(own.high)
    reason = (
        f"they hold {wording.share(own)} of the samples: between {wording.change(least)} and {wording.change(most)} at"
        f" most, and {wording.change(gain.value)} is needed"
    )
    status = Status.LIKELY if least >= gain.value else Status.REJECTED if most < gain.value else Status.UNTESTED
    return Hypothesis(text, status, reason)
