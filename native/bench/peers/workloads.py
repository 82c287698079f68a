"""What is measured, and what hakmem is to reach on each."""

from dataclasses import dataclass

SYSTEM_TARGET = 1.2  # to the system's allocator, everywhere
LINKED_TARGET = 1.0  # linked in, to preloaded
MEMORY_LIMIT = 1.10  # peak RSS, to the leanest of LEAN_PEERS
LEAN_PEERS = ("mimalloc", "tcmalloc")
INSTRUMENTED_TARGET = 0.85  # to the release flavour
INSTRUCTIONS_LIMIT = 60.0  # for a malloc+free pair of 128 B, the loop and the calls included


@dataclass(frozen=True, slots=True)
class Workload:
    """One benchmark with its arguments; `target` is the least ratio to the fastest peer."""

    name: str
    target: float
    command: tuple[str, ...]


WORKLOADS = (
    Workload("128 B", 1.2, ("random_mixed", "--size", "128", "--ops", "10000000")),
    Workload("256 B", 1.3, ("random_mixed", "--size", "256", "--ops", "10000000")),
    Workload("512 B", 1.3, ("random_mixed", "--size", "512", "--ops", "10000000")),
    Workload("1024 B", 1.3, ("random_mixed", "--size", "1024", "--ops", "10000000")),
    Workload("mixed 16-1040 B", 1.25, ("random_mixed", "--ops", "10000000")),
    Workload("mixed, ws 8192", 1.25, ("random_mixed", "--ws", "8192", "--ops", "10000000")),
    Workload("128 B, toggle", 1.03, ("random_mixed", "--size", "128", "--mode", "toggle", "--ops", "10000000")),
    Workload("mixed, toggle", 1.03, ("random_mixed", "--mode", "toggle", "--ops", "10000000")),
    Workload("short cold run", 1.0, ("random_mixed", "--mode", "toggle", "--ops", "200000", "--warmup", "0")),
    Workload("larson 8-128 B, 1T", 1.2, ("larson", "--ops", "20000000")),
    Workload("larson 8-128 B, 2T", 1.2, ("larson", "--ops", "20000000", "--threads", "2")),
    Workload("larson 8-1000 B, 5000", 1.4, ("larson", "--size", "8:1000", "--ws", "5000", "--ops", "10000000")),
    Workload("mid 8-32 KB, 1T", 1.2, ("mid_large_mt", "--threads", "1", "--mode", "replace", "--ops", "2000000")),
    Workload("mid 8-32 KB, 2T", 1.2, ("mid_large_mt", "--threads", "2", "--mode", "replace", "--ops", "1000000")),
    Workload("producer-consumer", 1.7, ("producer_consumer", "--ops", "2000000")),
    Workload("batch 1000 x 128 B", 1.05, ("batch", "--ops", "10000")),
    Workload("batch 1000 x 4000 B", 1.5, ("batch", "--size", "4000", "--ops", "5000")),
    Workload("lifo 128 B", 1.05, ("batch", "--ws", "1", "--ops", "20000000")),
    Workload("churn 64-4096 B", 1.0, ("churn", "--ops", "20")),
    Workload("thread churn", 1.0, ("thread_churn", "--ops", "2000")),
    Workload("thread per 1024 ops", 1.0, ("larson", "--rounds", "1", "--ops", "2000000")),
)
