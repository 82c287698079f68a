"""A run that spends most of its time in the kernel: what is tuned in user space cannot show there."""

from hakprof.analysis import wording
from hakprof.analysis.findings.common import cost_finding, layer_proof, tool_command
from hakprof.analysis.findings.model import (
    KERNEL_DOMINATED,
    Context,
    Crossing,
    Finding,
    Hypothesis,
    Proof,
    Status,
)
from hakprof.analysis.statistics import LEAST_SAMPLES
from hakprof.analysis.trust import Concern


def find_kernel_dominated(context: Context) -> Finding | None:
    found = [
        Crossing(t, t.kernel)
        for t in context.tables
        if t.kernel.count >= LEAST_SAMPLES and t.kernel.low > KERNEL_DOMINATED
    ]
    if not found:
        return None
    found.sort(key=lambda one: (-one.share.value, one.table.workload))
    lead = found[0]
    largest = [row for row in lead.table.rows if row.kernel][:3]
    return cost_finding(
        found,
        id="kernel-dominated",
        title="Most of the time is spent in the kernel",
        symptom=f"{wording.share(lead.share)} of the samples on {lead.table.title} are kernel code.",
        evidence=(
            *layer_proof(found, "kernel"),
            *(Proof(f"Layers, {lead.table.title}", row.layer, wording.share(row.share)) for row in largest),
        ),
        locations=(),
        hypotheses=(
            Hypothesis(
                f"the largest kernel layer, {largest[0].layer}, explains it" if largest else "one layer explains it",
                Status.VALIDATED if largest and largest[0].share.value > lead.share.value / 2 else Status.REJECTED,
                f"{wording.pct(largest[0].share.value / lead.share.value)} of the kernel time"
                if largest
                else "no layer",
            ),
        ),
        options=("act on the kernel layers below before anything in user space",),
        verify=tool_command(context.run, lead.table.workload, ["perf", "record", "-g", "--"]),
        concerns=(Concern.LAYERS,),
    )
