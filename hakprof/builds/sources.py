"""What a build is made from: the hash of its sources, and the commit they are at."""

import hashlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from hakprof.errors import BuildError

_GIT_SECONDS = 30


def sources_hash(source: Path, globs: Sequence[str]) -> str:
    """SHA-256 over ``"<relative path>\\n" + content`` of each file that a glob names, sorted by the path's bytes.

    native/Makefile computes the same when it is not told, so that a binary built by hand can be compared.
    """
    if not source.is_dir():
        raise BuildError(f"{source}: no such source folder", remedy="correct `source` of the build in hakprof.toml")
    files = {path for pattern in globs for path in source.glob(pattern) if path.is_file()}
    names = sorted((os.fsencode(path.relative_to(source).as_posix()), path) for path in files)
    if not names:
        raise BuildError(f"{source}: no file matches {', '.join(globs)}", remedy="correct `sources` in hakprof.toml")
    digest = hashlib.sha256()
    for name, path in names:
        digest.update(name + b"\n")
        try:
            digest.update(path.read_bytes())
        except OSError as error:
            raise BuildError(f"{path}: cannot be read: {error.strerror}", remedy="make it readable") from error
    return digest.hexdigest()


def git_state(folder: Path) -> tuple[str | None, bool | None]:
    """The commit of ``folder``, and whether files below it differ from it; (None, None) outside a repository."""
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if commit is None:
        return None, None
    status = _git(folder, "status", "--porcelain", "--", ".")
    return commit.strip(), None if status is None else bool(status.strip())


def _git(folder: Path, *arguments: str) -> str | None:
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
