"""Numbers of the perf.data format: record types, sample fields, event attributes.

Sources: linux/include/uapi/linux/perf_event.h (records below 64, sample_type, read_format) and
linux/tools/perf/Documentation/perf.data-file-format.txt (file header, features, records from 64).
"""

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag

MAGIC = b"PERFILE2"
MAGIC_SWAPPED = MAGIC[::-1]
FILE_HEADER_SIZE = 104
PIPE_HEADER_SIZE = 16
ATTR_MINIMUM_SIZE = 64


class Record(IntEnum):
    """Record types that the reader acts on; all others are counted and passed over."""

    MMAP = 1
    LOST = 2
    COMM = 3
    EXIT = 4
    THROTTLE = 5
    UNTHROTTLE = 6
    FORK = 7
    SAMPLE = 9
    MMAP2 = 10
    LOST_SAMPLES = 13
    KSYMBOL = 17
    HEADER_ATTR = 64
    TRACING_DATA = 66
    BUILD_ID = 67
    AUXTRACE = 71
    EVENT_UPDATE = 78
    HEADER_FEATURE = 80
    COMPRESSED = 81
    COMPRESSED2 = 83


# The names that `perf report --stats` prints.
RECORD_NAMES = {
    1: "MMAP",
    2: "LOST",
    3: "COMM",
    4: "EXIT",
    5: "THROTTLE",
    6: "UNTHROTTLE",
    7: "FORK",
    8: "READ",
    9: "SAMPLE",
    10: "MMAP2",
    11: "AUX",
    12: "ITRACE_START",
    13: "LOST_SAMPLES",
    14: "SWITCH",
    15: "SWITCH_CPU_WIDE",
    16: "NAMESPACES",
    17: "KSYMBOL",
    18: "BPF_EVENT",
    19: "CGROUP",
    20: "TEXT_POKE",
    21: "AUX_OUTPUT_HW_ID",
    64: "ATTR",
    65: "EVENT_TYPE",
    66: "TRACING_DATA",
    67: "BUILD_ID",
    68: "FINISHED_ROUND",
    69: "ID_INDEX",
    70: "AUXTRACE_INFO",
    71: "AUXTRACE",
    72: "AUXTRACE_ERROR",
    73: "THREAD_MAP",
    74: "CPU_MAP",
    75: "STAT_CONFIG",
    76: "STAT",
    77: "STAT_ROUND",
    78: "EVENT_UPDATE",
    79: "TIME_CONV",
    80: "FEATURE",
    81: "COMPRESSED",
    82: "FINISHED_INIT",
    83: "COMPRESSED2",
}


class SampleType(IntFlag):
    """Bits of perf_event_attr.sample_type: which fields a sample has, in the order of the fields."""

    IP = 1 << 0
    TID = 1 << 1
    TIME = 1 << 2
    ADDR = 1 << 3
    READ = 1 << 4
    CALLCHAIN = 1 << 5
    ID = 1 << 6
    CPU = 1 << 7
    PERIOD = 1 << 8
    STREAM_ID = 1 << 9
    RAW = 1 << 10
    BRANCH_STACK = 1 << 11
    REGS_USER = 1 << 12
    STACK_USER = 1 << 13
    IDENTIFIER = 1 << 16


class ReadFormat(IntFlag):
    """Bits of perf_event_attr.read_format."""

    TOTAL_TIME_ENABLED = 1 << 0
    TOTAL_TIME_RUNNING = 1 << 1
    ID = 1 << 2
    GROUP = 1 << 3
    LOST = 1 << 4


class Feature(IntEnum):
    """Bits of the header's feature map that the reader uses."""

    BUILD_ID = 2
    HOSTNAME = 3
    OSRELEASE = 4
    VERSION = 5
    ARCH = 6
    NRCPUS = 7
    CMDLINE = 11
    EVENT_DESC = 12


# Misc bits of a record header.
CPUMODE_MASK = 7
CPUMODE_KERNEL = 1
CPUMODE_USER = 2
MISC_MMAP_DATA = 1 << 13
MISC_MMAP_BUILD_ID = 1 << 14
MISC_COMM_EXEC = 1 << 13
MISC_FORK_NO_MAPS = 1 << 13
KSYMBOL_REMOVED = 1 << 0
MISC_BUILD_ID_SIZE = 1 << 15

# Words of a call chain at or above this one are markers that say which space the next addresses belong to.
CONTEXT_MAX = 2**64 - 4095
CHAIN_CUT = CONTEXT_MAX  # hakprof's own, never written by perf: the callers beyond are not known
CONTEXT_HYPERVISOR = 2**64 - 32
CONTEXT_KERNEL = 2**64 - 128
CONTEXT_USER = 2**64 - 512
CONTEXT_USER_DEFERRED = 2**64 - 640

BRANCH_INDEX = 1 << 17  # of branch_sample_type
INHERIT_FLAG = 1 << 1
FREQ_FLAG = 1 << 10
SAMPLE_ID_ALL_FLAG = 1 << 18
_ATTR = struct.Struct("<IIQQQQQ")
_ATTR_SIZE_WITH_REGISTERS = 96


@dataclass(frozen=True, slots=True)
class EventAttr:
    """One perf_event_attr with the ids of the counters that were opened for it."""

    type: int
    config: int
    period_or_frequency: int
    sample_type: int
    read_format: int
    flags: int
    ids: tuple[int, ...]
    branch_type: int = 0
    user_registers: int = 0

    @property
    def uses_frequency(self) -> bool:
        """Whether ``period_or_frequency`` is samples per second rather than events per sample."""
        return bool(self.flags & FREQ_FLAG)

    def has(self, field: SampleType) -> bool:
        """Whether samples of this event carry the field."""
        return bool(self.sample_type & field)

    def trailer_offset(self, field: SampleType) -> int | None:
        """Bytes from a non-sample record's end back to ``field``; None when it has no such field.

        With sample_id_all every record ends in TID, TIME, ID, STREAM_ID, CPU, IDENTIFIER, as far as present.
        """
        if not self.flags & SAMPLE_ID_ALL_FLAG or not self.has(field):
            return None
        order = (
            SampleType.TID,
            SampleType.TIME,
            SampleType.ID,
            SampleType.STREAM_ID,
            SampleType.CPU,
            SampleType.IDENTIFIER,
        )
        after = order[order.index(field) :]
        return 8 * sum(self.has(each) for each in after)


def parse_attr(raw: bytes, ids: tuple[int, ...]) -> EventAttr:
    """The fields that the reader needs of a perf_event_attr; ``raw`` must hold at least 64 bytes."""
    kind, size, config, period, sample_type, read_format, flags = _ATTR.unpack_from(raw)
    branch_type, user_registers = 0, 0
    if size >= _ATTR_SIZE_WITH_REGISTERS and len(raw) >= _ATTR_SIZE_WITH_REGISTERS:
        branch_type, user_registers = struct.unpack_from("<QQ", raw, 72)
    return EventAttr(kind, config, period, sample_type, read_format, flags, ids, branch_type, user_registers)
