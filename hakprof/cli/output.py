"""Documents go to stdout, everything else to stderr."""

import sys
from collections.abc import Iterable

from hakprof.errors import HakprofError


def say(text: str) -> None:
    """One line to stderr: progress, warnings, errors. Names out of recordings cannot steer the terminal with it."""
    shown = "".join(one if one.isprintable() or one == "\n" else repr(one)[1:-1] for one in text)
    print(shown, file=sys.stderr, flush=True)


def emit(text: str) -> None:
    """A whole document to stdout, UTF-8 whatever the locale says, with one newline at its end."""
    if sys.stdout is None:  # started with stdout closed
        raise HakprofError(
            "stdout is closed, so the document has nowhere to go", remedy="redirect stdout to a file or a pipe"
        )
    sys.stdout.flush()
    sys.stdout.buffer.write(text.rstrip("\n").encode("utf-8") + b"\n")
    sys.stdout.buffer.flush()


def emit_document(markdown: str) -> None:
    """A Markdown document: as it is into a pipe or file, laid out in a terminal."""
    if sys.stdout is None or not sys.stdout.isatty():
        emit(markdown)
        return
    from hakprof.cli.terminal import show

    show(markdown)


def emit_csv(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """A table as CSV, its header first."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    emit(text.getvalue())
