"""A report in a folder: the document, the same as JSON, and its charts, all of them or none."""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from hakprof.errors import StoreError
from hakprof.report.model import Chart


def write_document(
    folder: Path,
    drawn: Iterable[tuple[Chart, str]],
    render: Callable[[Sequence[Chart]], tuple[str, str]],
    *,
    document: Path | None = None,
) -> Sequence[Path]:
    """Writes report.md, report.json and the charts ``drawn`` (with their SVG) into ``folder``; the paths written.

    ``render`` makes Markdown and JSON that name the charts; ``document`` is another place for the Markdown, which comes
    first among the paths and whose links fit its place.

    Raises:
        StoreError: the folder or the document cannot be written.
    """
    document = document if document is not None else folder / "report.md"
    pictures = list(drawn)
    markdown, json = render([replace(chart, file=_link(document, folder / chart.file)) for chart, _ in pictures])
    texts = {document: markdown, folder / "report.json": json + "\n"}
    texts |= {folder / chart.file: svg for chart, svg in pictures}
    folder_is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_all(texts)
    except OSError as error:
        if folder_is_new:
            shutil.rmtree(folder, ignore_errors=True)
        raise StoreError(
            f"{folder}: the report cannot be written: {error.strerror}",
            remedy="name a writable folder with -o, or make room; an earlier report there is as it was",
        ) from error
    return list(texts)


def _write_all(texts: Mapping[Path, str]) -> None:
    """All files or none: each is written whole beside its place before any takes it."""
    partial = {path: path.with_name(f".{path.name}.part") for path in texts}
    try:
        for path, text in texts.items():
            partial[path].write_text(text, encoding="utf-8")
        for path, written in partial.items():
            written.replace(path)
    finally:
        for written in partial.values():
            written.unlink(missing_ok=True)


def _link(document: Path, target: Path) -> str:
    """The path of ``target`` as seen from ``document``, with forward slashes."""
    return Path(os.path.relpath(target, document.parent)).as_posix()
