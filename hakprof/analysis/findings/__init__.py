"""Findings: rules over the tables, one small file each, ranked by what removing the cost could give at most."""

from dataclasses import replace

from hakprof.analysis.allocator_counters import CounterSet, RouteTable
from hakprof.analysis.findings.classification import find_slow_classification
from hakprof.analysis.findings.common import with_folders
from hakprof.analysis.findings.crashes import find_crashes
from hakprof.analysis.findings.fallback import find_fallback
from hakprof.analysis.findings.front_cache import find_front_cache_misses
from hakprof.analysis.findings.hot_layers import ID as HOT_LAYERS
from hakprof.analysis.findings.hot_layers import find_hot_layers
from hakprof.analysis.findings.kernel_dominated import find_kernel_dominated
from hakprof.analysis.findings.locks import find_locks
from hakprof.analysis.findings.mapping_churn import find_mapping_churn
from hakprof.analysis.findings.model import Context, Finding, Gain, Hypothesis, Proof, Severity, Status
from hakprof.analysis.findings.page_faults import find_page_faults
from hakprof.analysis.findings.peer_gap import find_peer_gap
from hakprof.analysis.inputs import RunData
from hakprof.analysis.layers import LayerTable
from hakprof.analysis.syscalls import SyscallTable
from hakprof.analysis.throughput import Throughput
from hakprof.analysis.trust import TrustCheck, Verdict

__all__ = ["Finding", "Gain", "Hypothesis", "Proof", "Severity", "Status", "find_bottlenecks"]

_RULES = (
    find_crashes,
    find_peer_gap,
    find_kernel_dominated,
    find_page_faults,
    find_mapping_churn,
    find_locks,
    find_slow_classification,
    find_fallback,
    find_front_cache_misses,
    find_hot_layers,
)


def find_bottlenecks(
    run: RunData,
    *,
    throughput: Throughput,
    layers: tuple[LayerTable, ...],
    syscalls: tuple[SyscallTable, ...],
    counters: tuple[CounterSet, ...],
    routes: tuple[RouteTable, ...],
    trust: tuple[TrustCheck, ...],
) -> tuple[Finding, ...]:
    """Every finding: what has no gain to rank by (a crash) first, hot layers last, between them by attainable gain."""
    context = Context(run, throughput, layers, syscalls, counters, routes)
    found = [finding for rule in _RULES if (finding := rule(context)) is not None]
    ranked = sorted(found, key=_rank)
    return tuple(
        replace(finding, doubted_by=_doubts(finding, trust), verify=with_folders(run, finding.verify))
        for finding in ranked
    )


def _rank(finding: Finding) -> tuple[bool, bool, float, str]:
    gain = finding.gain.value if finding.gain else 0.0
    return finding.gain is not None, finding.id == HOT_LAYERS, -gain, finding.id


def _doubts(finding: Finding, trust: tuple[TrustCheck, ...]) -> tuple[str, ...]:
    failed = [check for check in trust if check.verdict == Verdict.FAIL and set(check.concerns) & set(finding.concerns)]
    return tuple(check.id for check in failed)
