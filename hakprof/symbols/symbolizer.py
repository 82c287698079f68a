"""Addresses → frames: outer names from symbol tables, inlined functions from DWARF, kernel names from kallsyms."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hakprof.cache import Cache
from hakprof.elf import Segment
from hakprof.errors import ParseError
from hakprof.parse.perf_data.kernel import RecordedKernel
from hakprof.symbols.callframes import FileCallFrames
from hakprof.symbols.demangle import demangle
from hakprof.symbols.elsewhere import left_elsewhere
from hakprof.symbols.kept import Chain, KeptInlines, kept_table, object_name
from hakprof.symbols.kernel import KernelNames
from hakprof.symbols.objects import FoundObject, ObjectFinder
from hakprof.symbols.perf_map import is_perf_map, read_perf_map
from hakprof.symbols.symtab import SymbolTable, elf_symbols, merged_table, plt_symbols, table_of

_NO_SYMBOLS = table_of(())


@dataclass(frozen=True, slots=True)
class Frame:
    """One function at an address. The outermost of an address is not ``inlined``; its name is the symbol table's."""

    function: str | None
    file: str | None
    line: int | None
    dso: str
    inlined: bool


@dataclass(frozen=True, slots=True)
class _Object:
    segments: tuple[Segment, ...]
    symbols: SymbolTable
    inlines: KeptInlines | None
    exported_only: bool = False
    lacking: str | None = None


