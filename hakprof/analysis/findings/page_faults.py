"""Page-fault churn: memory that is touched for the first time, again and again."""

from hakprof.analysis import wording
from hakprof.analysis.findings.common import (
    cause_proof,
    cost_finding,
    counter_proof,
    fault_proof,
    kernel_callers,
    layer_proof,
    per_op_proof,
    syscall_proof,
    tool_command,
)
from hakprof.analysis.findings.model import (
    CAUSE_MAJORITY,
    NOT_THE_ALLOCATOR,
    PAGE_FAULT,
    Context,
    Finding,
    Hypothesis,
    Status,
    crossings,
)
from hakprof.analysis.layers import NO_USER_FRAME, LayerTable
from hakprof.analysis.trust import Concern

LAYER = "page_fault"
GIVING_BACK = ("munmap", "madvise", "brk")


def find_page_faults(context: Context) -> Finding | None:
    found = crossings(context, [LAYER], PAGE_FAULT, kernel=True)
    if not found:
        return None
    lead = found[0]
    workload = lead.table.workload
    return cost_finding(
        found,
        id="page-fault-churn",
        title="Page faults in the measured region",
        symptom=f"{wording.share(lead.share)} of the samples on {lead.table.title} are page faults.",
        evidence=(
            *layer_proof(found, LAYER),
            *cause_proof(found, [LAYER]),
            *(fault_proof(lead.table, row) for row in lead.table.faults[:3]),
            *per_op_proof(context, workload, ["minor-faults", "page-faults"]),
            *counter_proof(context, workload, ["stages.stage3", "superslabs.created", "superslabs.released"]),
            *syscall_proof(context, workload, GIVING_BACK),
        ),
        locations=kernel_callers(context.run, workload, [LAYER]),
        hypotheses=(_own_touch(lead.table), _given_back(context, workload)),
        options=(
            "reuse emptied slabs before new ones are taken from the system",
            "keep emptied memory longer before it is given back (retention, hysteresis)",
            "take memory in larger units that are backed at once (prewarm, huge pages)",
        ),
        verify=tool_command(context.run, workload, ["perf", "record", "-e", "page-faults", "-c", "1", "-g", "--"]),
        concerns=(Concern.LAYERS,),
    )


def _own_touch(table: LayerTable) -> Hypothesis:
    """By the page-fault event where it was recorded; otherwise by the callers of the handler's samples."""
    text = "the allocator itself touches fresh pages first (carving blocks, writing links or metadata)"
    if table.faults:
        total = sum(row.share.count for row in table.faults)
        others = NOT_THE_ALLOCATOR | {row.layer for row in table.rows if row.kernel}
        own = sum(row.share.count for row in table.faults if row.layer not in others)
        reason = f"{wording.pct(own / total)} of the recorded page faults happen in the allocator's layers"
        return Hypothesis(text, Status.VALIDATED if own / total > CAUSE_MAJORITY else Status.REJECTED, reason)
    known = [cause for cause in table.causes if cause.layer == LAYER and cause.caused_by != NO_USER_FRAME]
    total = sum(cause.share.count for cause in known)
    own = sum(cause.share.count for cause in known if cause.caused_by not in NOT_THE_ALLOCATOR)
    if not total:
        return Hypothesis(text, Status.UNTESTED, "no page fault has a user frame in its call chain")
    reason = f"{wording.pct(own / total)} of the page-fault samples with a caller come from the allocator's layers"
    return Hypothesis(text, Status.VALIDATED if own / total > CAUSE_MAJORITY else Status.REJECTED, reason)


def _given_back(context: Context, workload: str) -> Hypothesis:
    text = "memory is given back to the system and faulted in again"
    table = context.syscalls_of(workload)
    rate = table.rate_of(*GIVING_BACK) if table else None
    if table is None or rate is None:
        return Hypothesis(text, Status.UNTESTED, "no system call counts of this workload")
    calls = table.calls_of(*GIVING_BACK)
    reason = (
        f"{wording.count(calls)} calls of {wording.listing(GIVING_BACK)}, {wording.per_1000(rate)} per 1,000 operations"
    )
    # Each fault on re-used memory needs a call that gave it back; a handful of calls cannot explain a share of the run.
    faults = _faults_per_1000(context, workload)
    if faults is None:
        return Hypothesis(text, Status.UNTESTED, f"{reason}; page faults were not counted")
    status = Status.LIKELY if rate > faults / 512 else Status.REJECTED
    return Hypothesis(text, status, f"{reason}, for {wording.per_1000(faults)} page faults per 1,000 operations")


def _faults_per_1000(context: Context, workload: str) -> float | None:
    proofs = context.run.counters.filter(
        (context.run.counters["workload"] == workload)
        & (context.run.counters["allocator"] == context.run.subject)
        & (context.run.counters["variant"] == "default")
        & context.run.counters["event"].is_in(["minor-faults", "page-faults"])
    )["per_op"].drop_nulls()
    largest = proofs.max()
    return largest * 1000 if isinstance(largest, float) else None
