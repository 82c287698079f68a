"""Instructions per operation without a PMU (C12, R12): callgrind's counts inside the allocator and around it.

Counts of instructions repeat exactly, so they need no interval; they say nothing about cache misses or waiting. They
come from short runs of the whole process, so that start-up is part of them: the allocator's own share of that is small.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath

import polars as pl

from hakprof.analysis.inputs import RunData
from hakprof.analysis.labels import allocator_title, workload_title
from hakprof.model.run import Collector

MOST_FUNCTIONS = 4
# callgrind knows an object by its .text; code in another section (tcmalloc's malloc and free) is filed under this name.
UNKNOWN_OBJECT = "???"
MOST_UNKNOWN = 0.1  # of the allocator's own instructions and the unknown ones; beyond it neither can be told


@dataclass(frozen=True, slots=True)
class InstructionRow:
    """One allocator on one workload. ``functions``: the allocator's costliest, with their instructions per pair.

    ``allocator_per_pair`` is None, and ``functions`` empty, where callgrind cannot tell the allocator's code.
    """

    workload: str
    workload_title: str
    allocator: str
    allocator_title: str
    is_subject: bool
    allocator_per_pair: (
        float | None
    )  # inside the object whose malloc served, per malloc call and the free that goes with it
    total_per_pair: float  # of the whole process
    functions: tuple[tuple[str, float], ...]
    pairs: int  # malloc calls of the run


def analyse_instructions(run: RunData) -> tuple[InstructionRow, ...]:
    """A row per counted workload and allocator, peers in the study's order, then the subject."""
    cells = ((workload, allocator) for workload in run.workloads for allocator in run.allocators)
    rows = (instructions_of(run, workload, allocator, "default") for workload, allocator in cells)
    return tuple(row for row in rows if row is not None)


def instructions_of(run: RunData, workload: str, allocator: str, variant: str) -> InstructionRow | None:
    """What callgrind counted for one allocator in one variant; None where it was not asked or could not tell."""
    is_cell = (pl.col("workload") == workload) & (pl.col("allocator") == allocator) & (pl.col("variant") == variant)
    counted = run.instructions.filter(is_cell)
    told = run.bench_of(Collector.CALLGRIND).filter(is_cell & (pl.col("total_malloc_calls") > 0))
    if not counted.height or not told.height or told["malloc_object"][0] is None:
        return None
    pairs = int(told["total_malloc_calls"][0])
    served = PurePosixPath(told["malloc_object"][0]).name
    own = counted.filter(pl.col("object").str.split("/").list.last() == served)
    if not own.height:
        return None
    own_count = int(own["instructions"].sum())
    unknown = int(counted.filter(pl.col("object") == UNKNOWN_OBJECT)["instructions"].sum())
    is_told = unknown <= MOST_UNKNOWN * (own_count + unknown)
    largest = own.sort(["instructions", "function"], descending=[True, False]).head(MOST_FUNCTIONS)
    return InstructionRow(
        workload=workload,
        workload_title=workload_title(run, workload),
        allocator=allocator,
        allocator_title=allocator_title(run, allocator),
        is_subject=allocator == run.subject,
        allocator_per_pair=own_count / pairs if is_told else None,
        total_per_pair=int(counted["instructions"].sum()) / pairs,
        functions=tuple(
            (name, count / pairs) for name, count in largest[["function", "instructions"]].iter_rows() if is_told
        ),
        pairs=pairs,
    )
