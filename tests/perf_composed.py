"""Recordings that cannot be made here (no such kernel support), put together record by record."""

import struct
from pathlib import Path

from hakprof.parse.perf_data.format import Record, SampleType

SAMPLE_TYPE = SampleType.IP | SampleType.TID | SampleType.TIME
_ATTR_SIZE = 128


def attr(sample_type: int = SAMPLE_TYPE, *, flags: int = 1 << 18) -> bytes:
    """A perf_event_attr for cpu-clock with sample_id_all."""
    fields = struct.pack("<IIQQQQQ", 1, _ATTR_SIZE, 0, 4000, sample_type, 0, flags | 1 << 10)
    return fields.ljust(_ATTR_SIZE, b"\0")


def packed(kind: int, content: bytes, *, misc: int = 0, padded: bool = True) -> bytes:
    """A record with its header."""
    content += bytes(-len(content) % 8 if padded else 0)
    return struct.pack("<IHH", kind, misc, 8 + len(content)) + content


def noted(kind: int, content: bytes, *, time: int, misc: int = 0) -> bytes:
    """A record of the kernel, with the thread and the time behind it."""
    content += bytes(-len(content) % 8)
    return packed(kind, content + struct.pack("<iiQ", 7, 7, time), misc=misc)


def sample(ip: int, *, time: int, misc: int = 2, tid: int = 7) -> bytes:
    """A sample of process 7."""
    return packed(Record.SAMPLE, struct.pack("<QiiQ", ip, 7, tid, time), misc=misc)


def mapped(path: str, start: int, size: int, *, time: int, kernel: bool = False, offset: int = 0) -> bytes:
    """A mapping of process 7, or of the kernel."""
    content = struct.pack("<iiQQQ", -1 if kernel else 7, 7, start, size, offset) + path.encode() + b"\0"
    return noted(Record.MMAP, content, time=time, misc=1 if kernel else 2)


def composed(path: Path, records: bytes, *, attrs: bytes | None = None) -> Path:
    """A perf.data file with one event and these records, and no feature sections."""
    entry = (attrs or attr()) + struct.pack("<QQ", 0, 0)
    data_at = 104 + len(entry)
    sections = (len(entry), 104, len(entry), data_at, len(records), 0, 0)
    header = struct.pack("<8s8Q", b"PERFILE2", 104, *sections).ljust(104, b"\0")
    path.write_bytes(header + entry + records)
    return path
