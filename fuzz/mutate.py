"""Changes to a recording that keep it a recording: whole records, events, samples, times, compressed stretches."""

import struct
from collections.abc import Callable
from random import Random

from recordings import WILD_WORDS, Recording, assemble, compressed, lie, record, take_apart

_KINDS = (*range(1, 22), *range(64, 84))
_SAMPLE, _COMPRESSED, _ATTR, _FEATURE = 9, 81, 64, 80
_MARKERS = (2**64 - 512, 2**64 - 128, 2**64 - 32, 2**64 - 640, 2**64 - 1, 2**64 - 4095)
_SAMPLE_TYPE_BITS = tuple(1 << bit for bit in range(25))
# How often a field stands before the chain of a sample: IDENTIFIER, IP, TID, TIME, ADDR, ID, STREAM_ID, CPU, PERIOD.
_BEFORE_CHAIN = 1 << 16 | 0x1CF
_READ, _CHAIN = 1 << 4, 1 << 5
_TRAILER = 1 << 16 | 0x2C6
_MAX_RECORDS = 400


def mutated(data: bytes, seed: int) -> bytes | None:
    """The file changed in a few places; None for what is not even the beginning of a recording."""
    random = Random(seed)
    parts = take_apart(data)
    if parts is None:
        return None
    for _ in range(random.choice((1, 1, 1, 2, 3, 6))):
        random.choice(_CHANGES)(parts, random)
        del parts.records[_MAX_RECORDS:]
    made = assemble(parts)
    if random.random() < 0.25:
        made = lie(made, random)
    if random.random() < 0.08:
        made = made[: random.randrange(len(made))]
    return made


def _pick(parts: Recording, random: Random) -> int:
    return random.randrange(len(parts.records)) if parts.records else 0


def _drop(parts: Recording, random: Random) -> None:
    at = _pick(parts, random)
    del parts.records[at : at + random.choice((1, 1, 2, 5, 40))]


def _repeat(parts: Recording, random: Random) -> None:
    at = _pick(parts, random)
    parts.records[at:at] = parts.records[at : at + random.choice((1, 1, 3))] * random.choice((1, 2, 30))


def _move(parts: Recording, random: Random) -> None:
    if parts.records:
        one = parts.records.pop(_pick(parts, random))
        parts.records.insert(random.randrange(len(parts.records) + 1), one)


def _poke(parts: Recording, random: Random) -> None:
    """Another value in one field of a record, of 1 to 8 bytes."""
    if not parts.records:
        return
    at = _pick(parts, random)
    changed = bytearray(parts.records[at])
    width = random.choice((1, 2, 4, 8))
    value = random.choice((random.choice(WILD_WORDS), random.getrandbits(64), random.randrange(64)))
    place = random.randrange(len(changed)) // width * width
    changed[place : place + width] = (value & ((1 << 8 * width) - 1)).to_bytes(width, "little")[: len(changed) - place]
    _put(parts, at, bytes(changed))


