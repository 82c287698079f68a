"""mmap/munmap churn: memory taken from the system and given back over and over."""

from hakprof.analysis import wording
from hakprof.analysis.findings.common import (
    cause_proof,
    cost_finding,
    counter_proof,
    kernel_callers,
    layer_proof,
    syscall_proof,
    tool_command,
)
from hakprof.analysis.findings.model import (
    CAUSE_MAJORITY,
    MAPPING_CALLS,
    Context,
    Finding,
    Hypothesis,
    Status,
    crossings,
)
from hakprof.analysis.trust import Concern

LAYERS = ("mmap", "munmap", "madvise", "brk")
CALLS = (*LAYERS, "mremap")  # the kernel's layer mmap holds it
COUNTERS = ("superslabs.created", "superslabs.released", "os.mmap", "os.mremap", "os.munmap")


def find_mapping_churn(context: Context) -> Finding | None:
    found = crossings(context, LAYERS, MAPPING_CALLS, kernel=True)
    if not found:
        return None
    lead = found[0]
    workload = lead.table.workload
    return cost_finding(
        found,
        id="mapping-churn",
        title="Mapping calls in the measured region (mmap, munmap, madvise, brk)",
        symptom=f"{wording.share(lead.share)} of the samples on {lead.table.title} map or unmap memory.",
        evidence=(
            *layer_proof(found, " + ".join(LAYERS)),
            *cause_proof(found, LAYERS),
            *syscall_proof(context, workload, CALLS),
            *counter_proof(context, workload, COUNTERS),
        ),
        locations=kernel_callers(context.run, workload, LAYERS),
        hypotheses=(_superslab_turnover(context, workload),),
        options=(
            "retain released memory and hand it out again (LRU of SuperSlabs, cache of large blocks)",
            "give memory back in batches, after a while, from slow paths only",
        ),
        verify=tool_command(context.run, workload, ["strace", "-f", "-c", "-w", "-e", "trace=%memory"]),
        concerns=(Concern.LAYERS, Concern.SYSCALLS),
    )


def _superslab_turnover(context: Context, workload: str) -> Hypothesis:
    text = "SuperSlabs are released and created again instead of being kept"
    one = context.counters_of(workload)
    if one is None or "superslabs.created" not in one.values:
        return Hypothesis(text, Status.UNTESTED, "the allocator counted no SuperSlabs on this workload")
    created, released, peak = (one.get(f"superslabs.{name}") for name in ("created", "released", "peak"))
    reason = (
        f"{wording.count(created)} created and {wording.count(released)} released, {wording.count(peak)} alive at most"
    )
    turned_over = created > 0 and (created - peak) / created > CAUSE_MAJORITY
    return Hypothesis(text, Status.VALIDATED if turned_over else Status.REJECTED, reason)
