"""Where the files of a recorded object may be on this machine: stored by build id, or beside the object.

As perf looks for them (linux/tools/perf/util/symbol.c, binary_type_symtab; dso.c), with the cache of debuginfod added
(`man 3 debuginfod_find_debuginfo`).
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

DEBUG_ROOT = Path("/usr/lib/debug")
_FULL_DIGITS = 40  # of the 20 bytes that perf.data has room for
_MD5_DIGITS = 32


def perf_folder() -> Path | None:
    """Where perf keeps copies of what it has recorded."""
    home = _home()
    return home / ".debug" if home else None


def stored_objects(name: str, build_id: str, search: Sequence[Path]) -> Iterator[Path]:
    """Copies of an object as it was mapped."""
    perf, debuginfod = perf_folder(), _debuginfod_folder()
    for each in _spellings(build_id):
        for folder in search:
            yield folder / each / name
            if (folder / each).is_dir():
                yield from sorted((folder / each).iterdir())
        if perf:
            own = perf / ".build-id" / each[:2] / each[2:]
            yield from (own / "elf", own / "vdso", own)
        if debuginfod:
            yield debuginfod / each / "executable"


def stored_debug_files(build_id: str, search: Sequence[Path]) -> Iterator[Path]:
    """Files with an object's symbols and debug information."""
    perf, debuginfod = perf_folder(), _debuginfod_folder()
    for each in _spellings(build_id):
        for folder in search:
            yield from sorted((folder / each).glob("*.debug"))
        yield DEBUG_ROOT / ".build-id" / each[:2] / f"{each[2:]}.debug"
        if perf:
            yield perf / ".build-id" / each[:2] / each[2:] / "debug"
        if debuginfod:
            yield debuginfod / each / "debuginfo"


def linked_debug_files(folders: Sequence[Path], name: str) -> Iterator[Path]:
    """Where a file may be that an object in one of the folders calls its debug file."""
    for folder in folders:
        yield from (folder / name, folder / ".debug" / name, DEBUG_ROOT / str(folder).lstrip("/") / name)


def debug_files_by_path(path: Path) -> Iterator[Path]:
    """Where the debug file of an object may be that does not name it."""
    below = str(path).lstrip("/")
    yield path.parent / ".debug" / path.name
    # Where /lib is /usr/lib, an object is recorded as being in one of them and was packed as being in the other.
    for each in dict.fromkeys((below, below.removeprefix("usr/"))):
        yield from (DEBUG_ROOT / f"{each}.debug", DEBUG_ROOT / each)


def _spellings(build_id: str) -> list[str]:
    """A build id as recorded, and without the zeros that perf has filled it up with."""
    digits = len(build_id.rstrip("0"))
    bare = build_id[: digits + digits % 2]
    is_md5 = len(build_id) == _FULL_DIGITS and len(bare) <= _MD5_DIGITS
    return list(dict.fromkeys((build_id, *([build_id[:_MD5_DIGITS]] if is_md5 else []), *([bare] if bare else []))))


def _debuginfod_folder() -> Path | None:
    """Where what debuginfod has brought is kept; see debuginfod_find_debuginfo(3)."""
    configured = os.environ.get("DEBUGINFOD_CACHE_PATH")
    if configured:
        return Path(configured)
    home = _home()
    cache = os.environ.get("XDG_CACHE_HOME") or (home / ".cache" if home else None)
    return Path(cache) / "debuginfod_client" if cache else None


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:
        return None
