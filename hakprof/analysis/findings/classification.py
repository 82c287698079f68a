"""Slow classification: the way in which a free finds its block's class."""

from hakprof.analysis import wording
from hakprof.analysis.allocator_counters import CLASSIFY_VARIABLE, RouteTable
from hakprof.analysis.findings.common import at_most, layer_proof, plain_command, syscall_proof, titles
from hakprof.analysis.findings.model import (
    CLASSIFICATION,
    Context,
    Crossing,
    Finding,
    Hypothesis,
    Proof,
    Severity,
    Status,
    crossings,
    gain_of,
    severity_of,
)
from hakprof.analysis.layers import layer_locations
from hakprof.analysis.trust import Concern

LAYERS = ("classify_ptr", "registry", "readable_check", "mincore")


def find_slow_classification(context: Context) -> Finding | None:
    """Time in classification, or frees that take another route than the build is configured for."""
    found = crossings(context, LAYERS, CLASSIFICATION, kernel=False)
    astray = [table for table in context.routes if table.as_expected is False]
    if not found and not astray:
        return None
    tables = {table.workload: table for table in context.tables}
    if not found:
        found = [
            Crossing(tables[t.workload], tables[t.workload].share_of(*LAYERS)) for t in astray if t.workload in tables
        ]
    lead = found[0] if found else None
    gain = gain_of(lead.share) if lead else None
    workload = lead.table.workload if lead else astray[0].workload
    title = lead.table.title if lead else astray[0].title
    return Finding(
        id="slow-classification",
        severity=severity_of(gain) if gain else Severity.MEDIUM,
        title="Finding out whose a pointer is (classification in free)",
        workloads=titles(found) or tuple(table.title for table in astray),
        impact=lead.share if lead else None,
        gain=gain,
        symptom=_symptom(lead, astray),
        evidence=(
            *layer_proof(found, " + ".join(LAYERS)),
            *(_route_proof(table) for table in context.routes if table.workload == workload or table in astray),
            *syscall_proof(context, workload, ["mincore"]),
        ),
        locations=tuple(spot for layer in LAYERS for spot in layer_locations(context.run, workload, layer, most=2)),
        hypotheses=(_route_hypothesis(context, workload),),
        options=(
            "answer from one load of a side map indexed by address",
            "check the cheap ways first and the registry or mincore last",
        ),
        expected=at_most(gain, title) if gain else "not known: this workload was not recorded",
        verify=_compare_ways(context, workload),
        concerns=(Concern.LAYERS, Concern.COUNTERS),
    )


def _symptom(lead: Crossing | None, astray: list[RouteTable]) -> str:
    parts = []
    if lead is not None:
        parts.append(f"{wording.share(lead.share)} of the samples on {lead.table.title} decide whose a pointer is.")
    if astray:
        table = astray[0]
        parts.append(f"Frees on {table.title} should go by {table.expected} and go by {table.actual}.")
    return " ".join(parts)


def _route_proof(table: RouteTable) -> Proof:
    rows = [row for row in table.rows if row.side == "free" and row.count]
    figure = ", ".join(f"{row.route} {wording.pct(row.share)}" for row in rows[:3])
    return Proof(f"Routes, {table.title}", "free", figure or "no frees")


def _route_hypothesis(context: Context, workload: str) -> Hypothesis:
    text = "frees take a slower route than the one that is configured"
    table = next((one for one in context.routes if one.workload == workload), None)
    if table is None or table.expected_share is None:
        return Hypothesis(text, Status.UNTESTED, "no route counters of this workload")
    reason = f"{wording.share(table.expected_share)} of the classified frees go by {table.expected}, as configured"
    return Hypothesis(text, Status.REJECTED if table.as_expected else Status.VALIDATED, reason)


def _compare_ways(context: Context, workload: str) -> tuple[str, ...]:
    command = plain_command(context.run, workload)
    if command is None:
        return ()
    return tuple(f"{CLASSIFY_VARIABLE}={way} {command}" for way in ("map", "header", "registry"))
