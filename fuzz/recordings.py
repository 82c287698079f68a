"""perf.data files taken apart and put together again, so that they can be changed without falling to pieces.

A blind change of a byte mostly makes a file that is refused at its first field. Here sizes, offsets and counts are made
to fit after a change, and broken only on purpose (:func:`lie`).
"""

import ctypes
import struct
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from random import Random

MAGIC = b"PERFILE2"
HEADER_SIZE = 104
ATTR_SIZE = 136
COMPRESSED = 81
WILD_WORDS = (0, 1, 7, 8, 0xFF, 0xFFFF, 1 << 31, (1 << 32) - 1, 1 << 40, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)


@dataclass(slots=True)
class Recording:
    """The parts of a file: event descriptions with their ids, records, feature sections, and what follows damage."""

    attrs: list[tuple[bytes, list[int]]] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)
    features: dict[int, bytes] = field(default_factory=dict)
    is_pipe: bool = False
    tail: bytes = b""


def record(kind: int, misc: int, content: bytes) -> bytes:
    """A record with the size that it has, cut where the format's 16 bits end."""
    content = content[: 0xFFFF - 8]
    return struct.pack("<IHH", kind, misc & 0xFFFF, 8 + len(content)) + content


def take_apart(data: bytes) -> Recording | None:
    """The parts of a file, as far as they can be told; None for what has no file header."""
    if data[:8] != MAGIC or len(data) < 16:
        return None
    if struct.unpack_from("<Q", data, 8)[0] == 16:
        records, tail = _split(data[16:])
        return Recording(records=records, is_pipe=True, tail=tail)
    if len(data) < HEADER_SIZE:
        return None
    attr_size, attrs_at, attrs_size, data_at, data_size = struct.unpack_from("<5Q", data, 16)
    if not 80 <= attr_size <= 4096 or max(attrs_at, data_at) > len(data):
        return None
    attrs = []
    for at in range(attrs_at, min(attrs_at + attrs_size, len(data)) - attr_size + 1, attr_size):
        ids_at, ids_size = struct.unpack_from("<2Q", data, at + attr_size - 16)
        raw = data[ids_at : ids_at + ids_size] if ids_at < len(data) else b""
        attrs.append((data[at : at + attr_size - 16], [i for (i,) in struct.iter_unpack("<Q", raw[: len(raw) & ~7])]))
    end = min(data_at + data_size, len(data)) if data_size else len(data)
    records, tail = _split(data[data_at:end])
    return Recording(attrs[:64], records, _features(data, end) if data_size else {}, tail=tail)


def assemble(parts: Recording) -> bytes:
    """A file of these parts whose sizes and offsets are right."""
    body = b"".join(parts.records) + parts.tail
    if parts.is_pipe:
        return MAGIC + struct.pack("<Q", 16) + body
    attr_size = max((len(raw) for raw, _ in parts.attrs), default=ATTR_SIZE) + 16
    ids, attrs = b"", b""
    for raw, numbers in parts.attrs:
        attrs += raw.ljust(attr_size - 16, b"\0") + struct.pack("<2Q", HEADER_SIZE + len(ids), 8 * len(numbers))
        ids += struct.pack(f"<{len(numbers)}Q", *numbers)
    attrs_at = HEADER_SIZE + len(ids)
    data_at = attrs_at + len(attrs)
    bits = sorted(parts.features)
    bitmap = sum(1 << bit for bit in bits).to_bytes(32, "little")
    header = MAGIC + struct.pack("<8Q", HEADER_SIZE, attr_size, attrs_at, len(attrs), data_at, len(body), 0, 0) + bitmap
    at = data_at + len(body) + 16 * len(bits)
    table, contents = b"", b""
    for bit in bits:
        table += struct.pack("<2Q", at + len(contents), len(parts.features[bit]))
        contents += parts.features[bit]
    return header + ids + attrs + body + table + contents


def lie(data: bytes, random: Random) -> bytes:
    """The file with one claim made wild: of its header, of a record's size, or of any aligned word."""
    changed = bytearray(data)
    where = random.random()
    if where < 0.3:
        at = 8 + 8 * random.randrange(12)
    elif where < 0.6 and len(data) > HEADER_SIZE:
        starts = _record_starts(data)
        at = random.choice(starts) if starts else 0
        size = random.choice((0, 1, 7, 8, 9, 16, 0x7FFF, 0xFFFF, random.randrange(1 << 16)))
        changed[at + 6 : at + 8] = size.to_bytes(2, "little")
        return bytes(changed)
    else:
        at = random.randrange(max(len(data) // 8, 1)) * 8
    changed[at : at + 8] = random.choice(WILD_WORDS).to_bytes(8, "little")
    return bytes(changed[: len(data)])


def compressed(records: list[bytes], random: Random) -> list[bytes]:
    """COMPRESSED records that hold these records as one zstd stream, cut at any byte."""
    stream = zstd(b"".join(records), level=random.choice((1, 3, 19)))
    cuts = sorted(random.randrange(len(stream) + 1) for _ in range(random.randrange(4)))
    edges = [0, *cuts, len(stream)]
    return [record(COMPRESSED, 0, stream[a:b]) for a, b in pairwise(edges)]


def zstd(content: bytes, *, level: int = 3) -> bytes:
    """One zstd frame."""
    library = _zstd()
    bound = library.ZSTD_compressBound(len(content))
    out = ctypes.create_string_buffer(bound)
    size = library.ZSTD_compress(out, bound, content, len(content), level)
    return out.raw[:size]


@lru_cache(maxsize=1)
def _zstd() -> ctypes.CDLL:
    library = ctypes.CDLL("libzstd.so.1")
    size = ctypes.c_size_t
    library.ZSTD_compressBound.argtypes, library.ZSTD_compressBound.restype = [size], size
    library.ZSTD_compress.argtypes = [ctypes.c_char_p, size, ctypes.c_char_p, size, ctypes.c_int]
    library.ZSTD_compress.restype = size
    return library


def _split(body: bytes) -> tuple[list[bytes], bytes]:
    """The records, and the rest from the first header that cannot be true."""
    records: list[bytes] = []
    at = 0
    while at + 8 <= len(body) and len(records) < 2000:
        size = int.from_bytes(body[at + 6 : at + 8], "little")
        if size < 8 or at + size > len(body):
            break
        records.append(body[at : at + size])
        at += size
    return records, body[at:]


def _features(data: bytes, at: int) -> dict[int, bytes]:
    bitmap = int.from_bytes(data[72:104], "little")
    features = {}
    for bit in (bit for bit in range(256) if bitmap >> bit & 1):
        if at + 16 > len(data):
            break
        start, size = struct.unpack_from("<2Q", data, at)
        features[bit] = data[start : start + min(size, 4096)] if start < len(data) else b""
        at += 16
    return features


def _record_starts(data: bytes) -> list[int]:
    at = 16 if data[8] == 16 else struct.unpack_from("<Q", data, 40)[0]
    starts: list[int] = []
    while at + 8 <= len(data) and len(starts) < 2000:
        starts.append(at)
        at += max(int.from_bytes(data[at + 6 : at + 8], "little"), 8)
    return starts
