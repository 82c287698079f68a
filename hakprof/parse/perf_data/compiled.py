"""The compiled walker (walker.c): samples added up as fast as they are read, with the results of numpy to the bit.

It is a plain shared library, built beside this file when the package is built (hatch_build.py) and called through
ctypes: no Python header, so one build serves every Python version. Without a C compiler the package installs all the
same, and numpy does the work.
"""

import ctypes
import os
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hakprof.errors import HakprofError
from hakprof.parse.perf_data.aggregate import Chains, SampleTable, chains_of
from hakprof.parse.perf_data.epochs import Boundaries
from hakprof.parse.perf_data.format import EventAttr
from hakprof.parse.perf_data.samples import fixed_period, ids_of, layouts_of
from hakprof.parse.perf_data.walk import Bytes, Words

LIBRARY = Path(__file__).with_name("walker.so")
CHOICE = "HAKPROF_WALKER"  # "numpy" or "compiled" settles which is used; by default compiled where it is built
_ABI = 4
_ABSENT = -1

_WORD = np.dtype("<u8")
_EVENT = np.dtype(
    [*((name, "<i4") for name in ("ip", "tid", "time", "period", "fixed_words", "has_chain")), ("fixed_period", "<u8")]
)
_THREAD = np.dtype([("tid", "<i4"), ("begin", "<u4"), ("end", "<u4")])
_ROW = np.dtype(
    [
        *((name, "<u8") for name in ("key", "ip", "stack", "count", "period", "first", "last")),
        *(("pid", "<i4"), ("tid", "<i4"), ("epoch", "<u4"), ("event", "<u2"), ("cpumode", "u1"), ("padding", "u1")),
    ]
)
_EXTREMES = np.dtype([("least", "<u8"), ("most", "<u8")])
_CHAIN = np.dtype([("hash", "<u8"), ("offset", "<u8"), ("length", "<u8")])


class _Config(ctypes.Structure):
    _fields_ = (
        ("events", ctypes.c_void_p),
        ("event_count", ctypes.c_size_t),
        ("id", ctypes.c_int32),
        ("keeps_chains", ctypes.c_int32),
        ("ids", ctypes.c_void_p),
        ("id_events", ctypes.c_void_p),
        ("id_count", ctypes.c_size_t),
        ("threads", ctypes.c_void_p),
        ("thread_count", ctypes.c_size_t),
        ("times", ctypes.c_void_p),
        ("seed", ctypes.c_uint64),
    )


class _Result(ctypes.Structure):
    _fields_ = (
        ("rows", ctypes.c_void_p),
        ("periods", ctypes.c_void_p),
        ("chains", ctypes.c_void_p),
        ("words", ctypes.c_void_p),
        ("row_count", ctypes.c_size_t),
        ("chain_count", ctypes.c_size_t),
        ("word_count", ctypes.c_size_t),
        ("samples", ctypes.c_uint64),
        ("malformed", ctypes.c_uint64),
    )


def compiled_library() -> ctypes.CDLL | None:
    """The walker, or None where numpy is to do its work."""
    choice = os.environ.get(CHOICE, "")
    library = None if choice == "numpy" else _load()
    if library is None and choice == "compiled":
        raise HakprofError(
            f"{CHOICE}=compiled, but the walker is not built", remedy="install gcc and install hakprof again"
        )
    return library


@lru_cache(maxsize=1)
def _load() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(str(LIBRARY))
        if library.walker_abi() != _ABI:
            return None
        library.walker_new.argtypes = [ctypes.POINTER(_Config)]
        library.walker_new.restype = ctypes.c_void_p
        library.walker_free.argtypes = [ctypes.c_void_p]
        library.walker_free.restype = None
        library.walker_take.argtypes = [ctypes.c_void_p, ctypes.c_void_p] + [ctypes.c_size_t] * 2 + [ctypes.c_uint64]
        library.walker_take.restype = ctypes.c_int64
        library.walker_renamed.argtypes = [ctypes.c_void_p, ctypes.c_int32]
        library.walker_renamed.restype = ctypes.c_int
        library.walker_result.argtypes = [ctypes.c_void_p, ctypes.POINTER(_Result)]
        library.walker_result.restype = None
    except (OSError, AttributeError):
        return None  # not built, for another machine, or of another version
    return library