def _nudge(parts: Recording, random: Random) -> None:
    """A field a little more or less than it was: neighbouring addresses, times that go back."""
    if not parts.records:
        return
    at = _pick(parts, random)
    changed = bytearray(parts.records[at])
    if len(changed) < 16:
        return
    place = random.randrange(1, len(changed) // 8) * 8
    value = int.from_bytes(changed[place : place + 8], "little") + random.choice((-4096, -8, -1, 1, 8, 4096))
    changed[place : place + 8] = (value % 2**64).to_bytes(8, "little")
    _put(parts, at, bytes(changed))


def _put(parts: Recording, at: int, changed: bytes) -> None:
    kind, misc, _ = struct.unpack_from("<IHH", changed)
    parts.records[at] = record(kind, misc, changed[8:])


def _retype(parts: Recording, random: Random) -> None:
    if parts.records:
        at = _pick(parts, random)
        _, misc, _ = struct.unpack_from("<IHH", parts.records[at])
        misc = random.choice((misc, misc ^ (1 << random.randrange(16)), random.getrandbits(16)))
        kind = random.choice((struct.unpack_from("<I", parts.records[at])[0], random.choice(_KINDS)))
        parts.records[at] = record(kind, misc, parts.records[at][8:])


def _resize(parts: Recording, random: Random) -> None:
    if parts.records:
        at = _pick(parts, random)
        content = parts.records[at][8:]
        content = content[: random.randrange(len(content) + 1)] + random.randbytes(random.choice((0, 0, 1, 8, 64)))
        kind, misc, _ = struct.unpack_from("<IHH", parts.records[at])
        parts.records[at] = record(kind, misc, content)


def _make(parts: Recording, random: Random) -> None:
    """A record of any kind that the reader acts on, with values that meet those of others."""
    pid, tid = random.choice((0, 1, 2, 7, -1)), random.choice((0, 1, 2, 7, -1))
    start, time = random.randrange(16) << 12, random.randrange(64)
    trailer = struct.pack("<4Q", random.getrandbits(3), time, random.getrandbits(2), random.getrandbits(2))
    identity = struct.pack("<BBH20s", random.choice((0, 20, 255)), 0, 0, random.randbytes(20))
    name = random.choice((b"/a", b"//anon", b"[vdso]", b"[kernel.kallsyms]_text", b"\xff\xfe", b"")) + b"\0" * 8
    made = random.choice(
        (
            record(1, random.choice((1, 2)), struct.pack("<iiQQQ", pid, tid, start, 4096, 0) + name + trailer),
            record(
                10,
                random.choice((2, 1 << 14 | 2, 1)),
                struct.pack("<iiQQQ", pid, tid, start, 8192, 4096)
                + identity
                + struct.pack("<II", 5, 2)
                + name
                + trailer,
            ),
            record(3, random.choice((0, 1 << 13)), struct.pack("<ii", pid, tid) + name + trailer),
            record(7, random.choice((0, 1 << 13)), struct.pack("<4iQ", pid, tid, pid, tid, time) + trailer),
            record(7, 0, struct.pack("<4iQ", random.randrange(8), pid, random.randrange(8), tid, time) + trailer),
            record(2, 0, struct.pack("<QQ", 1, random.choice(WILD_WORDS)) + trailer),
            record(13, 0, struct.pack("<Q", random.choice(WILD_WORDS)) + trailer),
            record(71, 0, struct.pack("<QQQIIII", random.choice((0, 8, *WILD_WORDS)), 0, 0, 0, 0, 0, 0)),
            record(66, 0, struct.pack("<I", random.choice((0, 8, 16, 0xFFFFFFFF)))),
            record(67, random.choice((0, 1 << 15)), struct.pack("<i", pid) + identity[4:] + identity[:4] + name),
            record(random.choice(_KINDS), random.getrandbits(16), random.randbytes(random.choice((0, 8, 64)))),
        )
    )
    parts.records.insert(random.randrange(len(parts.records) + 1), made)


def _sample(parts: Recording, random: Random) -> None:
    """A sample as one of the file's events lays it out."""
    attr = random.choice(parts.attrs) if parts.attrs else _piped_attr(parts)
    if attr is None or len(attr[0]) < 48:
        return
    sample_type, read_format = struct.unpack_from("<2Q", attr[0], 24)
    words: list[int] = []
    for bit in (1 << 16, 1, 2, 4, 8, 64, 512, 128, 256):
        if sample_type & bit & (_BEFORE_CHAIN | 512):
            words.append(_field(bit, attr[1], random))
    if sample_type & _READ:
        members = random.randrange(4)
        words += [members] if read_format & 8 else []
        words += [random.getrandbits(20) for _ in range(3 * members)]
    if sample_type & _CHAIN:
        chain = [random.choice((*_MARKERS, *range(4096, 65536, 4096))) for _ in range(random.randrange(12))]
        words += [random.choice((len(chain), len(chain), len(chain), 2**63, 0)), *chain]
    made = record(_SAMPLE, random.choice((1, 2, 4, 7, 0x4002)), struct.pack(f"<{len(words)}Q", *words))
    parts.records[(at := random.randrange(len(parts.records) + 1)) : at] = [made] * random.choice((1, 1, 3))


def _field(bit: int, ids: list[int], random: Random) -> int:
    if bit in (1 << 16, 64):
        return random.choice((*ids, 0))
    if bit == 2:
        return random.randrange(8) << 32 | random.randrange(8)
    if bit == 4:
        return random.choice((random.randrange(64), 2**64 - 1))
    return random.choice((random.randrange(16) << 12 | 8, random.getrandbits(16), random.choice(WILD_WORDS)))


def _piped_attr(parts: Recording) -> tuple[bytes, list[int]] | None:
    for one in parts.records:
        if struct.unpack_from("<I", one)[0] == _ATTR and len(one) >= 72:
            size = struct.unpack_from("<I", one, 12)[0]
            raw = one[8 + size :] if 64 <= size < len(one) else b""
            return one[8:], [i for (i,) in struct.iter_unpack("<Q", raw[: len(raw) & ~7])]
    return None


def _event(parts: Recording, random: Random) -> None:
    """An event more, less, or described otherwise."""
    if not parts.attrs:
        return
    index = random.randrange(len(parts.attrs))
    raw, ids = parts.attrs[index]
    choice = random.random()
    if choice < 0.2:
        parts.attrs.append((raw, [random.getrandbits(3)]))
    elif choice < 0.3 and len(parts.attrs) > 1:
        del parts.attrs[index]
    elif len(raw) >= 64:
        changed = bytearray(raw)
        at = random.choice((0, 4, 8, 16, 24, 24, 24, 32, 32, 40))
        value = struct.unpack_from("<Q", changed, at)[0] ^ random.choice(_SAMPLE_TYPE_BITS)
        struct.pack_into("<Q", changed, at, random.choice((value, value, random.choice(WILD_WORDS))))
        parts.attrs[index] = (bytes(changed), ids)


def _note(parts: Recording, random: Random) -> None:
    """A feature section that says something else."""
    if parts.is_pipe:
        piped = struct.pack("<Q", random.randrange(32)) + random.randbytes(random.randrange(40))
        parts.records.insert(random.randrange(len(parts.records) + 1), record(_FEATURE, 0, piped))
        return
    bit = random.choice((2, 3, 4, 5, 6, 7, 11, 12, random.randrange(256)))
    content = bytearray(parts.features.get(bit, bytes(40)))
    if content and random.random() < 0.8:
        at = random.randrange(len(content)) & ~3
        content[at : at + 4] = random.choice(WILD_WORDS).to_bytes(8, "little")[:4]
    parts.features[bit] = bytes(content[: random.randrange(len(content) + 1)] if random.random() < 0.2 else content)


def _compress(parts: Recording, random: Random) -> None:
    at = _pick(parts, random)
    end = min(at + random.choice((1, 5, 50)), len(parts.records))
    parts.records[at:end] = compressed(parts.records[at:end], random)


def _turn_into_pipe(parts: Recording, random: Random) -> None:
    """The same events and records as `perf record -o -` writes them."""
    if parts.is_pipe or not parts.attrs:
        return
    described = [record(_ATTR, 0, raw + struct.pack(f"<{len(ids)}Q", *ids)) for raw, ids in parts.attrs]
    parts.records[:0] = described
    parts.attrs, parts.features, parts.is_pipe = [], {}, True


_CHANGES: tuple[Callable[[Recording, Random], None], ...] = (
    *(_drop, _repeat, _move, _poke, _poke, _nudge, _nudge, _retype, _resize),
    *(_make, _make, _make, _sample, _sample, _event, _note, _compress, _turn_into_pipe),
)
