"""What a perf.data file holds after reading: aggregated samples, their stacks, and where their addresses belong."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from hakprof.parse.perf_data.kernel import RecordedKernel, recorded_kernel
from hakprof.parse.perf_data.processes import KERNEL_PID

SAMPLE_SCHEMA: dict[str, pl.DataType] = {
    "event": pl.UInt16(),
    "pid": pl.Int32(),
    "tid": pl.Int32(),
    "comm": pl.String(),
    "cpumode": pl.UInt8(),
    "ip": pl.UInt64(),
    "mapping": pl.Int32(),
    "stack_id": pl.UInt64(),
    "count": pl.UInt64(),
    "period": pl.UInt64(),
    "first_ns": pl.UInt64(),
    "last_ns": pl.UInt64(),
}
MAPPING_SCHEMA: dict[str, pl.DataType] = {
    "pid": pl.Int32(),
    "start": pl.UInt64(),
    "end": pl.UInt64(),
    "file_offset": pl.UInt64(),
    "path": pl.String(),
    "build_id": pl.String(),
    "since_ns": pl.UInt64(),
    "until_ns": pl.UInt64(),
    "is_executable": pl.Boolean(),
}


@dataclass(frozen=True, slots=True)
class PerfEvent:
    """One event of a recording, named as perf shows it.

    ``periods`` are the least and the most that one of its samples stands for, None without samples; ``is_time``: its
    samples fall in proportion to time.
    """

    index: int
    name: str
    type: int
    config: int
    frequency_hz: int | None
    period: int | None
    periods: tuple[int, int] | None
    is_time: bool


@dataclass(frozen=True, slots=True)
class Stacks:
    """Call chains of all stack ids, leaf first; stack id k (from 1) is the range offsets[k-1]:offsets[k].

    ``kernel`` tells kernel from user addresses; ``exact`` is False for return addresses, which point behind the call;
    ``mapping`` is the row of the mappings frame that holds the address, -1 for none. ``partial``, one for each chain,
    tells chains whose last callers could not be found.
    """

    offsets: npt.NDArray[np.int64]
    address: npt.NDArray[np.uint64]
    kernel: npt.NDArray[np.bool_]
    exact: npt.NDArray[np.bool_]
    mapping: npt.NDArray[np.int32]
    partial: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return self.offsets.size - 1

    def addresses(self, stack_id: int) -> tuple[int, ...]:
        """The addresses of one chain, leaf first; empty for stack id 0, the sample without a chain."""
        if stack_id == 0:
            return ()
        part = self.address[self.offsets[stack_id - 1] : self.offsets[stack_id]]
        return tuple(part.tolist())


@dataclass(frozen=True, slots=True)
class PerfProfile:
    """A recording, added up. ``samples`` (SAMPLE_SCHEMA) and ``mappings`` (MAPPING_SCHEMA) are sorted.

    One row of ``samples`` stands for ``count`` samples that agree in event, thread, name, address and call chain;
    times are perf's clock in ns (the file offset, when its first event has no times). ``mapping`` -1: no mapping known.
    ``record_counts`` are by the names that `perf report --stats` uses, with "TOTAL"; ``lost_samples`` are the
    kernel's own count. ``has_stacks``: user call chains were made of copies of stacks (--call-graph dwarf), otherwise
    by frame pointers. ``warnings`` are sentences for the reader of a report; ``truncated``: the recording's end is
    missing.
    """

    events: tuple[PerfEvent, ...]
    samples: pl.DataFrame
    stacks: Stacks
    mappings: pl.DataFrame
    comms: dict[int, tuple[str, ...]]
    build_ids: dict[str, str]
    record_counts: dict[str, int]
    lost_records: int
    lost_samples: int
    throttled: int
    unthrottled: int
    hostname: str | None
    os_release: str | None
    perf_version: str | None
    arch: str | None
    cpu_count: int | None
    command_line: tuple[str, ...]
    has_stacks: bool
    warnings: tuple[str, ...]
    truncated: bool

    @property
    def sample_count(self) -> int:
        """All samples of all events."""
        return int(self.samples["count"].sum())

    @property
    def recorded_kernel(self) -> RecordedKernel:
        """The kernel that ran."""
        own = self.mappings.filter(pl.col("pid") == KERNEL_PID)
        return recorded_kernel(own.select("path", "build_id", "start", "file_offset").iter_rows())

    @property
    def has_chains(self) -> bool:
        """Whether any sample has a call chain."""
        return len(self.stacks) > 0
