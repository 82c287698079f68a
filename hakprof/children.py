"""What we start does not outlive us, even where hakprof is killed with SIGKILL and can no longer end it itself.

A signal at the parent's death (PR_SET_PDEATHSIG) would reach the tool alone: perf stat and strace leave the program
running. So a small process waits for the end of a pipe whose other end dies with us, and then kills the process groups
that it was told of and that have not ended. It sleeps as long as nothing begins or ends.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from typing import IO

_GUARD = """
import contextlib, os, signal, sys
groups = set()
for line in sys.stdin:
    group = int(line)
    groups.add(group) if group > 1 else groups.discard(-group)
for group in groups:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
"""


@contextlib.contextmanager
def guarded(group: int) -> Iterator[None]:
    """While this lasts, the process group ends with us. It must have been started with ``start_new_session``."""
    pipe = _guard()
    _tell(pipe, group)
    try:
        yield
    finally:
        _tell(pipe, -group)


def start_guard() -> None:
    """Start the waiting process, if it is not there yet: before something that is measured rather than beside it."""
    _guard()


@cache
def _guard() -> IO[bytes] | None:
    try:
        guard = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _GUARD],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd="/",
            start_new_session=True,
        )
    except OSError:
        return None
    # It ends after us by its nature; Popen would warn of that when it is collected.
    guard.returncode = 0
    return guard.stdin


def _tell(pipe: IO[bytes] | None, group: int) -> None:
    """A guard that is gone protects no longer; that is no reason to stop measuring. Threads may tell at once."""
    if pipe is not None:
        with contextlib.suppress(OSError):
            pipe.write(f"{group}\n".encode())