class CompiledEngine:
    """Takes samples whose layout is plain (``Layout.is_plain``) for all events."""

    def __init__(
        self, library: ctypes.CDLL, attrs: tuple[EventAttr, ...], boundaries: Boundaries, *, keeps_chains: bool
    ) -> None:
        self._library, self._event_count = library, len(attrs)
        layouts = layouts_of(attrs)
        events = np.zeros(len(attrs), dtype=_EVENT)
        for index, (attr, layout) in enumerate(zip(attrs, layouts, strict=True)):
            words = (_word(each) for each in (layout.ip, layout.tid, layout.time, layout.period))
            events[index] = (*words, layout.fixed_words, layout.has_chain, fixed_period(attr))
        ids, id_events = ids_of(attrs)
        threads, times = _threads(boundaries)
        config = _Config(
            events=events.ctypes.data,
            event_count=events.size,
            id=_word(layouts[0].id),
            keeps_chains=keeps_chains,
            ids=ids.ctypes.data,
            id_events=id_events.ctypes.data,
            id_count=ids.size,
            threads=threads.ctypes.data,
            thread_count=threads.size,
            times=times.ctypes.data,
            seed=int.from_bytes(os.urandom(8)),
        )
        self._walker = library.walker_new(ctypes.byref(config))
        if not self._walker:
            raise MemoryError

    def __del__(self) -> None:
        if getattr(self, "_walker", None):
            self._library.walker_free(self._walker)

    @property
    def samples(self) -> int:
        """All samples that were taken."""
        return int(self._result().samples)

    @property
    def malformed(self) -> int:
        """Those of them that were left out."""
        return int(self._result().malformed)

    @property
    def periods(self) -> tuple[Words, Words]:
        """The least and the most period of the samples of each event; least > most where it has none."""
        found = _copy(self._result().periods, self._event_count, _EXTREMES)
        return found["least"], found["most"]

    def renamed(self, tid: int) -> None:
        """Begins new rows for the samples of a thread from here on, unless the times of its changes are known."""
        if self._library.walker_renamed(self._walker, tid) < 0:
            raise MemoryError

    def block(self, block: Bytes, offset: int) -> "_CompiledBlock":
        """For the samples of a block that stands at ``offset`` of the file."""
        return _CompiledBlock(self, block, offset)

    def take(self, address: int, size: int, position: int, offset: int) -> int:
        """Takes the samples of a block of memory from ``position`` on; the position behind them."""
        behind: int = self._library.walker_take(self._walker, address, size, position, offset)
        if behind < 0:
            raise MemoryError
        return behind

    def result(self) -> tuple[SampleTable | None, Chains]:
        """The rows, ascending by key, and the distinct chains, ascending by hash."""
        found = self._result()
        rows = _copy(found.rows, found.row_count, _ROW)
        rows = rows[np.argsort(rows["key"])]
        table = SampleTable(*(np.ascontiguousarray(rows[each.name]) for each in fields(SampleTable)))
        chains = _copy(found.chains, found.chain_count, _CHAIN)
        words = _copy(found.words, found.word_count, _WORD)
        return table if rows.size else None, chains_of(chains["hash"], chains["length"].astype(np.int64), words)

    def _result(self) -> _Result:
        result = _Result()
        self._library.walker_result(self._walker, ctypes.byref(result))
        return result


class _CompiledBlock:
    """The samples of one block, added up at once."""

    def __init__(self, engine: CompiledEngine, block: Bytes, offset: int) -> None:
        self._engine, self._block, self._offset = engine, block, offset
        self._address = block.ctypes.data  # asked for once: runs of samples may be short

    def take(self, position: int) -> int:
        return self._engine.take(self._address, self._block.size, position, self._offset)

    def finish(self) -> None:
        """Nothing is left to do."""


def _word(offset: int | None) -> int:
    return _ABSENT if offset is None else offset


def _threads(boundaries: Boundaries) -> tuple[npt.NDArray[np.void], Words]:
    """The threads, ascending, with their ranges of the times, which follow one another."""
    ordered = sorted(boundaries.items())
    ends = np.cumsum([times.size for _, times in ordered], dtype=np.int64)
    threads = np.zeros(len(ordered), dtype=_THREAD)
    threads["tid"] = [tid for tid, _ in ordered]
    threads["begin"][1:], threads["end"] = ends[:-1], ends
    return threads, np.concatenate([np.zeros(0, dtype=np.uint64), *(times for _, times in ordered)])


def _copy(address: int | None, count: int, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    """An array of what the walker has at an address."""
    return np.frombuffer(ctypes.string_at(address, count * kind.itemsize) if address else b"", dtype=kind)
