"""Documents go to stdout, everything else to stderr."""

import sys

from hakprof.errors import HakprofError


def say(text: str) -> None:
    """One line to stderr: progress, warnings, errors."""
    print(text, file=sys.stderr, flush=True)


def emit(text: str) -> None:
    """A whole document to stdout, UTF-8 whatever the locale says, with one newline at its end."""
    if sys.stdout is None:  # started with stdout closed
        raise HakprofError(
            "stdout is closed, so the document has nowhere to go", remedy="redirect stdout to a file or a pipe"
        )
    sys.stdout.flush()
    sys.stdout.buffer.write(text.rstrip("\n").encode("utf-8") + b"\n")
    sys.stdout.buffer.flush()
