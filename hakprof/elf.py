"""What hakprof reads from ELF files: identity, sections and segments. Ground floor: everybody may import it.

Names, sizes and offsets come from files that nobody vouches for: what a header says is checked against the size of the
file before anything is read, and every fault ends in a ParseError.
Formats: System V ABI, chapter "Object Files"; numbers and notes as in `man 5 elf`.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from hakprof.errors import ParseError

BUILD_SECTION = ".hakprof.build"
SHT_NOBITS = 8
SHF_COMPRESSED = 1 << 11

_MAX_SECTION_BYTES = 1 << 30
_MAX_HEADERS = 1 << 16
_MAX_NOTE_BYTES = 1 << 16
_MAX_NAME_BYTES = 256
_PT_LOAD, _PT_NOTE = 1, 4
_NT_GNU_BUILD_ID = 3
_IDENTITY_64_LITTLE = b"\x7fELF\x02\x01"
_FILE_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_IN_FIRST_SECTION = 0xFFFF  # e_phnum and e_shstrndx that do not fit stand in section 0, and e_shnum is 0 then
_TYPES = {0: "ET_NONE", 1: "ET_REL", 2: "ET_EXEC", 3: "ET_DYN", 4: "ET_CORE"}
_MACHINES = {62: "EM_X86_64", 183: "EM_AARCH64", 243: "EM_RISCV"}


@dataclass(frozen=True, slots=True)
class Section:
    """One section header; ``link`` is the index of the section it refers to (a symbol table's strings)."""

    index: int
    name: str
    type: int
    flags: int
    address: int
    offset: int
    size: int
    entry_size: int
    link: int


@dataclass(frozen=True, slots=True)
class Segment:
    """One PT_LOAD program header: file range [offset, offset + file_size) is mapped at ``address``."""

    offset: int
    address: int
    file_size: int
    memory_size: int


@dataclass(frozen=True, slots=True)
class DebugLink:
    """Name and CRC-32 of the file that holds a stripped file's symbols (GDB manual, "Separate Debug Files")."""

    name: str
    checksum: int


@dataclass(frozen=True, slots=True)
class ElfFile:
    """The headers of one 64-bit little-endian ELF file."""

    path: Path
    file_type: str
    machine: str
    sections: tuple[Section, ...]
    segments: tuple[Segment, ...]
    build_id: str | None
    debuglink: DebugLink | None

    def section(self, name: str) -> Section | None:
        """The first section of that name that has bytes in the file, or None."""
        return _section(self.sections, name)

    @property
    def has_dwarf(self) -> bool:
        """Whether there is debug information, be it compressed the way of today or that of before 2015 (.zdebug)."""
        return self.section(".debug_info") is not None or self.section(".zdebug_info") is not None

    def data(self, section: Section, size: int = _MAX_SECTION_BYTES) -> bytes:
        """The first bytes of a section as they stand in the file (not decompressed), at most 1 GiB."""
        with self.path.open("rb") as stream:
            if section.size > _MAX_SECTION_BYTES or section.offset > _size(stream):
                raise ParseError(f"{self.path}: section {section.name} claims {section.size} bytes at {section.offset}")
            return _read(stream, section.offset, min(section.size, size))


def read_elf(path: Path) -> ElfFile:
    """Reads the headers of an ELF file; ParseError when it is missing, not ELF, damaged or of another machine word."""
    try:
        with path.open("rb") as stream:
            return _read_headers(stream, path)
    except OSError as error:
        raise ParseError(f"{path}: cannot be read: {error.strerror or error}") from error
    except struct.error as error:
        raise ParseError(f"{path}: not a readable ELF file: its headers are cut off") from error
    except ValueError as error:  # a path with a NUL
        raise ParseError(f"{str(path)!r}: {error}") from error


def build_id(path: Path) -> str | None:
    """The GNU build id as lower-case hex, or None when the file carries none."""
    return read_elf(path).build_id


def same_build_id(one: str | None, other: str | None) -> bool:
    """Whether two build ids are the same but for zeros behind one of them: perf has room for 20 bytes and fills it."""
    shorter, longer = sorted((one or "", other or ""), key=len)
    return longer.startswith(shorter) and not longer[len(shorter) :].strip("0") and bool(shorter) == bool(longer)


def build_string(path: Path, section: str = BUILD_SECTION) -> dict[str, str]:
    """The ``key=value`` lines that a binary carries about its own build; empty when it has no such section."""
    elf = read_elf(path)
    found = elf.section(section)
    if found is None:
        return {}
    text = elf.data(found).split(b"\0", 1)[0].decode("utf-8", "replace")
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}


