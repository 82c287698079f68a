"""Lock contention: futex calls, and what the allocator's own locks counted."""

from dataclasses import dataclass

from hakprof.analysis import wording
from hakprof.analysis.findings.common import (
    cause_proof,
    cost_finding,
    kernel_callers,
    layer_proof,
    syscall_proof,
    tool_command,
)
from hakprof.analysis.findings.model import (
    FUTEX,
    LOCK_CONTENDED,
    LOCK_WAIT,
    Context,
    Crossing,
    Finding,
    Hypothesis,
    Proof,
    Status,
    crossings,
)
from hakprof.analysis.statistics import Share, wilson
from hakprof.analysis.trust import Concern

LAYERS = ("futex",)


@dataclass(frozen=True, slots=True)
class LockUse:
    name: str
    workload_title: str
    contended: Share  # of the acquisitions
    wait_share: float | None  # of the threads' time in the measured region


def find_locks(context: Context) -> Finding | None:
    found = crossings(context, LAYERS, FUTEX, kernel=True)
    if not found:
        return None
    lead = found[0]
    workload = lead.table.workload
    uses = lock_uses(context, workload)
    return cost_finding(
        found,
        id="lock-contention",
        title="Waiting for locks (futex)",
        symptom=f"{wording.share(lead.share)} of the samples on {lead.table.title} are inside the futex call.",
        evidence=(
            *layer_proof(found, "futex"),
            *cause_proof(found, LAYERS),
            *syscall_proof(context, workload, LAYERS),
            *(_lock_proof(use) for use in uses),
        ),
        locations=kernel_callers(context.run, workload, LAYERS),
        hypotheses=(_own_lock(uses, found),),
        options=(
            "take the common stage without the lock (a lock-free list of the class's own slots)",
            "hold the lock shorter: scan metadata outside it",
            "take several slabs per acquisition, or one lock per class",
        ),
        verify=tool_command(context.run, workload, ["strace", "-f", "-c", "-w", "-e", "trace=futex"]),
        concerns=(Concern.LAYERS, Concern.COUNTERS),
    )


def lock_uses(context: Context, workload: str) -> tuple[LockUse, ...]:
    """The allocator's locks on one workload, most contended first."""
    one = context.counters_of(workload)
    if one is None:
        return ()
    locks = one.group("locks")
    line = context.run.bench.filter(
        (context.run.bench["collector"] == "counters") & (context.run.bench["workload"] == workload)
    ).head(1)
    time_ns = sum((row["measured_ns"] or 0) * (row["threads"] or 1) for row in line.iter_rows(named=True))
    uses = []
    for name in sorted({key.split(".")[0] for key in locks}):
        acquired, contended = locks.get(f"{name}.acquired", 0), locks.get(f"{name}.contended", 0)
        wait_ns = locks.get(f"{name}.wait_ns")
        wait_share = wait_ns / time_ns if wait_ns is not None and time_ns else None
        uses.append(LockUse(name, one.title, wilson(min(contended, acquired), acquired), wait_share))
    return tuple(sorted(uses, key=lambda use: (-use.contended.count, use.name)))


def _lock_proof(use: LockUse) -> Proof:
    wait = f", waiting {wording.pct(use.wait_share)} of the threads' time" if use.wait_share is not None else ""
    contended, acquired = wording.count(use.contended.count), wording.count(use.contended.total)
    return Proof(
        f"Counters, {use.workload_title}", f"lock {use.name}", f"{contended} of {acquired} acquisitions contended{wait}"
    )


def _own_lock(uses: tuple[LockUse, ...], found: list[Crossing]) -> Hypothesis:
    text = "threads wait for one of the allocator's own locks"
    if not uses:
        return Hypothesis(
            text, Status.UNTESTED, f"no lock statistics of the instrumented build on {found[0].table.title}"
        )
    busiest = uses[0]
    reason = _lock_proof(busiest).figure
    waits = busiest.wait_share is not None and busiest.wait_share > LOCK_WAIT
    if busiest.contended.low > LOCK_CONTENDED and waits:
        return Hypothesis(text, Status.VALIDATED, f"{busiest.name}: {reason}")
    contended = busiest.contended.low > LOCK_CONTENDED
    return Hypothesis(text, Status.LIKELY if contended else Status.REJECTED, f"{busiest.name}: {reason}")
