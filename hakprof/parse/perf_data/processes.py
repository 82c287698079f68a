"""Which program, thread name and mapping a sample belongs to, as of its time.

The records that say so (COMM, FORK, MMAP) are few; they are gathered while samples are added up and replayed afterwards
in order of time, as perf does. Only a thread that changed in the middle of one of its rows needs a second look.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hakprof.parse.perf_data.format import CPUMODE_KERNEL, CPUMODE_USER
from hakprof.parse.perf_data.spaces import Mapping, OpenMappings, SpaceIndex
from hakprof.parse.perf_data.timeline import Timeline
from hakprof.parse.perf_data.walk import Indices, Words

KERNEL_PID = -1
_IDLE = 0  # the thread of a processor that has nothing to do
# Each fork copies the mappings of its parent: so many in all, and more where more was recorded.
_MOST_COPIES, _COPIES_PER_EVENT = 1 << 18, 4


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


class ProcessHistory:
    """Names and mappings over time, from events in order of time. Without ``is_timed`` that order is not sure."""

    def __init__(self, events: list[tuple[int, ProcessEvent]], *, is_timed: bool = True) -> None:
        self._is_timed = is_timed
        self.mappings: list[Mapping] = []
        self.executables: set[str] = set()
        self._open: dict[int, OpenMappings] = defaultdict(OpenMappings)
        self._changes: dict[int, list[int]] = {}  # of every process that has mappings
        # Of every thread the times at which it began anew or took another name, and its names: one more, of which the
        # first is that before all times. None: no record has told it yet.
        self._comm_times: dict[int, list[int]] = defaultdict(list)
        self._comms: dict[int, list[str | None]] = defaultdict(lambda: [None])
        self._comms[_IDLE] = ["swapper"]
        self._fresh: set[int] = set()
        self._copies_left = _MOST_COPIES + _COPIES_PER_EVENT * len(events)
        self.forgotten_forks = 0  # whose mappings were not copied, being too many
        for time, event in sorted(events, key=lambda pair: pair[0]):
            if isinstance(event, CommEvent):
                self._take_comm(time, event)
            elif isinstance(event, ForkEvent):
                self._take_fork(time, event)
            else:
                self._take_map(time, event)

    def comms(self, tid: npt.NDArray[np.int32], time: Words) -> tuple[Indices, tuple[str, ...]]:
        """The name of each thread at that time, as an index, and the names; perf's stand-in where none was recorded."""
        stretch = self._name_times.at(tid, time)
        numbers: dict[str, int] = {}
        of_stretch = [
            numbers.setdefault(name or _stand_in(thread), len(numbers))
            for thread in sorted(self._comms)
            for name in self._comms[thread]
        ]
        comm = np.array([*of_stretch, -1], dtype=np.int64)[stretch]
        nameless = np.flatnonzero(stretch < 0)
        threads, which = np.unique(tid[nameless], return_inverse=True)
        stand_ins = [numbers.setdefault(_stand_in(thread), len(numbers)) for thread in threads.tolist()]
        comm[nameless] = np.array(stand_ins, dtype=np.int64)[which]
        return comm, tuple(numbers)

    def moments(self, pid: npt.NDArray[np.int32], tid: npt.NDArray[np.int32], time: Words) -> Words:
        """A number for the name of each thread and the mappings of its process at that time."""
        names, spaces = self._name_times.at(tid, time), self.spaces(pid, time)
        return (names.astype(np.uint64) << np.uint64(32)) + spaces.astype(np.uint64)

    def changes(self, pids: Iterable[int], tid: int) -> Words:
        """Times, ascending, at which the thread's name or a mapping of one of its processes was replaced."""
        times = [self._comm_times.get(tid, []), *(self._changes.get(pid, []) for pid in pids)]
        return np.unique(np.concatenate([np.array(each, dtype=np.uint64) for each in times]))

    def spaces(self, pid: npt.NDArray[np.int32], time: Words) -> Indices:
        """A number for what each process had mapped at that time; -1 for a process without mappings."""
        return self.index.spaces(pid, time)

    def find(self, space: Indices, address: Words) -> npt.NDArray[np.int32]:
        """Index into ``mappings`` of the one that holds each address in that space; -1 for none."""
        return self.index.find(space, address) if self._is_timed else self.index.find_late(space, address)

    def comm_names(self) -> dict[int, tuple[str, ...]]:
        """Every name that each thread had, in order of time."""
        known = {tid: tuple(filter(None, names)) for tid, names in sorted(self._comms.items()) if tid != _IDLE}
        return {tid: names for tid, names in known.items() if names}

    def resolve(
        self, pid: npt.NDArray[np.int32], mode: npt.NDArray[np.uint8], address: Words, time: Words
    ) -> npt.NDArray[np.int32]:
        """Index into ``mappings`` of the one that holds each address at that time; -1 for none."""
        owner = np.where(mode == CPUMODE_KERNEL, KERNEL_PID, pid).astype(np.int32)
        space = self.spaces(owner, time)
        space[(mode != CPUMODE_KERNEL) & (mode != CPUMODE_USER)] = -1
        return self.find(space, address)

    @cached_property
    def index(self) -> SpaceIndex:
        """All mappings, to be searched."""
        return SpaceIndex(self.mappings, self._changes)

    @cached_property
    def _name_times(self) -> Timeline:
        return Timeline({tid: self._comm_times.get(tid, ()) for tid in self._comms})

    def _take_comm(self, time: int, event: CommEvent) -> None:
        self._name(event.tid, time, event.comm)
        if event.is_exec:
            # The mappings from before stay until others take their place: what the kernel does before the new program
            # runs was called from the old one.
            self._fresh.add(event.pid)

    def _take_fork(self, time: int, event: ForkEvent) -> None:
        self._begin(event.tid, time, self._comms[event.parent_tid][-1])
        if event.pid == event.parent_pid or not event.copies_maps:
            return
        self._clear(event.pid, time)
        inherited = self._open[event.parent_pid].rows() if event.parent_pid in self._open else []
        self._copies_left -= len(inherited)
        if self._copies_left < 0:
            self.forgotten_forks += 1
            return
        for index in inherited:
            row = self.mappings[index]
            self._map(Mapping(event.pid, row.start, row.end, row.file_offset, row.path, row.build_id, time))

    def _take_map(self, time: int, event: MapEvent) -> None:
        if event.end <= event.start:
            return
        is_file = event.path.startswith("/") and not event.path.startswith("//")
        is_new = event.pid != KERNEL_PID and event.pid not in self._open
        if is_file and (event.pid in self._fresh or is_new):
            # The first file mapped after an exec is the program itself.
            self._fresh.discard(event.pid)
            self.executables.add(event.path)
        self._cut(event, time)
        self._map(Mapping(event.pid, event.start, event.end, event.file_offset, event.path, event.build_id, time))

    def _name(self, tid: int, time: int, comm: str) -> None:
        """A thread takes a name: the first one holds from its beginning, whatever was lost of that, as for perf."""
        names = self._comms[tid]
        if names[-1] is None:
            names[-1] = comm
        elif names[-1] != comm:
            self._begin(tid, time, comm)

    def _begin(self, tid: int, time: int, comm: str | None) -> None:
        """From here on a thread has another name, or another thread its number."""
        times, names = self._comm_times[tid], self._comms[tid]
        if times and times[-1] == time:
            names[-1] = comm
        elif names[-1] != comm or comm is None:
            times.append(time)
            names.append(comm)

    def _clear(self, pid: int, time: int) -> None:
        """Ends all mappings of a process."""
        for index in self._open[pid].rows():
            self.mappings[index].until = time
            self._change(pid, time)
        self._open[pid] = OpenMappings()

    def _cut(self, event: MapEvent, time: int) -> None:
        """Ends what the new mapping covers; parts that stick out on either side live on."""
        rest = []
        for index in self._open[event.pid].take(self.mappings, event.start, event.end):
            row = self.mappings[index]
            row.until = time
            self._change(event.pid, time)
            if row.start < event.start:
                rest.append((row.start, event.start, row.file_offset, row))
            if row.end > event.end:
                rest.append((event.end, row.end, (row.file_offset + event.end - row.start) % 2**64, row))
        for start, end, offset, row in rest:
            self._map(Mapping(row.pid, start, end, offset, row.path, row.build_id, time))

    def _map(self, row: Mapping) -> None:
        self._changes.setdefault(row.pid, [])
        self._open[row.pid].add(row.start, len(self.mappings))
        self.mappings.append(row)

    def _change(self, pid: int, time: int) -> None:
        changes = self._changes[pid]
        if not changes or changes[-1] != time:
            changes.append(time)


def _stand_in(tid: int) -> str:
    """How perf calls a thread without a name."""
    return f":{tid}"
