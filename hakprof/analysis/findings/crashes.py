"""Crashes, time-outs and bad exit statuses of the subject: results that come before any speed."""

from hakprof.analysis.findings.common import command_line
from hakprof.analysis.findings.model import Context, Finding, Hypothesis, Proof, Severity, Status
from hakprof.analysis.labels import workload_title
from hakprof.analysis.trust import Concern
from hakprof.analysis.trust.endings import ending
from hakprof.model.run import CellResult, CellStatus

_OURS = (CellStatus.CRASHED, CellStatus.TIMEOUT, CellStatus.FAILED)


def find_crashes(context: Context) -> Finding | None:
    run = context.run
    bad = [r for r in run.results if r.status in _OURS and r.cell.allocator == run.subject]
    if not bad:
        return None
    lead = bad[0]
    total = sum(1 for r in run.results if r.cell.allocator == run.subject)
    return Finding(
        id="crash",
        severity=Severity.CRITICAL,
        title="Runs that did not end well",
        workloads=tuple(dict.fromkeys(workload_title(run, r.cell.workload) for r in bad)),
        impact=None,
        gain=None,
        symptom=f"{len(bad)} of {total} runs of the allocator did not end well; the first {ending(lead)}.",
        evidence=tuple(Proof("Runs", result.cell.id, ending(result)) for result in bad[:8]),
        locations=(),
        hypotheses=(_peers_too(context, lead),),
        options=("reproduce it with the command below before reading any throughput of this workload",),
        expected="a result instead of none",
        verify=(command_line(lead),),
        concerns=(Concern.RESULTS,),
    )


def _peers_too(context: Context, lead: CellResult) -> Hypothesis:
    text = "the allocator is to blame, not the program"
    same = [
        r
        for r in context.run.results
        if r.cell.workload == lead.cell.workload
        and r.cell.collector == lead.cell.collector
        and r.cell.allocator != context.run.subject
    ]
    if not same:
        return Hypothesis(text, Status.UNTESTED, "no peer ran this workload under the same tool")
    well = sum(1 for r in same if r.status == CellStatus.OK)
    status = Status.LIKELY if well == len(same) else Status.REJECTED if well == 0 else Status.UNTESTED
    return Hypothesis(text, status, f"{well} of {len(same)} runs of the peers on this workload ended well")
