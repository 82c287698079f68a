"""The file header of perf.data: where the records are, the events, and what perf noted about the machine."""

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from hakprof.errors import ParseError
from hakprof.parse.perf_data import format as fmt
from hakprof.parse.perf_data.names import event_name

_RECORD_AGAIN = "record again with `perf record -o perf.data …`"
_MAX_TABLE_BYTES = 64 << 20
_MAX_EVENTS = 1 << 16  # the tables number them in 16 bits
_BUILD_ID_BYTES = 20


@dataclass(slots=True)
class Notes:
    """What the header's feature sections say; every field may be missing."""

    hostname: str | None = None
    os_release: str | None = None
    perf_version: str | None = None
    arch: str | None = None
    cpu_count: int | None = None
    command_line: tuple[str, ...] = ()
    event_names: dict[int, str] = field(default_factory=dict)
    build_ids: dict[str, str] = field(default_factory=dict)

    def read_feature(self, feature: int, content: bytes) -> None:
        """Takes in one feature section; one that is not needed is passed over."""
        readers: dict[int, Callable[[bytes], None]] = {
            fmt.Feature.BUILD_ID: self._read_build_ids,
            fmt.Feature.CMDLINE: self._read_command_line,
            fmt.Feature.EVENT_DESC: self._read_event_names,
            fmt.Feature.NRCPUS: self._read_cpu_count,
        }
        texts = {
            fmt.Feature.HOSTNAME: "hostname",
            fmt.Feature.OSRELEASE: "os_release",
            fmt.Feature.VERSION: "perf_version",
            fmt.Feature.ARCH: "arch",
        }
        if feature in texts:
            setattr(self, texts[fmt.Feature(feature)], _text(content, 0)[0])
        elif feature in readers:
            readers[feature](content)

    def _read_cpu_count(self, content: bytes) -> None:
        self.cpu_count = struct.unpack_from("<I", content)[0]

    def _read_command_line(self, content: bytes) -> None:
        (count,) = struct.unpack_from("<I", content)
        position = 4
        words: list[str] = []
        while len(words) < count and position < len(content):
            word, position = _text(content, position)
            words.append(word)
        self.command_line = tuple(words)

    def _read_event_names(self, content: bytes) -> None:
        count, attr_size = struct.unpack_from("<II", content)
        position = 8
        for _ in range(min(count, len(content))):
            (id_count,) = struct.unpack_from("<I", content, position + attr_size)
            name, position = _text(content, position + attr_size + 4)
            for (each,) in struct.iter_unpack("<Q", content[position : position + 8 * id_count]):
                self.event_names[each] = name
            position += 8 * id_count

    def _read_build_ids(self, content: bytes) -> None:
        position = 0
        while position + 36 <= len(content):
            _, misc, size = struct.unpack_from("<IHH", content, position)
            if size < 36:
                raise struct.error("a build-id entry is too short")
            self.add_build_id(content[position : position + size], misc)
            position += size

    def add_build_id(self, record: bytes, misc: int) -> None:
        """Takes in a build-id record: header, pid, 20 bytes of id, its length, the file name."""
        length = record[32] if misc & fmt.MISC_BUILD_ID_SIZE else _BUILD_ID_BYTES
        identity = record[12 : 12 + min(length, _BUILD_ID_BYTES)].hex()
        path = record[36:].split(b"\0", 1)[0].decode("utf-8", "replace")
        self.build_ids[path] = identity


@dataclass(frozen=True, slots=True)
class Header:
    """Where a file's records lie and what they mean. ``data_end`` None: to the end of the file."""

    attrs: tuple[fmt.EventAttr, ...]
    data_start: int
    data_end: int | None
    is_pipe: bool
    notes: Notes
    warnings: tuple[str, ...]


def read_header(stream: BinaryIO, path: Path) -> Header:
    """Reads the header of a perf.data file; ParseError when it is not one or its tables are broken."""
    start = stream.read(fmt.FILE_HEADER_SIZE)
    _check_magic(start, path)
    header_size = struct.unpack_from("<Q", start, 8)[0]
    if header_size == fmt.PIPE_HEADER_SIZE:
        return Header((), fmt.PIPE_HEADER_SIZE, None, True, Notes(), ())
    if len(start) < fmt.FILE_HEADER_SIZE or header_size < fmt.FILE_HEADER_SIZE:
        raise ParseError(f"{path}: the file header is cut off", remedy=_RECORD_AGAIN)
    attr_size, attrs_at, attrs_size, data_at, data_size = struct.unpack_from("<5Q", start, 16)
    features = int.from_bytes(start[72:104], "little")
    attrs = _read_attrs(stream, path, attr_size, attrs_at, attrs_size)
    file_size = _size(stream)
    if not fmt.FILE_HEADER_SIZE <= data_at <= file_size:
        raise ParseError(f"{path}: the header places the records at {data_at}, outside the file", remedy=_RECORD_AGAIN)
    if data_size == 0:
        warning = "perf record did not finish this file (data size 0): records were read up to the end"
        return Header(attrs, data_at, None, False, Notes(), (warning,))
    notes, warnings = _read_features(stream, features, data_at + data_size, file_size)
    return Header(attrs, data_at, data_at + data_size, False, notes, warnings)


