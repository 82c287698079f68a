"""Finding the ELF file that was mapped, and the debug file that belongs to it, by build id."""

import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hakprof.elf import DebugLink, ElfFile, read_elf
from hakprof.errors import ParseError
from hakprof.symbols.vdso import VDSO, running_vdso

_BLOCK_BYTES = 1 << 20
_DEBUG_ROOT = Path("/usr/lib/debug")


@dataclass(frozen=True, slots=True)
class FoundObject:
    """``runtime`` is what was mapped; ``debug`` has its symbols and DWARF (often the same file)."""

    runtime: ElfFile
    debug: ElfFile


class ObjectFinder:
    """Looks in the given folders (`<folder>/<build id>/<name>`), ~/.debug, /usr/lib/debug, then the recorded path."""

    def __init__(self, search: Sequence[Path]) -> None:
        self._search = tuple(search)
        self.warnings: list[str] = []

    def find(self, path: str, build_id: str | None) -> FoundObject | None:
        """The file for a recorded path and build id, or None. A file of another build is never used."""
        runtime = self._stored(path, build_id) or self._recorded(path, build_id)
        if runtime is None and path == VDSO:
            found = next(self._readable([running_vdso()]), None)
            runtime = found if found is not None and build_id in {None, found.build_id} else None
        identity = build_id or (runtime.build_id if runtime else None)
        debug = self._debug(path, runtime, identity)
        if runtime is None and debug is None:
            return None
        whole = runtime or debug
        if whole is None:
            return None
        return FoundObject(whole, debug or whole)

    def _stored(self, path: str, build_id: str | None) -> ElfFile | None:
        if not build_id:
            return None
        name = Path(path).name
        folders = [folder / build_id for folder in self._search]
        candidates = [folder / name for folder in folders]
        candidates += [each for folder in folders if folder.is_dir() for each in sorted(folder.iterdir())]
        perf_cache = Path.home() / ".debug" / ".build-id" / build_id[:2] / build_id[2:]
        candidates += [perf_cache / "elf", perf_cache / "vdso"]
        return next(self._matching(candidates, build_id), None)

    def _recorded(self, path: str, build_id: str | None) -> ElfFile | None:
        if not path.startswith("/") or path.startswith("//"):
            return None
        file = Path(path)
        if not file.is_file():
            self.warnings.append(f"{path}: not found, its samples stay without names")
            return None
        try:
            elf = read_elf(file)
        except ParseError as error:
            self.warnings.append(error.message)
            return None
        if build_id and elf.build_id != build_id:
            self.warnings.append(
                f"{path}: its build id {elf.build_id or 'none'} is not the recorded {build_id}: not used for names"
            )
            return None
        return elf

    def _debug(self, path: str, runtime: ElfFile | None, build_id: str | None) -> ElfFile | None:
        """A file with .symtab for the object: itself, else by build id, else by debuglink."""
        if runtime is not None and runtime.section(".symtab") and runtime.has_dwarf:
            return runtime
        by_id = next(self._matching(self._debug_by_id(build_id), build_id), None) if build_id else None
        if by_id is not None or runtime is None or runtime.debuglink is None:
            return by_id
        return self._linked(path, runtime, runtime.debuglink)

    def _linked(self, path: str, runtime: ElfFile, link: DebugLink) -> ElfFile | None:
        """The debug file that an object names. Where no build id proves that it belongs to it, the checksum must."""
        # What was found by build id may be a copy: the debug file stands beside the original.
        folders = dict.fromkeys((runtime.path.parent, *([Path(path).parent] if path.startswith("/") else [])))
        places = [p for f in folders for p in (f, f / ".debug", _DEBUG_ROOT / str(f).lstrip("/"))]
        for found in self._matching([place / link.name for place in places], runtime.build_id):
            if found.path == runtime.path:
                continue
            if runtime.build_id is not None or _checksum(found.path) == link.checksum:
                return found
            self.warnings.append(f"{found.path}: its checksum is not that in {runtime.path}: not used for names")
        return None

    def _debug_by_id(self, build_id: str) -> list[Path]:
        stored = [f for folder in self._search for f in sorted((folder / build_id).glob("*.debug"))]
        return [*stored, _DEBUG_ROOT / ".build-id" / build_id[:2] / f"{build_id[2:]}.debug"]

    def _matching(self, candidates: Sequence[Path], build_id: str | None) -> Iterator[ElfFile]:
        return (elf for elf in self._readable(candidates) if elf.build_id == build_id)

    @staticmethod
    def _readable(candidates: Sequence[Path | None]) -> Iterator[ElfFile]:
        for candidate in candidates:
            if candidate is not None and candidate.is_file():
                with suppress(ParseError):
                    yield read_elf(candidate)


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            checksum = zlib.crc32(block, checksum)
    return checksum
