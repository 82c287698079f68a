"""Records other than samples: process events are kept, losses and throttling counted, the rest only counted."""

import re
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import PurePosixPath

from hakprof.parse.perf_data import format as fmt
from hakprof.parse.perf_data.kernel import kernel_path
from hakprof.parse.perf_data.processes import KERNEL_PID, CommEvent, ForkEvent, MapEvent, ProcessEvent

_BEYOND_ALL_KINDS = 256  # made-up kinds are counted together: each would take more room than its record
_NO_FILE = ("//anon", "/dev/zero", "/anon_hugepage", "[stack", "/SYSV", "[heap]")
_KSYMBOL = struct.Struct("<QIHH")
_PERF_MAP = re.compile(r"/tmp/perf-(\d+)\.map")  # noqa: S108 - it is the interface's name for code without a file


class RecordCollector:
    """Takes every record that is no sample; its events carry the time at which they happened."""

    def __init__(self, attrs: tuple[fmt.EventAttr, ...], on_rename: Callable[[int], None]) -> None:
        """``on_rename``: told of each thread that begins or takes a name, as soon as the record is met."""
        self.describe(attrs)
        self._on_rename = on_rename
        self.counts: Counter[int] = Counter()
        self.events: list[tuple[int, ProcessEvent]] = []
        self.lost_records = 0
        self.lost_samples = 0
        self.damaged = 0

    def describe(self, attrs: tuple[fmt.EventAttr, ...]) -> None:
        """Sets the events of the recording: they tell where in a record its time is."""
        self._time_at = attrs[0].trailer_offset(fmt.SampleType.TIME) if attrs else None
        self._has_times = bool(attrs) and attrs[0].has(fmt.SampleType.TIME)

    def take(self, kind: int, misc: int, record: memoryview, offset: int) -> int:
        """Takes in one record; returns the bytes of trace data that follow it outside any record."""
        self.counts[min(kind, _BEYOND_ALL_KINDS)] += 1
        try:
            return self._take(kind, misc, record, offset)
        except (struct.error, IndexError):
            self.damaged += 1
            return 0

    def _take(self, kind: int, misc: int, record: memoryview, offset: int) -> int:
        if kind in (fmt.Record.MMAP, fmt.Record.MMAP2):
            if misc & fmt.MISC_MMAP_DATA:
                return 0  # memory without code: nothing is sampled in it
            self._add(record, offset, parse_map(kind, misc, record))
        elif kind == fmt.Record.KSYMBOL:
            if not _KSYMBOL.unpack_from(record, 8)[3] & fmt.KSYMBOL_REMOVED:
                self._add(record, offset, parse_kernel_symbol(record))
        elif kind == fmt.Record.COMM:
            pid, tid = struct.unpack_from("<ii", record, 8)
            self._add(record, offset, CommEvent(pid, tid, _text(record, 16), bool(misc & fmt.MISC_COMM_EXEC)))
            self._on_rename(tid)
        elif kind == fmt.Record.FORK:
            pid, parent_pid, tid, parent_tid = struct.unpack_from("<4i", record, 8)
            copies = not misc & fmt.MISC_FORK_NO_MAPS
            self._add(record, offset, ForkEvent(pid, parent_pid, tid, parent_tid, copies))
            self._on_rename(tid)
        elif kind == fmt.Record.LOST:
            self.lost_records += struct.unpack_from("<Q", record, 16)[0]
        elif kind == fmt.Record.LOST_SAMPLES:
            self.lost_samples += struct.unpack_from("<Q", record, 8)[0]
        elif kind == fmt.Record.AUXTRACE:
            return int(struct.unpack_from("<Q", record, 8)[0])
        elif kind == fmt.Record.TRACING_DATA:
            return int(struct.unpack_from("<I", record, 8)[0] + 7) // 8 * 8
        return 0

    def _add(self, record: memoryview, offset: int, event: ProcessEvent) -> None:
        if not self._has_times:
            time = offset
        elif self._time_at is None:
            time = 0
        else:
            time = struct.unpack_from("<Q", record, len(record) - self._time_at)[0]
        self.events.append((time, event))


def parse_map(kind: int, misc: int, record: memoryview) -> MapEvent:
    """A MMAP or MMAP2 record; kernel and module mappings get KERNEL_PID whatever process caused them."""
    pid, _, start, length, offset = struct.unpack_from("<iiQQQ", record, 8)
    identity = None
    if kind == fmt.Record.MMAP2:
        if misc & fmt.MISC_MMAP_BUILD_ID:
            size = min(record[40], 20)
            identity = bytes(record[44 : 44 + size]).hex()
        path = _text(record, 72)
    else:
        path = _text(record, 40)
    if misc & fmt.CPUMODE_MASK == fmt.CPUMODE_KERNEL:
        pid, path = KERNEL_PID, kernel_path(path)
    elif path.startswith(_NO_FILE):
        # Code that was made in memory: perf looks for its names where just-in-time compilers leave them.
        path, offset = f"/tmp/perf-{pid}.map", start  # noqa: S108 - it is the interface's name for them
    return MapEvent(pid, start, min(start + length, 2**64 - 1), offset, path, identity)


def parse_kernel_symbol(record: memoryview) -> MapEvent:
    """A KSYMBOL record: code that the kernel made, such as a BPF program, as an object of its own."""
    start, length, _, _ = _KSYMBOL.unpack_from(record, 8)
    name = _text(record, 8 + _KSYMBOL.size)
    return MapEvent(KERNEL_PID, start, min(start + length, 2**64 - 1), start, name, None)


def short_name(path: str) -> str:
    """How perf shows an object: the file's name only; names in brackets as they are, code without a file as "[JIT] tid"
    and the process.
    """
    if path.startswith("["):
        return path
    made = _PERF_MAP.fullmatch(path)
    return f"[JIT] tid {made[1]}" if made else PurePosixPath(path).name or path


def _text(record: memoryview, start: int) -> str:
    return bytes(record[start:]).split(b"\0", 1)[0].decode("utf-8", "backslashreplace")