def describe_events(attrs: tuple[fmt.EventAttr, ...], notes: Notes) -> tuple[str, ...]:
    """The name of each event: as perf noted it, otherwise made from its type and config.

    perf allows two events of one name (`-e cpu-clock,cpu-clock`): the second is "cpu-clock#2".
    """
    names: dict[str, None] = {}
    last: dict[str, int] = {}
    for attr in attrs:
        made = event_name(attr.type, attr.config, attr.flags)
        name = noted = next((notes.event_names[i] for i in attr.ids if i in notes.event_names), made)
        while name in names:
            last[noted] = last.get(noted, 1) + 1
            name = f"{noted}#{last[noted]}"
        names[name] = None
    return tuple(names)


def _check_magic(start: bytes, path: Path) -> None:
    if start[:8] == fmt.MAGIC_SWAPPED:
        raise ParseError(
            f"{path}: recorded on a big-endian machine, which is not supported",
            remedy=f"{_RECORD_AGAIN} on a little-endian machine",
        )
    if start[:8] != fmt.MAGIC or len(start) < fmt.PIPE_HEADER_SIZE:
        what = "is empty" if not start else "is not a perf.data file"
        raise ParseError(f"{path}: {what}", remedy="give a file that `perf record -g -o perf.data …` wrote")


def _read_attrs(stream: BinaryIO, path: Path, attr_size: int, start: int, size: int) -> tuple[fmt.EventAttr, ...]:
    if attr_size < fmt.ATTR_MINIMUM_SIZE + 16 or not attr_size <= size <= min(
        _MAX_TABLE_BYTES, _MAX_EVENTS * attr_size
    ):
        raise ParseError(f"{path}: the header's event table is broken", remedy=_RECORD_AGAIN)
    table = _at(stream, start, size)
    attrs = []
    room = _size(stream)
    for position in range(0, len(table) - attr_size + 1, attr_size):
        ids_at, ids_size = struct.unpack_from("<2Q", table, position + attr_size - 16)
        # Each event has ids of its own: all together are no longer than the file.
        raw_ids = _at(stream, ids_at, ids_size) if ids_size <= room else b""
        room -= len(raw_ids)
        ids = tuple(i for (i,) in struct.iter_unpack("<Q", raw_ids[: len(raw_ids) // 8 * 8]))
        attrs.append(fmt.parse_attr(table[position : position + attr_size], ids))
    if not attrs:
        raise ParseError(f"{path}: the header names no event", remedy=_RECORD_AGAIN)
    return tuple(attrs)


def _read_features(stream: BinaryIO, features: int, table_at: int, file_size: int) -> tuple[Notes, tuple[str, ...]]:
    """The feature sections; their table follows the records, one (offset, size) for each bit that is set."""
    notes, warnings = Notes(), []
    bits = [bit for bit in range(256) if features >> bit & 1]
    table = _at(stream, table_at, 16 * len(bits))
    if len(table) < 16 * len(bits):
        return notes, ("the file ends before its feature sections: machine, command line and build ids are unknown",)
    sections = [struct.unpack_from("<2Q", table, 16 * index) for index in range(len(bits))]
    end = max((start + size for start, size in sections), default=0)
    if end > file_size:
        lacking = f"{end - file_size} byte{'s' if end - file_size > 1 else ''}"
        warnings.append(f"the file is {lacking} shorter than its header says: its last notes are cut off")
    for bit, (start, size) in zip(bits, sections, strict=True):
        try:
            notes.read_feature(bit, _at(stream, start, min(size, _MAX_TABLE_BYTES)))
        except (struct.error, IndexError):
            warnings.append(f"feature section {bit} of the header is damaged and was left out")
    return notes, tuple(warnings)


def _at(stream: BinaryIO, start: int, size: int) -> bytes:
    """Up to ``size`` bytes from ``start``, as far as the file reaches."""
    present = _size(stream) - start
    if present <= 0:
        return b""
    stream.seek(start)
    return stream.read(min(size, present))


def _size(stream: BinaryIO) -> int:
    return os.fstat(stream.fileno()).st_size


def _text(content: bytes, position: int) -> tuple[str, int]:
    """A string with its length before it, and the position after it."""
    (length,) = struct.unpack_from("<I", content, position)
    start = position + 4
    return content[start : start + length].split(b"\0", 1)[0].decode("utf-8", "replace"), start + length
