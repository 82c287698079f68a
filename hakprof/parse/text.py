"""What the parsers of text formats share: reading a file with a limit, and a frame that carries its warnings."""

import stat
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING

from hakprof.errors import HakprofError, ParseError

if TYPE_CHECKING:
    import polars as pl  # costs 0.15 s, and not every reader makes frames

MAX_TEXT_BYTES = 64 * 1024 * 1024
MAX_WARNINGS = 20
MAX_NAME = 512  # characters of a name in a text; what is longer is no name
MIN_INT, MAX_INT = -(2**63), 2**63 - 1  # what a frame's whole numbers can hold


@dataclass(frozen=True, slots=True)
class Parsed:
    """A frame and what was wrong with its source, as sentences with ``source:line``."""

    frame: "pl.DataFrame"
    warnings: tuple[str, ...] = ()


def read_text(path: Path, *, remedy: str, max_bytes: int = MAX_TEXT_BYTES) -> str:
    """The file's text; bytes that are no UTF-8 become U+FFFD, since names in traces may hold anything.

    Raises:
        ParseError: the file is missing, unreadable or larger than ``max_bytes``.
    """
    try:
        with open_stored(path, remedy=remedy) as file:
            raw = file.read(max_bytes + 1)
    except OSError as error:
        raise ParseError(f"cannot read {path}: {error.strerror or error}", remedy=remedy) from error
    if len(raw) > max_bytes:
        raise ParseError(f"{path} is larger than {max_bytes >> 20} MiB, too much for this kind of text", remedy=remedy)
    return raw.decode("utf-8", errors="replace")


def open_stored(path: Path, *, remedy: str) -> FileIO:
    """Opens a stored file for reading, if it is one: opening a FIFO would wait for ever.

    Raises:
        ParseError: the file is missing or unreadable, no regular file, or its name holds a NUL.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise ParseError(f"cannot read {path}: not a regular file", remedy=remedy)
        return path.open("rb", buffering=0)
    except OSError as error:
        raise ParseError(f"cannot read {path}: {error.strerror or error}", remedy=remedy) from error
    except ValueError as error:
        raise ParseError(f"cannot read {str(path)!r}: no file has such a name", remedy=remedy) from error


def left_out(error: HakprofError) -> str:
    """What a report says of a file that could not be used: the fault and what mends it."""
    return f"{error.message}; left out" + (f" — remedy: {error.remedy}" if error.remedy else "")


def excerpt(line: str, *, width: int = 80) -> str:
    """A line of untrusted text, short and printable, for a warning."""
    text = line.strip()
    return repr(text if len(text) <= width else text[: width - 1] + "…")


def encodable(text: str) -> str:
    """The text with lone surrogates replaced: JSON can write them (``"\\ud800"``), and no frame can hold them."""
    return text.encode("utf-8", "replace").decode("utf-8")


def limited(warnings: list[str]) -> tuple[str, ...]:
    """The first warnings, and how many more there were."""
    if len(warnings) <= MAX_WARNINGS:
        return tuple(warnings)
    return (*warnings[:MAX_WARNINGS], f"{len(warnings) - MAX_WARNINGS} more of the same kind")
