"""Finds the other allocators' libraries on this machine."""

import os
import platform
import re
import subprocess
from pathlib import Path

from hakprof.collect.host import trivial_program
from hakprof.project.schema import Peer

_LDCONFIG = ("/sbin/ldconfig", "/usr/sbin/ldconfig", "ldconfig")
_SECONDS = 20


def find_library(library: str) -> Path | None:
    """The absolute path of a soname (by LD_LIBRARY_PATH, then the linker's cache) or of a path; None if not found."""
    if "/" in library:
        path = Path(library).resolve()
        return path if path.is_file() else None
    for folder in os.environ.get("LD_LIBRARY_PATH", "").split(":"):
        if folder and (Path(folder) / library).is_file():
            return (Path(folder) / library).resolve()
    for line in _linker_cache().splitlines():
        found = re.match(r"\s+(\S+) \(([^)]*)\) => (/.*)$", line)
        if found and found[1] == library and _is_native(found[2]):
            return Path(found[3]).resolve()
    return None


def loads(library: Path) -> bool:
    """Whether the dynamic linker takes the library by LD_PRELOAD (it says on stderr when it does not)."""
    environment = {"PATH": os.environ.get("PATH", ""), "LD_PRELOAD": str(library), "LANG": "C.UTF-8"}
    try:
        done = subprocess.run(
            trivial_program(), env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and "cannot be preloaded" not in done.stderr


def package_version(peer: Peer) -> str | None:
    """Version of the Debian package that brings the library; None where dpkg does not know it."""
    if peer.package is None:
        return None
    command = ["dpkg-query", "-W", "-f", "${Version}", peer.package]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def _is_native(kind: str) -> bool:
    """Whether a library of the linker's cache is of this machine's word: "libc6,x86-64" rather than plain "libc6"."""
    return "x86-64" in kind if platform.machine() == "x86_64" else True


def _linker_cache() -> str:
    for program in _LDCONFIG:
        try:
            done = subprocess.run([program, "-p"], capture_output=True, text=True, timeout=_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return done.stdout
    return ""
