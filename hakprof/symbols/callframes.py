"""Call frame information of ELF files: .eh_frame and .debug_frame → rules for getting from a frame to its caller.

Formats: LSB Core 5.0, chapter 10.6 (.eh_frame, .eh_frame_hdr); DWARF 5, 6.4 and 7.24 (.debug_frame, instructions).
Only what a recording meets is decoded, one function at a time. The bytes come from files that nobody vouches for: a
damaged entry has no rows.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence

import numpy as np

from hakprof.elf import ElfFile, Section
from hakprof.errors import ParseError
from hakprof.parse.perf_data.frames import REGISTERS, FrameRow, signed_leb, unsigned_leb
from hakprof.symbols.cfa_program import CommonEntry, DamagedFramesError, Program
from hakprof.symbols.objects import FoundObject, ObjectFinder
from hakprof.symbols.sections import section_bytes

_MOST_ENTRIES = 1 << 20
_MOST_INSTRUCTIONS = 1 << 16  # bytes for one function
_WORD = 1 << 64
_OMITTED = 0xFF
_VALUE_SIZES = {0x0: (8, False), 0x2: (2, False), 0x3: (4, False), 0x4: (8, False)}
_VALUE_SIZES |= {0x8: (8, True), 0xA: (2, True), 0xB: (4, True), 0xC: (8, True)}
_TABLE_OF_SDATA4 = 0x3B


class _Section:
    """One section of call frame information, by the addresses that the file gives itself."""

    def __init__(self, elf: ElfFile, section: Section, *, is_eh: bool) -> None:
        self._bytes = section_bytes(elf, section)
        self._address = section.address
        self._is_eh = is_eh
        self._common: dict[int, CommonEntry] = {}
        self._starts, self._entries = self._index(elf)

    def find(self, address: int, shift: int) -> FrameRow | None:
        """The rules at an address; None without any. ``shift`` is from file offsets, which the row is in."""
        at = bisect_right(self._starts, address) - 1
        if at < 0:
            return None
        try:
            return self._decode(self._entries[at], address, shift)
        except (DamagedFramesError, IndexError):
            return None

    def _index(self, elf: ElfFile) -> tuple[Sequence[int], Sequence[int]]:
        """Start addresses, ascending, and the position of the entry of each."""
        table = _search_table(elf) if self._is_eh else None
        if table is not None:
            addresses, entries = table
            return addresses, [(entry - self._address) % _WORD for entry in entries]
        found = sorted(self._scan())
        return [start for start, _ in found], [entry for _, entry in found]

    def _scan(self) -> Iterator[tuple[int, int]]:
        """Start address and position of each function's entry, for files without a search table."""
        at = 0
        for _ in range(_MOST_ENTRIES):
            if at + 8 > len(self._bytes):
                return
            try:
                content, end, owner = self._entry(at)
                if owner is not None:
                    start, _ = self._pointer(content, self._common_at(owner).pointer_encoding)
                    yield start, at
            except (DamagedFramesError, IndexError):
                if at + 4 > len(self._bytes):
                    return
                end = at + 4 + int.from_bytes(self._bytes[at : at + 4], "little")
            at = end

    def _entry(self, at: int) -> tuple[int, int, int | None]:
        """Position of an entry's content, its end, and the position of its CIE; None for a CIE."""
        length, width = int.from_bytes(self._bytes[at : at + 4], "little"), 4
        at += 4
        if length == 0xFFFFFFFF:
            length, width = int.from_bytes(self._bytes[at : at + 8], "little"), 8
            at += 8
        end = at + length
        if length < width or end > len(self._bytes):
            if length == 0 and self._is_eh:
                return at, at, None
            raise DamagedFramesError("an entry reaches beyond its section")
        identity = int.from_bytes(self._bytes[at : at + width], "little")
        if self._is_eh:
            return at + width, end, at - identity if identity else None
        return at + width, end, identity if identity != (1 << 8 * width) - 1 else None

    def _common_at(self, at: int) -> CommonEntry:
        if at not in self._common:
            self._common[at] = self._read_common(at)
        return self._common[at]

    def _read_common(self, at: int) -> CommonEntry:
        if not 0 <= at < len(self._bytes):
            raise DamagedFramesError("an entry belongs to none")
        at, end, owner = self._entry(at)
        if owner is not None:
            raise DamagedFramesError("an entry belongs to another that is not a CIE")
        data = self._bytes
        version, at = data[at], at + 1
        stop = data.find(b"\0", at, end)
        augmentation, at = data[at:stop].decode("latin-1"), stop + 1
        if stop < 0 or version not in (1, 3, 4):
            raise DamagedFramesError(f"version {version}")
        if version == 4:
            at += 2
        code_factor, at = unsigned_leb(data, at)
        data_factor, at = signed_leb(data, at)
        if version == 1:
            return_register, at = data[at], at + 1
        else:
            return_register, at = unsigned_leb(data, at)
        encoding = 0
        if augmentation.startswith("z"):
            size, at = unsigned_leb(data, at)
            encoding = self._encoding(augmentation, at)
            at += size
        elif augmentation:
            raise DamagedFramesError(f"augmentation {augmentation}")
        return CommonEntry(
            code_factor=code_factor,
            data_factor=data_factor,
            return_register=return_register,
            pointer_encoding=encoding,
            has_augmentation=augmentation.startswith("z"),
            is_signal="S" in augmentation,
            instructions=data[at:end],
        )

    def _encoding(self, augmentation: str, at: int) -> int:
        """How addresses are written, from a CIE's augmentation data."""
        for letter in augmentation[1:]:
            if letter == "R":
                return self._bytes[at]
            if letter == "L":
                at += 1
            elif letter == "P":
                _, at = self._pointer(at + 1, self._bytes[at] & 0x7F)
            elif letter not in "SB":
                raise DamagedFramesError(f"augmentation {augmentation}")
        return 0

    def _pointer(self, at: int, encoding: int) -> tuple[int, int]:
        """An encoded address and the position after it."""
        if encoding == _OMITTED:
            return 0, at
        form = encoding & 0x0F
        if form in _VALUE_SIZES:
            size, is_signed = _VALUE_SIZES[form]
            raw = self._bytes[at : at + size]
            if len(raw) < size:
                raise DamagedFramesError("an address is cut off")
            value, after = int.from_bytes(raw, "little", signed=is_signed), at + size
        elif form in (0x1, 0x9):
            value, after = (unsigned_leb if form == 0x1 else signed_leb)(self._bytes, at)
        else:
            raise DamagedFramesError(f"address encoding {encoding:#x}")
        base = {0x00: 0, 0x10: self._address + at}.get(encoding & 0x70)
        if base is None:
            raise DamagedFramesError(f"address encoding {encoding:#x}")
        return (value + base) % _WORD, after

    def _decode(self, position: int, address: int, shift: int) -> FrameRow | None:
        """The rules of the entry at a position, if it covers the address."""
        if not 0 <= position < len(self._bytes):
            raise DamagedFramesError("the search table points outside")
        at, end, owner = self._entry(position)
        if owner is None:
            raise DamagedFramesError("the search table points to a CIE")
        common = self._common_at(owner)
        start, at = self._pointer(at, common.pointer_encoding)
        size, at = self._pointer(at, common.pointer_encoding & 0x0F)
        if not start <= address < start + size or common.return_register >= REGISTERS:
            return None
        if common.has_augmentation:
            length, at = unsigned_leb(self._bytes, at)
            at += length
        if end - at > _MOST_INSTRUCTIONS or len(common.instructions) > _MOST_INSTRUCTIONS:
            raise DamagedFramesError("more instructions than a function needs")
        return Program(common, start - shift, start + size - shift, address - shift).run(self._bytes[at:end])


