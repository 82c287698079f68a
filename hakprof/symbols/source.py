"""The text of source lines that debug information names, as far as the files can be found."""

from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from hakprof.errors import ParseError
from hakprof.parse.text import read_text

_BUNDLED_PARTS = 3  # native/src/file: fewer parts in common could be any project's


class SourceFinder:
    """Finds source files: as recorded, below ``folders`` by the longest end of the path, in the ``bundled`` tree."""

    def __init__(self, folders: Sequence[Path] = (), *, bundled: Path | None = None) -> None:
        self._folders = tuple(folders)
        self._bundled = bundled
        self._lines: dict[str, tuple[Path, tuple[str, ...]] | None] = {}

    def path(self, file: str) -> Path | None:
        """Where the text of a recorded file was found."""
        found = self._load(file)
        return found[0] if found else None

    def line(self, file: str, number: int) -> str | None:
        """The text of a line, counted from 1, without its indentation; None where it was not found."""
        found = self._load(file)
        if found is None or not 0 < number <= len(found[1]):
            return None
        return found[1][number - 1].strip()

    def _load(self, file: str) -> tuple[Path, tuple[str, ...]] | None:
        if file not in self._lines:
            self._lines[file] = next(self._readable(file), None)
        return self._lines[file]

    def _readable(self, file: str) -> Iterator[tuple[Path, tuple[str, ...]]]:
        for candidate in self._candidates(file):
            try:
                yield candidate, tuple(read_text(candidate, remedy="").splitlines())
            except ParseError:
                continue

    def _candidates(self, file: str) -> list[Path]:
        recorded = PurePosixPath(file)
        parts = [part for part in recorded.parts if part not in ("/", "..", ".")]
        ends = ["/".join(parts[at:]) for at in range(len(parts))]
        found = [folder / end for folder in self._folders for end in ends]
        if recorded.is_absolute():
            found.append(Path(file))
        if self._bundled is not None and len(ends) >= _BUNDLED_PARTS:
            found.append(self._bundled / ends[-_BUNDLED_PARTS])
        return found
