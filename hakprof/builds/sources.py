"""What a build is made from: the hash of its sources, and the commit they are at."""

import hashlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hakprof.errors import BuildError
from hakprof.model.run import Skipped

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


@dataclass(frozen=True, slots=True)
class GitState:
    """The commit of a folder and whether files differ from it; None for what is not known.

    ``lacking`` says why something is not known although the folder is in a repository.
    """

    commit: str | None
    dirty: bool | None
    lacking: Skipped | None = None


def git_state(folder: Path) -> GitState:
    """The state of the repository that ``folder`` is in. Outside of one, and before its first commit, all is None."""
    if _top(folder) is None:
        return GitState(None, None)
    commit = _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if commit.fault is not None:
        return GitState(None, None, _lacking(folder, commit.fault))
    if commit.text is None:
        return GitState(None, None)
    status = _git(folder, "status", "--porcelain", "--", ".")
    lacking = _lacking(folder, status.fault) if status.fault is not None else None
    return GitState(commit.text.strip(), None if status.text is None else bool(status.text.strip()), lacking)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What git said; both None where it found nothing and that is no fault."""

    text: str | None
    fault: str | None


def _git(folder: Path, *arguments: str) -> _Answer:
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_GIT_SECONDS,
            env=os.environ | {"LC_ALL": "C"},
            check=False,
        )
    except FileNotFoundError:
        return _Answer(None, "there is no git on PATH")
    except OSError as error:
        return _Answer(None, f"git cannot be started: {error.strerror}")
    except subprocess.TimeoutExpired:
        return _Answer(None, f"git did not answer within {_GIT_SECONDS} s")
    if done.returncode == 0:
        return _Answer(done.stdout, None)
    lines = done.stderr.strip().splitlines()
    return _Answer(None, lines[0].removeprefix("fatal: ") if lines else None)


def _lacking(folder: Path, fault: str) -> Skipped:
    if "dubious ownership" in fault:
        remedy = f"git config --global --add safe.directory {_top(folder)}"
    elif "no git on PATH" in fault:
        remedy = "apt-get install git"
    else:
        remedy = f"run `git -C {folder} status` and mend what it says"
    return Skipped(what="commit", reason=f"git: {fault}", remedy=remedy)


def _top(folder: Path) -> Path | None:
    """The repository's own folder, which is the one that git wants to be named; None outside of one."""
    places = (folder.resolve(), *folder.resolve().parents)
    return next((place for place in places if (place / ".git").exists()), None)
