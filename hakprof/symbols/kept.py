"""Symbol work that is kept between runs: tables and inlined chains of an object by its build id, the kernel's by boot.

An object's entries bear its build id, the sizes of its files (a stripped file has the same id) and a digest of the code
that reads them. The object itself is still looked for each time, so what is not there, or is of another build, is said
as it is without a cache.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import cache as cache_once
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hakprof.cache import Cache, Entry
from hakprof.elf import ElfFile
from hakprof.symbols.inlines import InlineTable, Location, make_symcache
from hakprof.symbols.objects import FoundObject
from hakprof.symbols.symtab import SymbolTable

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MODULES = Path("/proc/modules")
_MOST_ADDRESSES = 1 << 18  # of one object
_SEPARATOR = "\0"  # no name in an object file holds it
Chain = tuple[Location, ...]


def kept_table(cache: Cache | None, name: str | None, make: Callable[[], SymbolTable]) -> SymbolTable:
    """A symbol table from the cache, otherwise made and kept. ``name`` None: it cannot be told from others."""
    if cache is None or name is None:
        return make()
    entry = cache.load(f"symbols-{name}")
    table = _table(entry) if entry is not None else None
    if table is None:
        table = make()
        if table.names:
            arrays: dict[str, npt.NDArray[Any]] = {
                "starts": table.starts,
                "ends": table.ends,
                "names": _joined(table.names),
            }
            cache.store(f"symbols-{name}", Entry(arrays, {}))
    return table


def object_name(found: FoundObject) -> str | None:
    """What the entries of an object bear; None for one without build id."""
    if not found.runtime.build_id:
        return None
    sizes = [each.path.stat().st_size for each in (found.runtime, found.debug)]
    return f"{found.runtime.build_id}-{sizes[0]}-{sizes[1]}-{_code_digest()}"


def kernel_name() -> str | None:
    """What the running kernel's table bears: the boot, and the modules that are loaded."""
    try:
        boot = _BOOT_ID.read_text(encoding="utf-8").strip()
        # A kernel without modules has no such file.
        text = _MODULES.read_text(encoding="utf-8") if _MODULES.exists() else ""
    except (OSError, ValueError):
        return None
    modules = [line.split() for line in text.splitlines()]
    loaded = sorted((words[0], words[1], words[-1]) for words in modules if len(words) > 1)
    return f"{boot}-{hashlib.sha256(repr(loaded).encode()).hexdigest()[:16]}-{_code_digest()}"


class KeptInlines:
    """The inlined chains of one object. DWARF is read only for addresses that no run has asked for before."""

    def __init__(self, debug: ElfFile, cache: Cache | None, name: str | None) -> None:
        self._debug = debug
        self._cache = cache if name is not None else None
        self._name = name
        self._known: dict[int, Chain] | None = None
        self._table: InlineTable | None = None

    def find(self, addresses: Sequence[int]) -> list[Chain]:
        """The chain at each of some virtual addresses of the file, innermost first."""
        if self._known is None:
            entry = self._cache.load(f"inlines-{self._name}") if self._cache is not None else None
            self._known = (_chains(entry) if entry is not None else None) or {}
        missing = [address for address in dict.fromkeys(addresses) if address not in self._known]
        if missing:
            table = self._open()
            found = {address: table.find(address) for address in missing}
            self._known = found if len(self._known) + len(found) > _MOST_ADDRESSES else self._known | found
            if self._cache is not None:
                self._cache.store(f"inlines-{self._name}", _packed(self._known))
            return [found[address] if address in found else self._known[address] for address in addresses]
        return [self._known[address] for address in addresses]

    def _open(self) -> InlineTable:
        if self._table is None:
            self._table = InlineTable(self._debug, self._symcache)
        return self._table

    def _symcache(self) -> bytes | None:
        """The object's DWARF in the form in which it is looked up, which takes a while to make."""
        if self._cache is None:
            return make_symcache(self._debug.path)
        entry = self._cache.load(f"symcache-{self._name}")
        if entry is not None and "symcache" in entry.arrays:
            return entry.arrays["symcache"].tobytes()
        made = make_symcache(self._debug.path)
        if made is not None:
            self._cache.store(f"symcache-{self._name}", Entry({"symcache": np.frombuffer(made, dtype=np.uint8)}, {}))
        return made


def _table(entry: Entry) -> SymbolTable | None:
    arrays = entry.arrays
    if not {"starts", "ends", "names"} <= arrays.keys():
        return None
    starts, ends = arrays["starts"].astype(np.uint64), arrays["ends"].astype(np.uint64)
    names = _split(arrays["names"])
    return SymbolTable(starts, ends, names) if starts.size == ends.size == len(names) else None


def _packed(chains: dict[int, Chain]) -> Entry:
    """Chains as arrays: how long each is, and of each location the numbers of its function and file, and its line."""
    numbers: dict[str, int] = {"": 0}
    locations = [
        (
            numbers.setdefault(each.function, len(numbers)),
            numbers.setdefault(each.file or "", len(numbers)),
            each.line or 0,
        )
        for chain in chains.values()
        for each in chain
    ]
    table = np.array(locations, dtype=np.uint32).reshape(-1, 3)
    arrays: dict[str, npt.NDArray[Any]] = {
        "addresses": np.fromiter(chains, dtype=np.uint64, count=len(chains)),
        "lengths": np.array([len(chain) for chain in chains.values()], dtype=np.uint32),
        "functions": np.ascontiguousarray(table[:, 0]),
        "files": np.ascontiguousarray(table[:, 1]),
        "lines": np.ascontiguousarray(table[:, 2]),
        "texts": _joined(list(numbers)),
    }
    return Entry(arrays, {})


def _chains(entry: Entry) -> dict[int, Chain] | None:
    arrays = entry.arrays
    if arrays.keys() != {"addresses", "lengths", "functions", "files", "lines", "texts"}:
        return None
    texts = _split(arrays["texts"])
    fields = (arrays[name].tolist() for name in ("functions", "files", "lines"))
    locations = [Location(texts[f], texts[file] or None, line or None) for f, file, line in zip(*fields, strict=True)]
    chains, at = {}, 0
    for address, length in zip(arrays["addresses"].tolist(), arrays["lengths"].tolist(), strict=True):
        chains[address] = tuple(locations[at : at + length])
        at += length
    return chains


def _joined(texts: Sequence[str]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(_SEPARATOR.join(texts).encode("utf-8", "surrogatepass"), dtype=np.uint8)


def _split(texts: npt.NDArray[Any]) -> tuple[str, ...]:
    return tuple(texts.tobytes().decode("utf-8", "surrogatepass").split(_SEPARATOR))


@cache_once
def _code_digest() -> str:
    """Of the code that makes what is kept, so that none of an older hakprof is used."""
    folder = Path(__file__).resolve().parent
    digest = hashlib.sha256()
    for path in sorted([*folder.glob("*.py"), folder.parent / "elf.py"]):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
