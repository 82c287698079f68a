"""Decompressing the zstd stream that `perf record -z` writes, by the system's libzstd (perf itself needs it too)."""

import ctypes
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from hakprof.errors import ParseError

_CHUNK_BYTES = 1 << 20
# Recordings shrink to a twentieth, or a two-hundredth where all samples are the same. Beyond this the file is a bomb.
_MOST_INFLATION = 1024
_INFLATION_FLOOR = 4 << 20


class _Buffer(ctypes.Structure):
    """ZSTD_inBuffer and ZSTD_outBuffer of zstd.h, which have the same layout."""

    _fields_ = (("data", ctypes.c_void_p), ("size", ctypes.c_size_t), ("position", ctypes.c_size_t))


class DamagedStreamError(Exception):
    """The compressed bytes are not what a compressor wrote."""


class Inflater:
    """One zstd stream that is fed piece by piece; what it yields is at most a mebibyte at a time."""

    def __init__(self) -> None:
        self._library = _library()
        self._stream = ctypes.c_void_p(self._library.ZSTD_createDStream())
        if not self._stream:
            raise MemoryError
        self._library.ZSTD_initDStream(self._stream)
        self._left = _INFLATION_FLOOR

    def __del__(self) -> None:
        if getattr(self, "_stream", None):
            self._library.ZSTD_freeDStream(self._stream)

    def feed(self, piece: bytes) -> Iterator[npt.NDArray[np.uint8]]:
        """What the next piece of the stream decompresses to; each array is the caller's own."""
        self._left += _MOST_INFLATION * len(piece)
        source = ctypes.create_string_buffer(piece, len(piece))
        taken = _Buffer(ctypes.addressof(source), len(piece), 0)
        while True:
            chunk = np.empty(_CHUNK_BYTES, dtype=np.uint8)
            made = _Buffer(chunk.ctypes.data, chunk.size, 0)
            result = self._library.ZSTD_decompressStream(self._stream, ctypes.byref(made), ctypes.byref(taken))
            if self._library.ZSTD_isError(result):
                raise DamagedStreamError(str(self._library.ZSTD_getErrorName(result).decode()))
            self._left -= made.position
            if self._left < 0:
                raise DamagedStreamError(f"compressed records inflate to more than {_MOST_INFLATION} times their size")
            if made.position:
                yield chunk[: made.position]
            if taken.position >= taken.size and made.position < made.size:
                return


@lru_cache(maxsize=1)
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libzstd.so.1")
    except OSError as error:
        raise ParseError(
            "the recording is compressed (perf record -z), and libzstd.so.1 is not installed",
            remedy="install libzstd1, or record without -z",
        ) from error
    pointer = ctypes.c_void_p
    library.ZSTD_createDStream.restype = pointer
    library.ZSTD_initDStream.argtypes = [pointer]
    library.ZSTD_freeDStream.argtypes = [pointer]
    library.ZSTD_decompressStream.argtypes = [pointer, pointer, pointer]
    library.ZSTD_decompressStream.restype = ctypes.c_size_t
    library.ZSTD_isError.argtypes = [ctypes.c_size_t]
    library.ZSTD_getErrorName.argtypes = [ctypes.c_size_t]
    library.ZSTD_getErrorName.restype = ctypes.c_char_p
    return library
