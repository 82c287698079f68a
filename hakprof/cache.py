"""What is costly to compute and depends on files alone, kept between runs in ~/.cache/hakprof (or $XDG_CACHE_HOME).

An entry is whole or it is not there: it is written aside and renamed, and carries a checksum. Whoever finds it missing,
damaged or out of reach computes anew; writers do not wait for one another, the last one's entry stays. The folder is
kept below a size by dropping what was not used for longest.
"""

import json
import os
import secrets
import struct
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

MOST_BYTES = 512 << 20
_MAGIC = b"hakcache"
_HEADER = struct.Struct("<8sIIQ")  # magic, checksum of the rest, bytes of JSON, bytes of arrays
_SUFFIX = ".entry"
_PARTIAL_SECONDS = 3600  # a writer that has not finished by then never will


@dataclass(frozen=True, slots=True)
class Entry:
    """Named arrays of one dimension, and what else there is to say, as JSON has it."""

    arrays: Mapping[str, "npt.NDArray[np.generic]"]
    notes: Mapping[str, Any]


class Cache:
    """Entries by name (letters, digits, `-`, `_`, `.`) in one folder, which need not exist and may be read-only."""

    def __init__(self, folder: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self.folder = folder
        self._most_bytes = most_bytes

    def load(self, name: str) -> Entry | None:
        """The entry, or None if there is none that can be trusted; a damaged one is removed."""
        path = self._path(name)
        try:
            content = path.read_bytes()
            entry = _decode(content)
            if entry is None:
                path.unlink()
            else:
                os.utime(path)
        except OSError:
            return None
        return entry

    def store(self, name: str, entry: Entry) -> None:
        """Keeps an entry; a folder that cannot be written only costs time."""
        path = self._path(name)
        partial = path.with_name(f".{secrets.token_hex(8)}.partial")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                partial.write_bytes(_encode(entry))
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
            self._drop_oldest()
        except OSError:
            return

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}{_SUFFIX}"

    def _drop_oldest(self) -> None:
        """Removes what was used last, until the folder is small enough; and what broken writers left."""
        files = [(each.stat(), Path(each.path)) for each in os.scandir(self.folder) if each.is_file()]
        begun = time.time() - _PARTIAL_SECONDS
        for status, path in files:
            if path.suffix == ".partial" and status.st_mtime < begun:
                path.unlink(missing_ok=True)
        entries = sorted((s.st_mtime_ns, s.st_size, path) for s, path in files if path.suffix == _SUFFIX)
        excess = sum(size for _, size, _ in entries) - self._most_bytes
        for _, size, path in entries:
            if excess <= 0:
                return
            path.unlink(missing_ok=True)
            excess -= size


def user_cache() -> Cache | None:
    """The user's own cache; None where there is no home for it."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    try:
        root = Path(configured) if Path(configured).is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        return None
    return Cache(root / "hakprof")


def _encode(entry: Entry) -> bytes:
    described = [(name, array.dtype.str, array.size) for name, array in entry.arrays.items()]
    text = json.dumps({"arrays": described, "notes": dict(entry.notes)}, separators=(",", ":")).encode()
    body = b"".join(array.tobytes() for array in entry.arrays.values())
    return _HEADER.pack(_MAGIC, zlib.crc32(body, zlib.crc32(text)), len(text), len(body)) + text + body


def _decode(content: bytes) -> Entry | None:
    import numpy as np

    if len(content) < _HEADER.size:
        return None
    magic, checksum, text_size, body_size = _HEADER.unpack_from(content)
    if magic != _MAGIC or len(content) != _HEADER.size + text_size + body_size:
        return None
    if zlib.crc32(memoryview(content)[_HEADER.size :]) != checksum:
        return None
    described = json.loads(content[_HEADER.size : _HEADER.size + text_size])
    arrays, position = {}, _HEADER.size + text_size
    for name, kind, count in described["arrays"]:
        arrays[name] = np.frombuffer(content, dtype=kind, count=count, offset=position)
        position += count * np.dtype(kind).itemsize
    return Entry(arrays, described["notes"])
