"""Runs a build command and checks its products against what was asked for (trust check T1, first half)."""

import errno
import hashlib
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hakprof import elf
from hakprof.builds.sources import sources_hash
from hakprof.children import guarded
from hakprof.errors import BuildError, ParseError
from hakprof.model.run import BinaryInfo, BuildInfo
from hakprof.project.schema import Build, Project

LOG_NAME = "build.log"
_LOG_LINES = 15
_LEAST_FREE_BYTES = 1 << 16
_PRODUCT_FOLDERS = ("bin", "lib")
_ELF_MAGIC = b"\x7fELF"


@dataclass(frozen=True, slots=True)
class _Order:
    """A build as asked for: the values that its placeholders stand for."""

    name: str
    build: Build
    source: Path
    out: Path
    sources_sha256: str
    commit: str
    dirty: str
    command: tuple[str, ...]


def make_build(
    project: Project, name: str, *, base: Path, out_root: Path, commit: str | None, dirty: bool | None
) -> BuildInfo:
    """Build one flavour below ``out_root`` and describe what it produced.

    ``base`` is the folder that hakprof.toml's relative paths start from. The out folder bears a hash of sources,
    command, switches and commit, so that two states of the tree never share one. Raises BuildError with the log's last
    lines when the command fails, when the sources change under it, and when a binary's own build string tells of
    another build.
    """
    order = _order(project, name, base=base, out_root=out_root, commit=commit, dirty=dirty)
    _run(order)
    if sources_hash(order.source, order.build.sources) != order.sources_sha256:
        raise BuildError(
            f"build {name}: {order.source} was changed while it was being built",
            remedy="leave the sources alone for that long, and run the command again",
        )
    binaries = _products(order.out)
    if not binaries:
        raise BuildError(
            f"build {name}: {order.out} has no ELF file below bin/ or lib/",
            remedy="make the command install its programs to {out}/bin and its libraries to {out}/lib",
        )
    for path, binary in binaries.items():
        _check_string(order, path, binary)
    return BuildInfo(
        name=name,
        out=str(order.out),
        command=order.command,
        sources_sha256=order.sources_sha256,
        binaries=binaries,
    )


def _order(
    project: Project, name: str, *, base: Path, out_root: Path, commit: str | None, dirty: bool | None
) -> _Order:
    build = project.builds[name]
    source = (base / build.source).resolve()
    sha256 = sources_hash(source, build.sources)
    key = "\0".join((sha256, *build.command, *build.switches, commit or "", str(dirty)))
    out = (out_root / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:12]}").resolve()
    values = {
        "source": str(source),
        "out": str(out),
        "commit": commit or "unknown",
        "dirty": str(int(bool(dirty))),
        "sources": sha256,
        "switches": " ".join(build.switches),
    }
    command = tuple(_filled(name, part, values) for part in build.command)
    return _Order(name, build, source, out, sha256, values["commit"], values["dirty"], command)


def _filled(name: str, part: str, values: dict[str, str]) -> str:
    try:
        return part.format(**values)
    except (KeyError, IndexError, ValueError) as error:
        raise BuildError(
            f"builds.{name}.command: {part!r}: unknown placeholder {error}",
            remedy=f"known are {', '.join(f'{{{key}}}' for key in values)}; write a literal brace twice",
        ) from error


def _run(order: _Order) -> None:
    log = order.out / LOG_NAME
    try:
        order.out.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            status = _wait(order, output.fileno())
    except FileNotFoundError as error:
        raise BuildError(
            f"build {order.name}: {order.command[0]}: no such program",
            remedy=f"install it (`apt-get install {Path(order.command[0]).name}`), "
            f"or correct builds.{order.name}.command",
        ) from error
    except OSError as error:
        raise BuildError(
            f"build {order.name}: {error.filename or order.out}: {error.strerror}",
            remedy="choose a folder that can be written with --store, and make sure that there is space",
        ) from error
    if status != 0 and _is_disk_full(log):
        raise BuildError(
            f"build {order.name}: no space left on the disk of {order.out} or in the folder for temporary files\n"
            f"{_tail(log)}",
            remedy="free some space (old runs and builds in the store can be deleted), then run the command again",
        )
    if status is None:
        raise BuildError(
            f"build {order.name}: not done after {order.build.timeout_seconds:g} s\n{_tail(log)}",
            remedy=f"raise builds.{order.name}.timeout_seconds, or read {log}",
        )
    if status != 0:
        raise BuildError(
            f"build {order.name}: `{' '.join(order.command)}` ended with status {status}\n{_tail(log)}",
            remedy=f"correct what the log names: {log}",
        )


def _wait(order: _Order, output: int) -> int | None:
    """Exit status of the command, or None when its time was up. Its whole process group ends with it."""
    with subprocess.Popen(
        order.command,
        cwd=order.source,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as child:
        try:
            with guarded(child.pid):
                return child.wait(order.build.timeout_seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            # A command that has ended is reaped already, and its number may be another's.
            if child.returncode is None:
                os.killpg(child.pid, signal.SIGKILL)


def _is_disk_full(log: Path) -> bool:
    """Whether a failed build lacked space: there is none, or its tools said so and have deleted their halves since."""
    free = os.statvfs(log.parent)
    return free.f_bavail * free.f_frsize < _LEAST_FREE_BYTES or os.strerror(errno.ENOSPC) in _tail(log)


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"  {line}" for line in lines[-_LOG_LINES:])


def _products(out: Path) -> dict[str, BinaryInfo]:
    found = {}
    for folder in _PRODUCT_FOLDERS:
        for path in sorted((out / folder).rglob("*")):
            info = describe_binary(path) if path.is_file() else None
            if info is not None:
                found[path.relative_to(out).as_posix()] = info
    return found


def describe_binary(path: Path) -> BinaryInfo | None:
    """Identity of one ELF file; None when the file is none."""
    try:
        with path.open("rb") as stream:
            if stream.read(len(_ELF_MAGIC)) != _ELF_MAGIC:
                return None
        return BinaryInfo(
            path=str(path),
            build_id=elf.build_id(path),
            build_string=elf.build_string(path),
            size_bytes=path.stat().st_size,
        )
    except (OSError, ParseError):
        return None


def _check_string(order: _Order, path: str, binary: BinaryInfo) -> None:
    """A binary that tells of its build must tell of this one; one that tells nothing is left to the report's T1."""
    asked = {"flavour": order.build.flavour, "sources": order.sources_sha256, "commit": order.commit}
    for key, value in asked.items():
        told = binary.build_string.get(key)
        if told is not None and told != value:
            raise BuildError(
                f"build {order.name}: {path} says {key}={told}, asked for was {value}: it was not linked anew",
                remedy=f"delete {order.out} and collect again; if it stays so, the build command ignores {{{key}}}",
            )
