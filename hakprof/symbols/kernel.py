"""Names of kernel code, from kallsyms: a copy that was given, the running kernel's, or what perf has kept of another.

The same kernel lies elsewhere after each boot. As in linux/tools/perf/util/symbol.c (kallsyms__delta), the distance is
that between the addresses of its first symbol, in the recording and in kallsyms; modules are moved one by one.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hakprof.cache import Cache
from hakprof.elf import parse_build_id_note, same_build_id
from hakprof.errors import ParseError
from hakprof.parse.perf_data.kernel import KERNEL, RecordedKernel
from hakprof.symbols.kallsyms import PROC_KALLSYMS, read_kallsyms, reference_address
from hakprof.symbols.kept import kept_table, kernel_name
from hakprof.symbols.places import perf_folder
from hakprof.symbols.symtab import SymbolTable, table_of

_KERNEL_NOTES = Path("/sys/kernel/notes")
_MODULES = Path("/proc/modules")


@dataclass(frozen=True, slots=True)
class _Kallsyms:
    """``reference`` is where the kernel lay; ``is_running``: it is that of the kernel that runs now."""

    symbols: SymbolTable
    reference: int | None
    is_running: bool


_UNKNOWN_KERNEL = _Kallsyms(table_of(()), None, is_running=False)


class KernelNames:
    """Names addresses of recorded kernels; ``warnings`` has what could not be named, and why."""

    def __init__(self, copy: Path | None, cache: Cache | None) -> None:
        self.warnings: list[str] = []
        self._copy = copy
        self._cache = cache
        self._known: dict[str | None, _Kallsyms] = {}

    def find(self, path: str, recorded: RecordedKernel, addresses: npt.NDArray[np.uint64]) -> list[str | None]:
        """The function at each address in the kernel or in one of its modules, None where none is known."""
        build_id = recorded.build_id
        if build_id not in self._known:
            self._known[build_id] = self._load(build_id)
        known = self._known[build_id]
        shift = self._shift(path, recorded, known) if known.symbols.names else None
        if shift is None:
            return [None] * addresses.size
        slots = known.symbols.find(addresses + np.uint64(shift % 2**64)).tolist()
        return [known.symbols.names[slot] if slot >= 0 else None for slot in slots]

    def _load(self, build_id: str | None) -> _Kallsyms:
        running = running_kernel_build_id()
        try:
            if self._copy is not None:
                return self._read(self._copy)
            if build_id is None or running is None or same_build_id(build_id, running):
                symbols = kept_table(self._cache, kernel_name(), lambda: read_kallsyms(PROC_KALLSYMS))
                self._complain_if_hidden(PROC_KALLSYMS, symbols)
                return _Kallsyms(symbols, reference_address(PROC_KALLSYMS), is_running=True)
            kept = _kept_by_perf(build_id)
            if kept is not None:
                return self._read(kept)
        except ParseError as error:
            self.warnings.append(error.message)
            return _UNKNOWN_KERNEL
        self.warnings.append("recorded under another kernel: kernel functions stay without names")
        return _UNKNOWN_KERNEL

    def _read(self, path: Path) -> _Kallsyms:
        symbols = read_kallsyms(path)
        self._complain_if_hidden(path, symbols)
        return _Kallsyms(symbols, reference_address(path), is_running=False)

    def _complain_if_hidden(self, path: Path, symbols: SymbolTable) -> None:
        if not symbols.names:
            self.warnings.append(f"{path} hides addresses (kptr_restrict): kernel functions stay without names")

    def _shift(self, path: str, recorded: RecordedKernel, known: _Kallsyms) -> int | None:
        """What to add to recorded addresses; None where nobody can tell."""
        shift = 0
        if recorded.reference is not None and known.reference is not None:
            shift = known.reference - recorded.reference
        elif self._copy is None:
            self.warnings.append(
                "recorded without the kernel's address (kptr_restrict): its functions have right names only if the"
                " machine has not been started anew since"
            )
        if path == KERNEL or not path.startswith("["):
            return shift
        if known.is_running:
            now = running_modules().get(path)
            if now is None:
                self.warnings.append(f"{path}: this module is not loaded now, its functions stay without names")
                return None
            return now - recorded.modules.get(path, now)
        if shift:
            self.warnings.append(f"{path}: recorded in another boot than kallsyms, its functions stay without names")
            return None
        return 0


@lru_cache(maxsize=1)
def running_kernel_build_id() -> str | None:
    """The build id of the kernel that runs now, or None when it is not told."""
    try:
        return parse_build_id_note(_KERNEL_NOTES.read_bytes())
    except OSError:
        return None


def running_modules() -> dict[str, int]:
    """Where each module lies that is loaded now, by its name in brackets; see proc_modules(5)."""
    try:
        lines = _MODULES.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):  # a kernel without modules has no such file
        return {}
    rows = (line.split() for line in lines)
    return {f"[{row[0]}]": int(row[5], 16) for row in rows if len(row) > 5}


def _kept_by_perf(build_id: str) -> Path | None:
    """The kallsyms that perf has stored when it recorded under that kernel."""
    folder = perf_folder()
    if folder is None:
        return None
    own = folder / KERNEL / build_id
    places = (own / "kallsyms", own, folder / ".build-id" / build_id[:2] / build_id[2:] / "kallsyms")
    return next((each for each in places if each.is_file()), None)
