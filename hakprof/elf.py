"""What hakprof reads from ELF files: identity, sections and segments. Ground floor: everybody may import it.

Names, sizes and offsets come from files that nobody vouches for, so every fault in them ends in a ParseError.
Formats: System V ABI, chapter "Object Files"; notes as in `man 5 elf`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hakprof.errors import ParseError

BUILD_SECTION = ".hakprof.build"
_NT_GNU_BUILD_ID = 3
_MAX_SECTION_BYTES = 1 << 30
_MAX_HEADERS = 1 << 16


@dataclass(frozen=True, slots=True)
class Section:
    """One section header; ``link`` is the index of the section it refers to (a symbol table's strings)."""

    index: int
    name: str
    type: str | int
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
class ElfFile:
    """The headers of one 64-bit little-endian ELF file."""

    path: Path
    file_type: str
    sections: tuple[Section, ...]
    segments: tuple[Segment, ...]
    build_id: str | None
    debuglink: str | None

    def section(self, name: str) -> Section | None:
        """The first section of that name that has bytes in the file, or None."""
        return next((s for s in self.sections if s.name == name and s.type != "SHT_NOBITS"), None)

    def data(self, section: Section) -> bytes:
        """The bytes of a section as they stand in the file (not decompressed), at most 1 GiB."""
        present = self.path.stat().st_size - section.offset
        if section.size > _MAX_SECTION_BYTES or present < 0:
            raise ParseError(f"{self.path}: section {section.name} claims {section.size} bytes at {section.offset}")
        with self.path.open("rb") as stream:
            stream.seek(section.offset)
            return stream.read(min(section.size, present))


def read_elf(path: Path) -> ElfFile:
    """Reads the headers of an ELF file; ParseError when it is missing, not ELF, damaged or of another machine word."""
    from elftools.elf.elffile import ELFFile  # costs 50 ms, and not every command needs it

    try:
        with path.open("rb") as stream:
            elf = ELFFile(stream)
            if elf.elfclass != 64 or not elf.little_endian:
                raise ParseError(f"{path}: only 64-bit little-endian ELF files are read")
            if elf.num_sections() > _MAX_HEADERS or elf.num_segments() > _MAX_HEADERS:
                raise ParseError(f"{path}: claims {elf.num_sections()} sections")
            sections = _sections(elf)
            return ElfFile(
                path=path,
                file_type=str(elf.header.e_type),
                sections=sections,
                segments=_segments(elf),
                build_id=_build_id(elf),
                debuglink=_debuglink(elf),
            )
    except (ParseError, OSError) as error:
        raise _not_readable(path, error) from error
    except Exception as error:  # pyelftools lets many kinds through on damaged headers
        raise ParseError(f"{path}: not a readable ELF file: {type(error).__name__} {error}") from error


def build_id(path: Path) -> str | None:
    """The GNU build id as lower-case hex, or None when the file carries none."""
    return read_elf(path).build_id


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
        name_size = int.from_bytes(note[position : position + 4], "little")
        content_size = int.from_bytes(note[position + 4 : position + 8], "little")
        kind = int.from_bytes(note[position + 8 : position + 12], "little")
        name_start = position + 12
        content_start = name_start + (name_size + 3) // 4 * 4
        if kind == _NT_GNU_BUILD_ID and note[name_start : name_start + 4] == b"GNU\0":
            return note[content_start : content_start + content_size].hex() or None
        position = content_start + (content_size + 3) // 4 * 4
    return None


def _not_readable(path: Path, error: Exception) -> ParseError:
    if isinstance(error, ParseError):
        return error
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return ParseError(f"{path}: cannot be read: {reason}")


def _sections(elf: Any) -> tuple[Section, ...]:
    return tuple(
        Section(
            index=index,
            name=section.name,
            type=section["sh_type"],
            flags=section["sh_flags"],
            address=section["sh_addr"],
            offset=section["sh_offset"],
            size=section["sh_size"],
            entry_size=section["sh_entsize"],
            link=section["sh_link"],
        )
        for index, section in enumerate(elf.iter_sections())
    )


def _segments(elf: Any) -> tuple[Segment, ...]:
    return tuple(
        Segment(
            offset=segment["p_offset"],
            address=segment["p_vaddr"],
            file_size=segment["p_filesz"],
            memory_size=segment["p_memsz"],
        )
        for segment in elf.iter_segments("PT_LOAD")
    )


def _build_id(elf: Any) -> str | None:
    section = elf.get_section_by_name(".note.gnu.build-id")
    if section is not None and section["sh_type"] != "SHT_NOBITS":
        return parse_build_id_note(section.data())
    for segment in elf.iter_segments("PT_NOTE"):
        found = parse_build_id_note(segment.data())
        if found is not None:
            return found
    return None


def _debuglink(elf: Any) -> str | None:
    section = elf.get_section_by_name(".gnu_debuglink")
    if section is None:
        return None
    name: bytes = section.data().split(b"\0", 1)[0]
    return Path(name.decode("utf-8", "replace")).name or None
