"""Debug information that an object has left in other files, which nothing here reads: said rather than passed over.

Formats: DWARF 5, 3.1.2 and 7.5.1 (skeleton units, which name a .dwo file); the GNU extension for DWARF 4 is told by an
attribute; .gnu_debugaltlink as dwz writes it (`man dwz`, --multifile).
"""

from hakprof.elf import ElfFile
from hakprof.errors import ParseError
from hakprof.parse.perf_data.frames import unsigned_leb
from hakprof.symbols.sections import section_bytes

_MOST_UNITS = 64  # as are the first, so are nearly always the others
_SKELETON = 4
_GNU_DWO_NAME = 0x2130
_MOST_BYTES = 1 << 16
_MOST_ATTRIBUTES = 64


def left_elsewhere(elf: ElfFile) -> str | None:
    """What is not in a debug file but in others, as a sentence with the remedy; None where all is there."""
    try:
        if elf.section(".debug_addr") is not None and _is_split(elf):
            return (
                "its debug information was split off into .dwo files, which are not read: its inlined functions and"
                " lines are not known; compile it without -gsplit-dwarf"
            )
    except (ParseError, IndexError):
        return None
    # Stripping leaves the reference of dwz in place: without its own part the other is not missed.
    if elf.has_dwarf and elf.section(".gnu_debugaltlink") is not None:
        return (
            "a part of its debug information is in a file that it shares with other objects (dwz --multifile), which"
            " is not read: some of its inlined functions have no name"
        )
    return None


def _is_split(elf: ElfFile) -> bool:
    """Whether one of the first units of .debug_info is only the skeleton of one in a .dwo file."""
    info, abbreviations = (elf.section(name) for name in (".debug_info", ".debug_abbrev"))
    if info is None or abbreviations is None:
        return False
    units, declared, at = section_bytes(elf, info, _MOST_BYTES), section_bytes(elf, abbreviations, _MOST_BYTES), 0
    for _ in range(_MOST_UNITS):
        head = units[at : at + 12]
        length, version = int.from_bytes(head[:4], "little"), int.from_bytes(head[4:6], "little")
        if len(head) < 12 or length < 8:
            return False
        if version >= 5 and head[6] == _SKELETON:
            return True
        if version == 4:
            code, _ = unsigned_leb(units, at + 11)
            if _GNU_DWO_NAME in _attributes(declared, int.from_bytes(head[6:10], "little"), code):
                return True
        at += 4 + length
    return False


def _attributes(declared: bytes, at: int, code: int) -> list[int]:
    """The attributes of a unit whose abbreviation, nearly always the first of its table, has that code."""
    found, at = unsigned_leb(declared, at)
    if found != code:
        return []
    _, at = unsigned_leb(declared, at)
    at += 1
    names: list[int] = []
    while len(names) < _MOST_ATTRIBUTES:
        name, at = unsigned_leb(declared, at)
        _, at = unsigned_leb(declared, at)
        if not name:
            break
        names.append(name)
    return names
