"""Finding the ELF file that was mapped, and the debug file that belongs to it, by build id."""

import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath

from hakprof.elf import SHT_NOBITS, DebugLink, ElfFile, Segment, read_elf, same_build_id
from hakprof.errors import ParseError
from hakprof.symbols.places import debug_files_by_path, linked_debug_files, stored_debug_files, stored_objects
from hakprof.symbols.vdso import VDSO, running_vdso

_BLOCK_BYTES = 1 << 20
_PAGE = 4096
_EXECUTABLE = 4  # SHF_EXECINSTR
_WHOLE = 3  # symbols and debug information


@dataclass(frozen=True, slots=True)
class FoundObject:
    """``runtime`` is what was mapped; ``debug`` has its symbols and DWARF (often the same file).

    Where only a debug file was found it is both.
    """

    runtime: ElfFile
    debug: ElfFile

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Which part of the file that was mapped has which addresses."""
        return self.runtime.segments if _holds_code(self.runtime) else _segments_with_code(self.runtime)


class ObjectFinder:
    """Finds the files of an object: in the given folders (`<folder>/<build id>/<name>`), where perf, debuginfod and
    packages of debug information store them, and at the recorded path. Of several, that with symbols and debug
    information is taken.
    """

    def __init__(self, search: Sequence[Path]) -> None:
        self._search = tuple(search)
        self.warnings: list[str] = []

    def find(self, path: str, build_id: str | None) -> FoundObject | None:
        """The file for a recorded path and build id, or None. A file of another build is never used."""
        mapped: list[ElfFile] = []
        without_code: list[ElfFile] = []
        complaint = None
        for each in self._mapped(path, build_id):
            if isinstance(each, str):
                complaint = each
            elif not _holds_code(each):
                without_code.append(each)
            else:
                mapped.append(each)
                if _worth(each) == _WHOLE:
                    return FoundObject(each, each)
        runtime = _best(mapped)
        identity = build_id or (runtime.build_id if runtime else None)
        debug = _best(chain([runtime] if runtime else [], without_code, self._debug(path, mapped, identity)))
        if debug is not None and (runtime is not None or _segments_with_code(debug)):
            return FoundObject(runtime or debug, debug)
        if complaint is not None:
            self.warnings.append(complaint)
        return None

    def _mapped(self, path: str, build_id: str | None) -> Iterator[ElfFile | str]:
        """Files that may be what was mapped, and why the one at the recorded path is not."""
        if build_id:
            stored = stored_objects(PurePosixPath(path).name, build_id, self._search)
            yield from self._matching(stored, build_id)
        if path.startswith("/") and not path.startswith("//"):
            yield self._recorded(Path(path), build_id)
        elif path == VDSO:
            own = (running_vdso(),)
            yield from self._matching(own, build_id) if build_id else self._readable(own)

    def _recorded(self, file: Path, build_id: str | None) -> ElfFile | str:
        try:
            if not file.is_file():
                return f"{file}: not found, its samples stay without names"
            elf = read_elf(file)
        except ParseError as error:
            return error.message
        except OSError as error:  # a path that is longer than any that the system can open
            return f"{file}: cannot be read: {error.strerror}"
        if build_id and not same_build_id(elf.build_id, build_id):
            return f"{file}: its build id {elf.build_id or 'none'} is not the recorded {build_id}: not used for names"
        return elf

    def _debug(self, path: str, mapped: Sequence[ElfFile], build_id: str | None) -> Iterator[ElfFile]:
        """Files with symbols or debug information of an object, the likeliest first."""
        if build_id:
            yield from self._matching(stored_debug_files(build_id, self._search), build_id)
        for each in mapped:
            if each.debuglink is not None:
                yield from self._linked(path, each, each.debuglink)
        if build_id and path.startswith("/"):
            yield from self._matching(debug_files_by_path(Path(path)), build_id)

    def _linked(self, path: str, runtime: ElfFile, link: DebugLink) -> Iterator[ElfFile]:
        """The debug file that an object names. Where no build id proves that it belongs to it, the checksum must."""
        # What was found by build id may be a copy: the debug file stands beside the original.
        folders = dict.fromkeys((runtime.path.parent, *([Path(path).parent] if path.startswith("/") else [])))
        for found in self._matching(linked_debug_files(tuple(folders), link.name), runtime.build_id):
            if found.path == runtime.path:
                continue
            if runtime.build_id is not None or _checksum(found.path) == link.checksum:
                yield found
            else:
                self.warnings.append(f"{found.path}: its checksum is not that in {runtime.path}: not used for names")

    def _matching(self, candidates: Iterable[Path | None], build_id: str | None) -> Iterator[ElfFile]:
        return (elf for elf in self._readable(candidates) if same_build_id(elf.build_id, build_id))

    @staticmethod
    def _readable(candidates: Iterable[Path | None]) -> Iterator[ElfFile]:
        for candidate in candidates:
            with suppress(ParseError, OSError):
                if candidate is not None and candidate.is_file():
                    yield read_elf(candidate)


def _best(found: Iterable[ElfFile]) -> ElfFile | None:
    """The first with symbols and debug information, otherwise the first of those that have most."""
    best = None
    for each in found:
        if best is None or _worth(each) > _worth(best):
            best = each
        if _worth(best) == _WHOLE:
            break
    return best


def _worth(elf: ElfFile) -> int:
    """How much a file tells about functions: all with _WHOLE, symbols before debug information."""
    return 2 * (elf.section(".symtab") is not None) + elf.has_dwarf


def _holds_code(elf: ElfFile) -> bool:
    """Whether it can have been mapped: debug files are without the code, and say otherwise where it would be."""
    return not any(s.type == SHT_NOBITS and s.flags & _EXECUTABLE for s in elf.sections)


def _segments_with_code(debug: ElfFile) -> tuple[Segment, ...]:
    """What the segments of a debug file were before their bytes were taken out; () where that cannot be known.

    Linkers that begin each segment on a page of its own leave as much room in the file as in memory.
    """
    code = [s.address for s in debug.sections if s.flags & _EXECUTABLE]
    whole = [s for s in debug.segments if any(0 <= at - s.address < s.memory_size for at in code)]
    if any(segment.address % _PAGE for segment in whole):
        return ()
    base = min((segment.address for segment in debug.segments), default=0)
    return tuple(Segment(s.address - base, s.address, s.memory_size, s.memory_size) for s in whole)


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            checksum = zlib.crc32(block, checksum)
    return checksum
