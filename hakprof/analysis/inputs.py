"""What the analysis reads: everything of one run that the earlier stages made, in frames of documented schemas.

Built by :mod:`hakprof.pipeline`; the tests build it from small literals.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from hakprof.model.frames import (
    ALLOCATOR_COUNTERS,
    BENCH,
    CELL_KEY,
    COUNTERS,
    INSTRUCTIONS,
    ROUTES,
    SAMPLES,
    SYSCALLS,
    Schema,
)
from hakprof.model.run import CellResult, Collector, Manifest
from hakprof.parse.cells import RouteSample
from hakprof.project.schema import Project, Study

# Call stacks of the recorded cells, for flame graphs: root → leaf, inlined functions expanded.
STACKS: Schema = CELL_KEY | {"event": pl.String, "frames": pl.List(pl.String), "layer": pl.String, "count": pl.Int64}

# Source lines of the recorded cells: where the samples of a layer are.
LINES: Schema = CELL_KEY | {
    "event": pl.String,
    "layer": pl.String,
    "function": pl.String,
    "file": pl.String,  # null where the binary has no line table
    "line": pl.Int64,
    "count": pl.Int64,
}


@dataclass(frozen=True, slots=True)
class ProfileFacts:
    """What perf said of one recording, apart from its samples."""

    cell: str
    time_event: str | None  # the event whose samples are time; None if the recording has none
    samples: int  # of the time event
    lost_samples: int = 0
    throttled: int = 0
    truncated: bool = False
    build_ids: Mapping[str, str] = field(default_factory=dict)  # path of the mapped object → build id
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunData:
    """One run, parsed and attributed. Frames follow :mod:`hakprof.model.frames`."""

    name: str
    manifest: Manifest
    project: Project
    results: tuple[CellResult, ...]
    bench: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=BENCH))
    counters: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=COUNTERS))
    syscalls: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=SYSCALLS))
    allocator_counters: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ALLOCATOR_COUNTERS))
    instructions: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=INSTRUCTIONS))
    samples: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=SAMPLES))
    stacks: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=STACKS))
    lines: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=LINES))
    routes: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=ROUTES))
    route_samples: tuple[RouteSample, ...] = ()
    profiles: tuple[ProfileFacts, ...] = ()
    layer_titles: Mapping[str, str] = field(default_factory=dict)
    unmatched_layers: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        return self.manifest.subject

    @property
    def is_damaged(self) -> bool:
        """Whether something stored could not be read whole: cut off, left out, or without its symbols."""
        return any("remedy: " in warning for warning in self.warnings) or any(one.truncated for one in self.profiles)

    @property
    def study(self) -> Study:
        return self.project.studies[self.manifest.study]

    @property
    def workloads(self) -> tuple[str, ...]:
        """Workloads that the run planned, in the study's order."""
        planned = {cell.workload for cell in self.manifest.cells}
        return tuple(name for name in self.study.workloads if name in planned)

    @property
    def allocators(self) -> tuple[str, ...]:
        """Peers in the study's order, then the subject."""
        planned = {cell.allocator for cell in self.manifest.cells}
        return (*(name for name in self.study.peers if name in planned), self.subject)

    def results_of(self, collector: Collector) -> tuple[CellResult, ...]:
        return tuple(result for result in self.results if result.cell.collector == collector)

    def bench_of(self, collector: Collector) -> pl.DataFrame:
        """Benchmark lines of the cells that ended well under ``collector``."""
        real = pl.col("allocator_mode").fill_null("real") == "real"  # ceilings are no allocator's throughput
        return self.bench.filter((pl.col("collector") == str(collector)) & (pl.col("status") == "ok") & real)

    def time_samples(self) -> pl.DataFrame:
        """Samples of each recording's time event: what shares of time are made of."""
        return self.time_only(self.samples)

    def time_only(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows of samples, stacks or lines that belong to their recording's time event."""
        events = {profile.cell: profile.time_event for profile in self.profiles if profile.time_event}
        if not events:
            return frame.clear()
        keys = pl.DataFrame({"cell": list(events), "event": list(events.values())})
        return frame.join(keys, on=["cell", "event"], how="semi", maintain_order="left")
