"""Peak resident memory against the peers (C10), and what the allocator itself had mapped."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from hakprof.analysis.allocator_counters import CounterSet, default_counters
from hakprof.analysis.inputs import RunData
from hakprof.analysis.labels import allocator_title, variant_title, workload_title
from hakprof.analysis.statistics import Estimate, median_interval
from hakprof.model.run import Collector


@dataclass(frozen=True, slots=True)
class MemoryRow:
    workload: str
    workload_title: str
    allocator: str
    allocator_title: str
    variant: str
    variant_title: str
    is_subject: bool
    peak_bytes: Estimate
    vs_reference: float | None  # over the first peer's median


@dataclass(frozen=True, slots=True)
class MappedRow:
    """What the instrumented build said that it had mapped from the system."""

    workload: str
    workload_title: str
    peak_mapped_bytes: int
    superslabs_peak: int | None


@dataclass(frozen=True, slots=True)
class Memory:
    reference: str | None
    rows: tuple[MemoryRow, ...]
    mapped: tuple[MappedRow, ...]


def analyse_memory(run: RunData, sets: tuple[CounterSet, ...]) -> Memory:
    """Medians of the peak resident set over the plain throughput runs."""
    values = peak_values(run)
    peers = [name for name in run.allocators if name != run.subject]
    reference = next((p for p in peers if any((w, p, "default") in values for w in run.workloads)), None)
    order = [(peer, "default") for peer in peers] + [(run.subject, variant) for variant in run.study.variants]
    rows = [
        _row(run, workload, allocator, variant, values, reference)
        for workload in run.workloads
        for allocator, variant in order
        if (workload, allocator, variant) in values
    ]
    mapped = [_mapped(one) for w in run.workloads if (one := default_counters(sets, w)) is not None]
    return Memory(reference, tuple(rows), tuple(row for row in mapped if row is not None))


def peak_values(run: RunData) -> dict[tuple[str, str, str], tuple[int, ...]]:
    """(workload, allocator, variant) → peak resident bytes, one value per repetition."""
    frame = run.bench_of(Collector.THROUGHPUT).filter(pl.col("vm_hwm_bytes") > 0).sort("cell", "repetition")
    keys = ["workload", "allocator", "variant"]
    return {
        (str(workload), str(allocator), str(variant)): tuple(group["vm_hwm_bytes"].to_list())
        for (workload, allocator, variant), group in frame.group_by(keys, maintain_order=True)
    }


def _row(
    run: RunData,
    workload: str,
    allocator: str,
    variant: str,
    values: Mapping[tuple[str, str, str], tuple[int, ...]],
    reference: str | None,
) -> MemoryRow:
    peak = median_interval(values[workload, allocator, variant])
    base = values.get((workload, reference, "default")) if reference else None
    return MemoryRow(
        workload,
        workload_title(run, workload),
        allocator,
        allocator_title(run, allocator),
        variant,
        variant_title(run, allocator, variant),
        allocator == run.subject,
        peak,
        peak.value / median_interval(base).value if base else None,
    )


def _mapped(one: CounterSet) -> MappedRow | None:
    peak = one.values.get("os.peak_mapped_bytes")
    if peak is None:
        return None
    return MappedRow(one.workload, one.title, peak, one.values.get("superslabs.peak"))
