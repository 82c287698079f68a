"""Which program, thread name and mapping a sample belongs to, as of its time.

The records that say so (COMM, FORK, MMAP) are few; they are gathered while samples are added up and replayed afterwards
in order of time, as perf does. Only a thread that changed in the middle of one of its rows needs a second look.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from hakprof.parse.perf_data.format import CPUMODE_KERNEL, CPUMODE_USER
from hakprof.parse.perf_data.walk import Indices, Words

KERNEL_PID = -1
_ALWAYS = 2**64 - 1
# Each fork copies the mappings of its parent: so many in all, and more where more was recorded.
_MOST_COPIES, _COPIES_PER_EVENT = 1 << 18, 4
_NO_ADDRESSES, _NO_ROWS = np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class CommEvent:
    """A thread took a name; ``is_exec`` when by starting another program."""

    pid: int
    tid: int
    comm: str
    is_exec: bool


@dataclass(frozen=True, slots=True)
class ForkEvent:
    """A thread or process began; ``copies_maps`` unless perf will list its mappings itself."""

    pid: int
    parent_pid: int
    tid: int
    parent_tid: int
    copies_maps: bool


@dataclass(frozen=True, slots=True)
class MapEvent:
    """Executable memory was mapped at [start, end)."""

    pid: int
    start: int
    end: int
    file_offset: int
    path: str
    build_id: str | None


ProcessEvent = CommEvent | ForkEvent | MapEvent


@dataclass(slots=True)
class Mapping:
    """A stretch of a process's memory and the time [since, until) in which it was there."""

    pid: int
    start: int
    end: int
    file_offset: int
    path: str
    build_id: str | None
    since: int
    until: int | None = None


@dataclass(slots=True)
class _Space:
    """The open mappings of one process, ascending and disjoint, and the times at which any was replaced."""

    starts: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    changes: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Layout:
    """All mappings that a process ever had, ascending by address, with the times [since, until) as columns."""

    starts: Words
    ends: Words
    since: Words
    until: Words
    rows: npt.NDArray[np.int32]

    @classmethod
    def of(cls, mappings: list[Mapping], rows: list[int]) -> "_Layout":
        rows = sorted(rows, key=lambda r: mappings[r].start)
        chosen = [mappings[r] for r in rows]
        return cls(
            starts=np.array([m.start for m in chosen], dtype=np.uint64),
            ends=np.array([m.end for m in chosen], dtype=np.uint64),
            since=np.array([m.since for m in chosen], dtype=np.uint64),
            until=np.array([_ALWAYS if m.until is None else m.until for m in chosen], dtype=np.uint64),
            rows=np.array(rows, dtype=np.int32),
        )

    def between(self, begin: int, end: list[int]) -> tuple[Words, Words, npt.NDArray[np.int32]]:
        """Starts, ends and rows of what was there in [begin, end[0]), to the end of the recording without ``end``."""
        present = self.until > np.uint64(begin)
        if end:
            present &= self.since < np.uint64(end[0])
        return self.starts[present], self.ends[present], self.rows[present]


