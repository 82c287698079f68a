"""The bytes of sections that may be compressed.

Formats: System V ABI, "Section Compression" (Elf64_Chdr); of .zdebug sections, which tools wrote before 2015, GNU as.
"""

import zlib

from hakprof.elf import SHF_COMPRESSED, ElfFile, Section
from hakprof.errors import ParseError
from hakprof.parse.perf_data.zstd import DamagedStreamError, Inflater

_HEADER_BYTES = 24
_OLD_HEADER_BYTES = 12  # "ZLIB" and the size
_ZLIB, _ZSTD = 1, 2
_MOST_BYTES = 1 << 28
_BLOCK_BYTES = 1 << 18  # of a block there is nothing before there is all of it
# Debug sections are compressed to a third or so.
_MOST_INFLATION, _INFLATION_FLOOR = 32, 1 << 20


def section_bytes(elf: ElfFile, section: Section, most: int = _MOST_BYTES) -> bytes:
    """The first bytes of a section, decompressed, as far as such a section can reach.

    Raises:
        ParseError: they are not in the file, or not what a compressor wrote.
    """
    raw = elf.data(section, most + _BLOCK_BYTES)
    if section.flags & SHF_COMPRESSED:
        method, packed = int.from_bytes(raw[:4], "little"), raw[_HEADER_BYTES:]
    elif section.name.startswith(".zdebug_"):
        method, packed = _ZLIB, raw[_OLD_HEADER_BYTES:]
    else:
        return raw[:most]
    most = min(most, _MOST_INFLATION * len(packed) + _INFLATION_FLOOR)
    try:
        if method == _ZLIB:
            return zlib.decompressobj().decompress(packed, most)
        if method == _ZSTD:
            return _first(packed, most)
    except (zlib.error, DamagedStreamError) as error:
        raise ParseError(f"{elf.path}: section {section.name} is damaged: {error}") from error
    raise ParseError(f"{elf.path}: section {section.name} is compressed by an unknown method, {method}")


def _first(packed: bytes, most: int) -> bytes:
    found = bytearray()
    for piece in Inflater().feed(packed):
        found += piece.tobytes()
        if len(found) >= most:
            break
    return bytes(found[:most])
