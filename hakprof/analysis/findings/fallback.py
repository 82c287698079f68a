"""Fallback to libc: calls that the allocator hands on instead of serving them."""

from hakprof.analysis import wording
from hakprof.analysis.allocator_counters import CounterSet
from hakprof.analysis.findings.common import plain_command
from hakprof.analysis.findings.model import (
    LIBC_FALLBACK,
    LIBC_MALLOC,
    Context,
    Finding,
    Gain,
    Hypothesis,
    Proof,
    Severity,
    Status,
    gain_of,
    severity_of,
)
from hakprof.analysis.statistics import Share, wilson
from hakprof.analysis.trust import Concern

MOST_CALLS = 0.5


def find_fallback(context: Context) -> Finding | None:
    found = [(share, one) for one in context.counters if (share := _share(one)).low > LIBC_FALLBACK]
    if not found:
        return None
    found.sort(key=lambda pair: (-pair[0].value, pair[1].workload))
    share, lead = found[0]
    table = next((t for t in context.tables if t.workload == lead.workload), None)
    libc = table.share_of("fallback", *LIBC_MALLOC) if table else None
    gain = gain_of(libc) if libc else None
    return Finding(
        id="libc-fallback",
        severity=_severity(share, gain),
        title="Calls handed on to libc",
        workloads=tuple(dict.fromkeys(one.title for _, one in found)),
        impact=libc,
        gain=gain,
        symptom=f"{wording.share(share)} of the malloc calls on {lead.title} were served by libc.",
        evidence=tuple(
            Proof(
                f"Counters, {one.title}",
                "fallback.libc_alloc",
                f"{wording.count(part.count)} of {wording.count(part.total)} calls",
            )
            for part, one in found
        ),
        locations=(),
        hypotheses=(_by_size(lead),),
        options=(
            "serve those sizes from a layer of the allocator",
            "find out why the layer that should serve them refuses",
        ),
        expected=(
            f"libc's malloc holds {wording.share(libc)} of the samples there; the allocator's own cost would replace it"
            if libc
            else "not known: this workload was not recorded, or with too few samples"
        ),
        verify=tuple(
            f"HAKMEM_SIZE_HIST=1 HAKMEM_STATS_FILE=stats.json {command}"
            for command in [plain_command(context.run, lead.workload)]
            if command
        ),
        concerns=(Concern.COUNTERS,),
    )


def _severity(share: Share, gain: Gain | None) -> Severity:
    """An allocator that hands on most of its calls is not the one that is measured."""
    if share.low >= MOST_CALLS:
        return Severity.CRITICAL
    return severity_of(gain) if gain else Severity.MEDIUM


def _share(one: CounterSet) -> Share:
    calls = one.get("calls.malloc") + one.get("calls.calloc") + one.get("calls.realloc") + one.get("calls.aligned")
    return wilson(min(one.get("fallback.libc_alloc"), calls), calls)


def _by_size(one: CounterSet) -> Hypothesis:
    text = "the calls are of sizes that no layer of the allocator takes"
    large = one.values.get("size_histogram.large")
    if large is None:
        return Hypothesis(text, Status.UNTESTED, "the size histogram was not collected")
    fallback = one.get("fallback.libc_alloc")
    reason = f"{wording.count(large)} large calls by the size histogram, {wording.count(fallback)} calls handed on"
    return Hypothesis(text, Status.LIKELY if large >= fallback else Status.REJECTED, reason)
