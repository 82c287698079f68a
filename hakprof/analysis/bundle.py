"""All analyses of one run, made once and handed on together."""

from dataclasses import dataclass

from hakprof.analysis.allocator_counters import (
    CounterSet,
    RouteTable,
    StageTable,
    analyse_routes,
    analyse_stages,
    counter_sets,
)
from hakprof.analysis.events import EventTable, analyse_events
from hakprof.analysis.findings import Finding, find_bottlenecks
from hakprof.analysis.inputs import RunData
from hakprof.analysis.instructions import InstructionRow, analyse_instructions
from hakprof.analysis.layers import LayerTable, analyse_layers
from hakprof.analysis.memory import Memory, analyse_memory
from hakprof.analysis.syscalls import SyscallTable, analyse_syscalls
from hakprof.analysis.throughput import Throughput, analyse_throughput
from hakprof.analysis.trust import TrustCheck, run_checks
from hakprof.analysis.variants import VariantTable, analyse_variants


@dataclass(frozen=True, slots=True)
class Analysis:
    """Everything that the report of one run says, as numbers."""

    throughput: Throughput
    layers: tuple[LayerTable, ...]
    syscalls: tuple[SyscallTable, ...]
    counters: tuple[CounterSet, ...]
    stages: tuple[StageTable, ...]
    routes: tuple[RouteTable, ...]
    memory: Memory
    events: EventTable
    instructions: tuple[InstructionRow, ...]
    variants: tuple[VariantTable, ...]
    trust: tuple[TrustCheck, ...]
    findings: tuple[Finding, ...]


def analyse(run: RunData) -> Analysis:
    """Tables first, then the trust checks on them, then the findings, which know what the checks said."""
    throughput = analyse_throughput(run)
    layers = analyse_layers(run, throughput)
    syscalls = analyse_syscalls(run)
    counters = counter_sets(run)
    trust = run_checks(run, throughput=throughput, layers=layers, syscalls=syscalls, counters=counters)
    routes = analyse_routes(run, counters)
    findings = find_bottlenecks(
        run, throughput=throughput, layers=layers, syscalls=syscalls, counters=counters, routes=routes, trust=trust
    )
    return Analysis(
        throughput=throughput,
        layers=layers,
        syscalls=syscalls,
        counters=counters,
        stages=analyse_stages(counters),
        routes=routes,
        memory=analyse_memory(run, counters),
        events=analyse_events(run),
        instructions=analyse_instructions(run),
        variants=analyse_variants(run, throughput, counters),
        trust=trust,
        findings=findings,
    )