class ProcessHistory:
    """Names and mappings over time, from events in order of time."""

    def __init__(self, events: list[tuple[int, ProcessEvent]]) -> None:
        self.mappings: list[Mapping] = []
        self.executables: set[str] = set()
        self._spaces: dict[int, _Space] = defaultdict(_Space)
        self._comm_times: dict[int, list[int]] = defaultdict(list)
        self._comms: dict[int, list[str]] = defaultdict(list)
        self._fresh: set[int] = set()
        self._by_pid: dict[int, list[int]] = defaultdict(list)
        self._layouts: dict[int, _Layout] = {}
        self._copies_left = _MOST_COPIES + _COPIES_PER_EVENT * len(events)
        self.forgotten_forks = 0  # whose mappings were not copied, being too many
        for time, event in sorted(events, key=lambda pair: pair[0]):
            if isinstance(event, CommEvent):
                self._take_comm(time, event)
            elif isinstance(event, ForkEvent):
                self._take_fork(time, event)
            else:
                self._take_map(time, event)

    def comms(self, tid: npt.NDArray[np.int32], time: Words) -> list[str]:
        """The name of each thread at that time; perf's own stand-in where none was recorded."""
        result = np.empty(tid.size, dtype=object)
        for thread, part in _parts(tid):
            times = np.array(self._comm_times.get(thread, []), dtype=np.uint64)
            unnamed = "swapper" if thread == 0 else f":{thread}"
            names = np.array([unnamed, *self._comms.get(thread, [])], dtype=object)
            result[part] = names[np.searchsorted(times, time[part], side="right")]
        return result.tolist()

    def changes(self, pids: Iterable[int], tid: int) -> Words:
        """Times, ascending, at which the thread's name or a mapping of one of its processes was replaced."""
        times = [self._comm_times.get(tid, []), *(self._spaces[p].changes for p in pids if p in self._spaces)]
        return np.unique(np.concatenate([np.array(each, dtype=np.uint64) for each in times]))

    def map_epochs(self, pid: npt.NDArray[np.int32], time: Words) -> Indices:
        """How many times mappings of each process had been replaced by then."""
        result = np.zeros(pid.size, dtype=np.int64)
        for process, part in _parts(pid):
            space = self._spaces.get(process)
            if space is not None:
                result[part] = np.searchsorted(np.array(space.changes, dtype=np.uint64), time[part], side="right")
        return result

    def comm_names(self) -> dict[int, tuple[str, ...]]:
        """Every name that each thread had, in order of time."""
        return {tid: tuple(names) for tid, names in sorted(self._comms.items())}

    def resolve(
        self, pid: npt.NDArray[np.int32], mode: npt.NDArray[np.uint8], address: Words, time: Words
    ) -> npt.NDArray[np.int32]:
        """Index into ``mappings`` of the one that holds each address at that time; -1 for none."""
        result = np.full(address.size, -1, dtype=np.int32)
        is_user = mode == CPUMODE_USER
        owner = np.where(mode == CPUMODE_KERNEL, KERNEL_PID, pid)
        for process, part in _parts(owner):
            chosen = part if process == KERNEL_PID else part[is_user[part]]
            self._resolve_process(process, chosen, address, time, result)
        return result

    def _resolve_process(
        self, pid: int, part: Indices, address: Words, time: Words, result: npt.NDArray[np.int32]
    ) -> None:
        if pid not in self._spaces or not part.size:
            return
        changes = np.array(self._spaces[pid].changes, dtype=np.uint64)
        epochs = np.searchsorted(changes, time[part], side="right")
        for epoch in np.unique(epochs).tolist():
            starts, ends, rows = self.space(pid, epoch)
            if not rows.size:
                continue
            chosen = part[epochs == epoch]
            slot = np.searchsorted(starts, address[chosen], side="right") - 1
            inside = (slot >= 0) & (address[chosen] < ends[slot])
            result[chosen[inside]] = rows[slot[inside]]

    def space(self, pid: int, epoch: int) -> tuple[Words, Words, npt.NDArray[np.int32]]:
        """Starts, ends and indices of a process's mappings between two changes (``map_epochs``), ascending."""
        if pid not in self._spaces:
            return _NO_ADDRESSES, _NO_ADDRESSES, _NO_ROWS
        if pid not in self._layouts:
            self._layouts[pid] = _Layout.of(self.mappings, self._rows_of(pid))
        changes = self._spaces[pid].changes
        return self._layouts[pid].between(changes[epoch - 1] if epoch else 0, changes[epoch : epoch + 1])

    def _rows_of(self, pid: int) -> list[int]:
        if not self._by_pid:
            for index, row in enumerate(self.mappings):
                self._by_pid[row.pid].append(index)
        return self._by_pid[pid]

    def _take_comm(self, time: int, event: CommEvent) -> None:
        self._name(event.tid, time, event.comm)
        if event.is_exec:
            # The mappings from before stay until others take their place: what the kernel does before the new program
            # runs was called from the old one.
            self._fresh.add(event.pid)

    def _take_fork(self, time: int, event: ForkEvent) -> None:
        parent_names = self._comms.get(event.parent_tid)
        if parent_names:
            self._name(event.tid, time, parent_names[-1])
        if event.pid == event.parent_pid or not event.copies_maps:
            return
        self._clear(event.pid, time)
        inherited = list(self._spaces[event.parent_pid].rows) if event.parent_pid in self._spaces else []
        self._copies_left -= len(inherited)
        if self._copies_left < 0:
            self.forgotten_forks += 1
            return
        for index in inherited:
            row = self.mappings[index]
            self._open(Mapping(event.pid, row.start, row.end, row.file_offset, row.path, row.build_id, time))

    def _take_map(self, time: int, event: MapEvent) -> None:
        if event.end <= event.start:
            return
        is_file = event.path.startswith("/") and not event.path.startswith("//")
        is_new = event.pid != KERNEL_PID and event.pid not in self._spaces
        if is_file and (event.pid in self._fresh or is_new):
            # The first file mapped after an exec is the program itself.
            self._fresh.discard(event.pid)
            self.executables.add(event.path)
        self._cut(event, time)
        self._open(Mapping(event.pid, event.start, event.end, event.file_offset, event.path, event.build_id, time))

    def _name(self, tid: int, time: int, comm: str) -> None:
        times, names = self._comm_times[tid], self._comms[tid]
        if names and names[-1] == comm:
            return
        if times and times[-1] == time:
            names[-1] = comm
            return
        times.append(time)
        names.append(comm)

    def _clear(self, pid: int, time: int) -> None:
        """Ends all mappings of a process."""
        space = self._spaces[pid]
        for index in space.rows:
            self.mappings[index].until = time
        if space.rows:
            self._changed(space, time)
        space.starts.clear()
        space.rows.clear()

    def _cut(self, event: MapEvent, time: int) -> None:
        """Ends what the new mapping covers; parts that stick out on either side live on."""
        space = self._spaces[event.pid]
        first = max(bisect_right(space.starts, event.start) - 1, 0)
        last = bisect_left(space.starts, event.end)
        if first < last and self.mappings[space.rows[first]].end <= event.start:
            first += 1  # the one before ends before; all others up to ``last`` lie under the new one
        covered = space.rows[first:last]
        if not covered:
            return
        rest = []
        for index in covered:
            row = self.mappings[index]
            row.until = time
            if row.start < event.start:
                rest.append((row.start, event.start, row.file_offset, row))
            if row.end > event.end:
                rest.append((event.end, row.end, (row.file_offset + event.end - row.start) % 2**64, row))
        del space.rows[first:last], space.starts[first:last]
        self._changed(space, time)
        for start, end, offset, row in rest:
            self._open(Mapping(row.pid, start, end, offset, row.path, row.build_id, time))

    def _open(self, row: Mapping) -> None:
        space = self._spaces[row.pid]
        at = bisect_left(space.starts, row.start)
        space.starts.insert(at, row.start)
        space.rows.insert(at, len(self.mappings))
        self.mappings.append(row)

    @staticmethod
    def _changed(space: _Space, time: int) -> None:
        if not space.changes or space.changes[-1] != time:
            space.changes.append(time)


def _parts(values: npt.NDArray[np.int32]) -> Iterator[tuple[int, Indices]]:
    """Each distinct value with the positions that hold it."""
    if values.size:
        order = np.argsort(values, kind="stable")
        for part in np.split(order, np.flatnonzero(np.diff(values[order])) + 1):
            yield int(values[part[0]]), part
