"""Samples by address and thread name alone, for tables of functions. Numpy arrays: polars takes long to import."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hakprof.grouping import grouped
from hakprof.parse.perf_data.aggregate import SampleTable
from hakprof.parse.perf_data.format import CPUMODE_KERNEL
from hakprof.parse.perf_data.header import Notes
from hakprof.parse.perf_data.kernel import RecordedKernel, recorded_kernel
from hakprof.parse.perf_data.processes import KERNEL_PID, ProcessHistory
from hakprof.parse.perf_data.walk import Indices, Words


@dataclass(frozen=True, slots=True)
class CodeObject:
    """A file, or what stands for one (`[vdso]`, `[kernel.kallsyms]`), that was mapped."""

    path: str
    build_id: str | None


@dataclass(frozen=True, slots=True)
class FlatSamples:
    """A recording by (event, thread name, address); arrays of equal length, with ``count`` and ``period`` summed.

    ``object`` numbers ``objects``, -1 where no mapping is known; ``place`` is the offset in that file, and the address
    itself for ``kernel`` code and where no mapping is known. ``event`` numbers ``events``, ``comm`` numbers ``comms``.
    """

    events: tuple[str, ...]
    periods: tuple[tuple[int, int] | None, ...]  # of each event, as in PerfEvent
    is_time: tuple[bool, ...]
    comms: tuple[str, ...]
    objects: tuple[CodeObject, ...]
    recorded_kernel: RecordedKernel
    event: npt.NDArray[np.uint16]
    comm: Indices
    object: Indices
    kernel: npt.NDArray[np.bool_]
    place: Words
    count: Words
    period: Words
    warnings: tuple[str, ...]
    truncated: bool


def flat_samples(
    table: SampleTable,
    history: ProcessHistory,
    notes: Notes,
    events: tuple[str, ...],
    *,
    periods: tuple[tuple[int, int] | None, ...],
    is_time: tuple[bool, ...],
    warnings: tuple[str, ...],
    truncated: bool,
) -> FlatSamples:
    """Rows of the table placed in their objects, and those that differ in thread or time only added up."""
    mapping = history.resolve(table.pid, table.cpumode, table.ip, table.first)
    objects: dict[CodeObject, int] = {}
    of_mapping = np.array(
        [
            *(
                objects.setdefault(CodeObject(row.path, row.build_id or notes.build_ids.get(row.path)), len(objects))
                for row in history.mappings
            ),
            -1,
        ]
    )
    shift = np.array([*((row.file_offset - row.start) % 2**64 for row in history.mappings), 0], dtype=np.uint64)
    kernel = table.cpumode == CPUMODE_KERNEL
    comm, comms = history.comms(table.tid, table.first)
    number = of_mapping[mapping]
    place = np.where(kernel, table.ip, table.ip + shift[mapping])
    group, heads = grouped([table.event, comm, number, kernel, place])
    return FlatSamples(
        events=events,
        periods=periods,
        is_time=is_time,
        comms=comms,
        objects=tuple(objects),
        recorded_kernel=recorded_kernel(
            (row.path, row.build_id or notes.build_ids.get(row.path), row.start, row.file_offset)
            for row in history.mappings
            if row.pid == KERNEL_PID
        ),
        event=table.event[heads],
        comm=comm[heads],
        object=number[heads],
        kernel=kernel[heads],
        place=place[heads],
        count=_sums(table.count, group, heads.size),
        period=_sums(table.period, group, heads.size),
        warnings=warnings,
        truncated=truncated,
    )


def _sums(values: Words, group: Indices, groups: int) -> Words:
    sums = np.zeros(groups, dtype=np.uint64)
    np.add.at(sums, group, values)
    return sums