class FileCallFrames:
    """The call frame information of the objects that a finder finds; each is opened once."""

    def __init__(self, finder: ObjectFinder) -> None:
        self._finder = finder
        self._objects: dict[tuple[str, str | None], ObjectFrames | None] = {}

    def row(self, path: str, build_id: str | None, offset: int) -> FrameRow | None:
        """The rules at a file offset of an object; None where none are known."""
        key = path, build_id
        if key not in self._objects:
            found = self._finder.find(path, build_id)
            self._objects[key] = ObjectFrames(found) if found is not None else None
        one = self._objects[key]
        return one.row(offset) if one is not None else None


class ObjectFrames:
    """The call frame information of one object: .eh_frame of what was mapped, then .debug_frame of its debug file."""

    def __init__(self, found: FoundObject) -> None:
        self._segments = found.segments
        self._sections: list[_Section] = []
        if found.runtime.machine != "EM_X86_64":
            return
        for elf, name in ((found.runtime, ".eh_frame"), (found.debug, ".debug_frame"), (found.debug, ".zdebug_frame")):
            section = elf.section(name)
            if section is not None:
                try:
                    self._sections.append(_Section(elf, section, is_eh=name == ".eh_frame"))
                except (ParseError, OSError):
                    continue

    def row(self, offset: int) -> FrameRow | None:
        """The rules at a file offset, as file offsets; None where none are known."""
        for segment in self._segments:
            if segment.offset <= offset < segment.offset + segment.file_size:
                shift = segment.address - segment.offset
                return next((row for s in self._sections if (row := s.find(offset + shift, shift))), None)
        return None


def _search_table(elf: ElfFile) -> tuple[list[int], list[int]] | None:
    """Addresses of functions, ascending, and of their entries, from .eh_frame_hdr; None when it cannot be used."""
    section = elf.section(".eh_frame_hdr")
    if section is None:
        return None
    raw = elf.data(section)
    # The form that linkers write: version 1, a 4-byte pointer, a 4-byte count, pairs relative to the section.
    if len(raw) < 12 or raw[0] != 1 or raw[1] & 0x0F not in (0x3, 0xB) or raw[2] != 0x03 or raw[3] != _TABLE_OF_SDATA4:
        return None
    count = int.from_bytes(raw[8:12], "little")
    if not 0 < count <= (len(raw) - 12) // 8:
        return None
    pairs = np.frombuffer(raw, dtype="<i4", count=2 * count, offset=12)
    addresses = pairs.reshape(-1, 2).astype(np.int64).view(np.uint64) + np.uint64(section.address)
    if np.any(addresses[1:, 0] < addresses[:-1, 0]):
        return None
    return addresses[:, 0].tolist(), addresses[:, 1].tolist()
