"""Where the records of a recording are: in one file, or in those of a directory (`perf record --threads`, `--kcore`).

In a directory `data` has the header and what perf itself wrote, and `data.0`, `data.1`, … the records of one buffer
each and nothing else (perf_data__open_dir in linux/tools/perf/util/data.c).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from hakprof.parse.text import open_stored

_MAIN = "data"


def is_directory_recording(path: Path) -> bool:
    """Whether this is a directory that perf record made."""
    return (path / _MAIN).is_file()


def main_file(path: Path) -> Path:
    """The file of a recording that has its header."""
    return path / _MAIN if is_directory_recording(path) else path


def directory_of(path: Path) -> Path | None:
    """The directory recording that a file is only a part of, if there is one."""
    return path.parent if path.name == _MAIN and _parts(path.parent) else None


def record_streams(path: Path, first: BinaryIO, *, remedy: str) -> Iterator[BinaryIO]:
    """The files of a recording that have records, one open at a time: ``first``, the one with the header, then others.

    Raises:
        ParseError: one of the others cannot be read.
    """
    yield first
    for part in _parts(path) if is_directory_recording(path) else ():
        with open_stored(part, remedy=remedy) as stream:
            yield stream


def _parts(folder: Path) -> list[Path]:
    numbers = (each.name.removeprefix(f"{_MAIN}.") for each in folder.glob(f"{_MAIN}.*"))
    return [folder / f"{_MAIN}.{number}" for number in sorted(filter(_is_number, numbers), key=int)]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10
