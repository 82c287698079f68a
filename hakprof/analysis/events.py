"""perf stat's events per operation (C1): the subject beside the reference peer, hardware events where there are any."""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from hakprof.analysis.inputs import RunData
from hakprof.analysis.labels import allocator_title, workload_title

# In the order of the table; events that were not counted, or never happened, are left out.
SHOWN = (
    "task-clock",
    "instructions",
    "cycles",
    "branch-misses",
    "cache-misses",
    "page-faults",
    "major-faults",
    "context-switches",
    "cpu-migrations",
)
PARTLY = 0.95  # an event that was on a counter for less of the time is an extrapolation


@dataclass(frozen=True, slots=True)
class EventRow:
    """Events of one allocator on one workload: event → value per operation (task-clock in ns)."""

    workload_title: str
    allocator_title: str
    is_subject: bool
    per_op: Mapping[str, float]
    instructions_per_cycle: float | None


@dataclass(frozen=True, slots=True)
class EventTable:
    events: tuple[str, ...]
    rows: tuple[EventRow, ...]
    not_counted: tuple[str, ...]  # asked for, and not supported or never scheduled
    extrapolated: tuple[str, ...]  # counted for part of the time only


def analyse_events(run: RunData) -> EventTable:
    """The subject's default variant and the study's first peer, per workload."""
    counted = run.counters.filter(pl.col("value").is_not_null() & (pl.col("variant") == "default"))
    known = set(counted["event"].to_list())
    happened = set(counted.filter(pl.col("value") > 0)["event"].to_list())
    events = tuple(event for event in SHOWN if event in happened)
    shown = (run.subject, *(name for name in run.allocators if name != run.subject))[:2]
    rows = [
        row
        for workload in run.workloads
        for allocator in shown
        if (row := _row(run, counted, workload, allocator, events)) is not None
    ]
    asked = set(run.counters["event"].to_list())
    partly = counted.filter(pl.col("running_share") < PARTLY)["event"].unique().sort().to_list()
    return EventTable(events, tuple(rows), tuple(sorted(asked - known)), tuple(partly))


def _row(
    run: RunData, counted: pl.DataFrame, workload: str, allocator: str, events: tuple[str, ...]
) -> EventRow | None:
    own = counted.filter((pl.col("workload") == workload) & (pl.col("allocator") == allocator))
    medians = own.group_by("event").agg(
        pl.col("per_op").median(), pl.col("value").median(), pl.col("unit").first().alias("unit")
    )
    found = {row["event"]: row for row in medians.iter_rows(named=True)}
    if not found:
        return None
    per_op = {
        event: found[event]["per_op"] * (1e6 if found[event]["unit"] == "msec" else 1)
        for event in events
        if event in found and found[event]["per_op"] is not None
    }
    cycles = found["cycles"]["value"] if "cycles" in found else None
    ipc = found["instructions"]["value"] / cycles if cycles and "instructions" in found else None
    return EventRow(
        workload_title(run, workload), allocator_title(run, allocator), allocator == run.subject, per_op, ipc
    )
