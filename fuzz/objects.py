"""Changes to an ELF file that leave it one: fields of its headers, entries of its tables, compressed sections."""

import struct
import zlib
from dataclasses import dataclass
from random import Random

_SECTION = struct.Struct("<IIQQQQIIQQ")
_SECTION_FIELDS = ((0, 4), (4, 4), (8, 8), (16, 8), (24, 8), (32, 8), (40, 4), (44, 4), (48, 8), (56, 8))
_COMPRESSED_FLAG = 1 << 11
_WILD = (0, 1, 2, 3, 7, 0x40, 0xFF, 0xFFFF, 1 << 20, 1 << 30, 1 << 31, (1 << 32) - 1, 1 << 40, 1 << 63, (1 << 64) - 1)


@dataclass(frozen=True, slots=True)
class _Place:
    """A section header: where it stands in the file, and where its section's bytes do."""

    header: int
    offset: int
    size: int


def mutated(data: bytes, seed: int) -> bytes | None:
    """The file changed in a few places; None for what is no 64-bit ELF file."""
    if data[:5] != b"\x7fELF\x02" or len(data) < 64:
        return None
    random = Random(seed)
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4))):
        places = _places(changed)
        change = random.random()
        if change < 0.15:
            _set(changed, random.choice((0x10, 0x20, 0x28, 0x34, 0x36, 0x38, 0x3A, 0x3C, 0x3E)), 2, random)
        elif not places or change < 0.2:
            _set(changed, random.randrange(len(changed)), random.choice((1, 2, 4, 8)), random)
        elif change < 0.45:
            at, width = random.choice(_SECTION_FIELDS)
            _set(changed, random.choice(places).header + at, width, random)
        elif change < 0.52:
            _compress(changed, random.choice(places), random)
        else:
            one = random.choice(places)
            if one.size > 0 and one.offset < len(changed):
                width = random.choice((1, 1, 1, 2, 4, 8))
                _set(changed, one.offset + random.randrange(min(one.size, len(changed) - one.offset)), width, random)
    return bytes(changed)


def _places(data: bytearray) -> list[_Place]:
    (start,) = struct.unpack_from("<Q", data, 0x28)
    step, count = struct.unpack_from("<HH", data, 0x3A)
    headers = (start + index * step for index in range(min(count, 100)))
    places = []
    for at in headers:
        if at + _SECTION.size <= len(data):
            fields = _SECTION.unpack_from(data, at)
            places.append(_Place(at, fields[4], fields[5]))
    return places


def _set(data: bytearray, at: int, width: int, random: Random) -> None:
    if at + width > len(data):
        return
    before = int.from_bytes(data[at : at + width], "little")
    near = before + random.choice((-16, -8, -1, 1, 8, 16))
    value = random.choice((near, near, random.choice(_WILD), random.getrandbits(64), random.randrange(64)))
    data[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, "little")


def _compress(data: bytearray, place: _Place, random: Random) -> None:
    """Lets a section say that it is compressed: as it is, or truly so with any claim of its size."""
    fields = list(_SECTION.unpack_from(data, place.header))
    fields[2] |= _COMPRESSED_FLAG
    content = bytes(data[place.offset : place.offset + place.size])
    if random.random() < 0.8:
        kind = random.choice((1, 1, 1, 2, 0))
        claim = random.choice((len(content), len(content), 1 << 33, 0, (1 << 64) - 1))
        packed = struct.pack("<IIQQ", kind, 0, claim, 1) + zlib.compress(content * random.choice((1, 1, 500)))
        fields[4], fields[5] = len(data), len(packed)
        data += packed
    _SECTION.pack_into(data, place.header, *fields)