def parse_build_id_note(note: bytes) -> str | None:
    """The build id in the bytes of a note section or of /sys/kernel/notes; None when there is none."""
    position = 0
    while position + 12 <= len(note):
        name_size, content_size, kind = struct.unpack_from("<III", note, position)
        name_start = position + 12
        content_start = name_start + (name_size + 3) // 4 * 4
        if kind == _NT_GNU_BUILD_ID and note[name_start : name_start + 4] == b"GNU\0":
            return note[content_start : content_start + content_size].hex() or None
        position = content_start + (content_size + 3) // 4 * 4
    return None


def _read_headers(stream: BinaryIO, path: Path) -> ElfFile:
    start = _read(stream, 0, _FILE_HEADER.size)
    if start[:4] != _IDENTITY_64_LITTLE[:4]:
        raise ParseError(f"{path}: not a readable ELF file: its first bytes are not those of one")
    if start[:6] != _IDENTITY_64_LITTLE:
        raise ParseError(f"{path}: only 64-bit little-endian ELF files are read")
    _, kind, machine, _, _, segments_at, sections_at, _, _, segment_size, segments, section_size, sections, names = (
        _FILE_HEADER.unpack(start)
    )
    first = _SECTION.unpack(_read(stream, sections_at, _SECTION.size)) if sections_at else None
    if first is not None:
        sections = sections or first[5]
        names = first[6] if names == _IN_FIRST_SECTION else names
        segments = first[7] if segments == _IN_FIRST_SECTION else segments
    section_rows = _table(stream, path, _SECTION, sections_at, sections if first else 0, section_size)
    segment_rows = _table(stream, path, _SEGMENT, segments_at, segments, segment_size)
    found = tuple(_sections(stream, section_rows, names))
    return ElfFile(
        path=path,
        file_type=_TYPES.get(kind, f"ET_{kind}"),
        machine=_MACHINES.get(machine, f"EM_{machine}"),
        sections=found,
        segments=tuple(Segment(row[2], row[3], row[5], row[6]) for row in segment_rows if row[0] == _PT_LOAD),
        build_id=_build_id(stream, found, segment_rows),
        debuglink=_debuglink(stream, found),
    )


def _table(
    stream: BinaryIO, path: Path, entry: struct.Struct, start: int, count: int, entry_size: int
) -> list[tuple[int, ...]]:
    """The rows of a header table; ParseError when it is not of this shape or does not lie in the file."""
    if not count:
        return []
    size = count * entry.size
    if entry_size != entry.size or count > _MAX_HEADERS or start + size > _size(stream):
        raise ParseError(f"{path}: claims {count} headers of {entry_size} bytes at {start}")
    return list(entry.iter_unpack(_read(stream, start, size)))


def _sections(stream: BinaryIO, rows: list[tuple[int, ...]], names_index: int) -> Iterator[Section]:
    names = _read(stream, rows[names_index][4], rows[names_index][5]) if names_index < len(rows) else b""
    for index, (name, kind, flags, address, offset, size, link, _, _, entry_size) in enumerate(rows):
        text = names[name : name + _MAX_NAME_BYTES].split(b"\0", 1)[0].decode("utf-8", "replace")
        yield Section(index, text, kind, flags, address, offset, size, entry_size, link)


def _section(sections: tuple[Section, ...], name: str) -> Section | None:
    return next((s for s in sections if s.name == name and s.type != SHT_NOBITS), None)


def _build_id(stream: BinaryIO, sections: tuple[Section, ...], segments: list[tuple[int, ...]]) -> str | None:
    section = _section(sections, ".note.gnu.build-id")
    if section is not None:
        return parse_build_id_note(_read(stream, section.offset, min(section.size, _MAX_NOTE_BYTES)))
    notes = (_read(stream, row[2], min(row[5], _MAX_NOTE_BYTES)) for row in segments if row[0] == _PT_NOTE)
    return next((found for note in notes if (found := parse_build_id_note(note)) is not None), None)


def _debuglink(stream: BinaryIO, sections: tuple[Section, ...]) -> DebugLink | None:
    section = _section(sections, ".gnu_debuglink")
    if section is None:
        return None
    content = _read(stream, section.offset, min(section.size, _MAX_NAME_BYTES))
    raw = content.split(b"\0", 1)[0]
    name = Path(raw.decode("utf-8", "replace")).name
    # The checksum stands behind the name's end, at the next multiple of four.
    at = len(raw) // 4 * 4 + 4
    return DebugLink(name, int.from_bytes(content[at : at + 4], "little")) if name else None


def _size(stream: BinaryIO) -> int:
    return os.fstat(stream.fileno()).st_size


def _read(stream: BinaryIO, start: int, size: int) -> bytes:
    """The bytes at a place of the file, as far as it reaches."""
    present = _size(stream) - start
    if present <= 0:
        return b""
    stream.seek(start)
    return stream.read(min(size, present))