class Symbolizer:
    """Names addresses of recorded objects.

    ``search`` are folders laid out `<folder>/<build id>/<file name>`; ``kallsyms`` is a copy of the recorded machine's
    /proc/kallsyms (may be .gz); otherwise the running kernel's or one that perf has kept is used, by build id.
    ``cache`` keeps what is costly to compute. What could not be named, and why, is in ``warnings``. ``call_frames``
    are the rules for unwinding stacks in the same objects.
    """

    def __init__(
        self, search: Sequence[Path] = (), *, kallsyms: Path | None = None, cache: Cache | None = None
    ) -> None:
        self._finder = ObjectFinder(search)
        self.call_frames = FileCallFrames(self._finder)
        self._cache = cache
        self._objects: dict[tuple[str, str | None], _Object] = {}
        self._kernel = KernelNames(kallsyms, cache)
        self._warnings: list[str] = []
        self._unverified: list[str] = []

    @property
    def warnings(self) -> tuple[str, ...]:
        """What could not be named, and why, in the order it was met."""
        unverified = []
        if self._unverified:
            others = f" and {len(self._unverified) - 1} more" if len(self._unverified) > 1 else ""
            unverified = [f"{self._unverified[0]}{others}: recorded without build id, may have been another build"]
        return tuple(dict.fromkeys((*self._warnings, *self._kernel.warnings, *self._finder.warnings, *unverified)))

    def user_frames(self, path: str, build_id: str | None, offsets: npt.NDArray[np.uint64]) -> list[tuple[Frame, ...]]:
        """The frames at file offsets of an object, innermost first; () where nothing is known."""
        one = self._object(path, build_id)
        if one.lacking is not None and offsets.size:
            self._warnings.append(f"{path}: {one.lacking}")
        addresses = _virtual_addresses(one.segments, offsets)
        slots = one.symbols.find(addresses).tolist()
        chains = one.inlines.find(addresses.tolist()) if one.inlines is not None else [()] * len(slots)
        return [
            _frames(chain, path, demangle(one.symbols.names[slot]) if slot >= 0 else None)
            for chain, slot in zip(chains, slots, strict=True)
        ]

    def functions(self, path: str, build_id: str | None, offsets: npt.NDArray[np.uint64]) -> list[str | None]:
        """The outermost function at file offsets of an object, None where none is known.

        DWARF, which is slow to read, is asked only where the symbol table has no name.
        """
        one = self._object(path, build_id)
        slots = one.symbols.find(_virtual_addresses(one.segments, offsets))
        names = [demangle(one.symbols.names[slot]) if slot >= 0 else None for slot in slots.tolist()]
        nameless = np.flatnonzero(slots < 0)
        for index, frames in zip(nameless.tolist(), self.user_frames(path, build_id, offsets[nameless]), strict=True):
            names[index] = frames[-1].function if frames else None
        return names

    def kernel_frames(
        self, path: str, recorded: RecordedKernel, addresses: npt.NDArray[np.uint64]
    ) -> list[tuple[Frame, ...]]:
        """The frame at kernel addresses of a recording; () where nothing is known."""
        names = self.kernel_functions(path, recorded, addresses)
        return [(Frame(name, None, None, path, False),) if name else () for name in names]

    def kernel_functions(
        self, path: str, recorded: RecordedKernel, addresses: npt.NDArray[np.uint64]
    ) -> list[str | None]:
        """The function at kernel addresses of a recording, None where none is known."""
        if not path.startswith(("[", "/")):
            # Code of a BPF program is an object of its own, named for its one function. It stands far behind the
            # kernel's, whose last function would seem to reach there.
            return [path] * addresses.size
        return self._kernel.find(path, recorded, addresses)

    def symbol_names(self, path: str, build_id: str | None) -> tuple[str, ...]:
        """All names in the symbol table of an object; () for a stripped or missing one."""
        return self._object(path, build_id).symbols.names

    def names_exported_only(self, path: str, build_id: str | None) -> bool:
        """Whether an object was found, and without the table of its own functions: .dynsym has the exported ones."""
        return self._object(path, build_id).exported_only

    def _object(self, path: str, build_id: str | None) -> _Object:
        key = (path, build_id)
        if key not in self._objects:
            self._objects[key] = self._load(path, build_id)
        return self._objects[key]

    def _load(self, path: str, build_id: str | None) -> _Object:
        if is_perf_map(path):
            return _Object((), read_perf_map(Path(path)), None)
        found = self._finder.find(path, build_id)
        if found is None:
            return _Object((), _NO_SYMBOLS, None)
        if not build_id and path.startswith("/"):
            self._unverified.append(path)
        name = object_name(found)
        try:
            symbols = kept_table(self._cache, name, lambda: _symbols_of(found))
        except (ParseError, OSError) as error:
            self._warnings.append(f"{path}: its symbols cannot be read: {error}")
            symbols = _NO_SYMBOLS
        if not symbols.names:
            self._warnings.append(f"{path}: has no symbols (stripped), its samples stay without names")
        exported_only = found.debug.section(".symtab") is None
        inlines = KeptInlines(found.debug, self._cache, name)
        return _Object(found.segments, symbols, inlines, exported_only, left_elsewhere(found.debug))


def _symbols_of(found: FoundObject) -> SymbolTable:
    return merged_table(elf_symbols(found.debug) or elf_symbols(found.runtime), plt_symbols(found.runtime))


def _frames(chain: Chain, path: str, symbol: str | None) -> tuple[Frame, ...]:
    # A function whose name is in a file that is not read adds nothing to those that it was inlined into.
    inlined = (each for each in chain[:-1] if each.function)
    frames = [Frame(demangle(each.function), each.file, each.line, path, True) for each in inlined]
    outer = chain[-1] if chain else None
    if symbol is not None or outer is not None:
        name = symbol if symbol is not None or outer is None else outer.function
        frames.append(Frame(name, outer.file if outer else None, outer.line if outer else None, path, False))
    return tuple(frames)


def _virtual_addresses(segments: tuple[Segment, ...], offsets: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """File offsets → the addresses that symbols and DWARF use, by the segments of the file."""
    addresses = offsets.copy()
    for segment in segments:
        inside = (offsets >= segment.offset) & (offsets - np.uint64(segment.offset) < segment.file_size)
        shift = np.uint64((segment.address - segment.offset) % 2**64)
        addresses[inside] = offsets[inside] + shift
    return addresses
