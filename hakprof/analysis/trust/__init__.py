"""Trust checks: tests of the measurement itself. They run first, and what they find stands at the top of the report."""

from typing import TYPE_CHECKING

from hakprof.analysis.trust.model import Concern, Evidence, TrustCheck, Verdict

if TYPE_CHECKING:
    from hakprof.analysis.allocator_counters import CounterSet
    from hakprof.analysis.inputs import RunData
    from hakprof.analysis.layers import LayerTable
    from hakprof.analysis.syscalls import SyscallTable
    from hakprof.analysis.throughput import Throughput

__all__ = ["Concern", "Evidence", "TrustCheck", "Verdict", "run_checks"]


def run_checks(
    run: "RunData",
    *,
    throughput: "Throughput",
    layers: "tuple[LayerTable, ...]",
    syscalls: "tuple[SyscallTable, ...]",
    counters: "tuple[CounterSet, ...]",
) -> tuple[TrustCheck, ...]:
    """Every check, in the order of the report."""
    # Who only asks for the model, as a look at one recording does, is spared the rest.
    from hakprof.analysis.trust.binary import check_binary
    from hakprof.analysis.trust.cpu_time import check_cpu_time
    from hakprof.analysis.trust.disturbance import check_disturbance
    from hakprof.analysis.trust.duration import check_duration
    from hakprof.analysis.trust.endings import check_capabilities, check_endings
    from hakprof.analysis.trust.noise import check_noise
    from hakprof.analysis.trust.sampling import check_sampling
    from hakprof.analysis.trust.served import check_served
    from hakprof.analysis.trust.syscall_time import check_syscall_time

    return (
        check_binary(run),
        check_served(run, counters),
        check_duration(run),
        check_noise(run, throughput),
        check_cpu_time(run),
        check_sampling(run, layers),
        check_syscall_time(run, syscalls),
        check_disturbance(run, throughput),
        check_endings(run),
        check_capabilities(run),
    )
