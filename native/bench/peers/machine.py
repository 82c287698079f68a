"""In words: on what this was measured."""

import os
import platform
import re
import subprocess
from pathlib import Path

from allocators import PEERS, absent_peers


def _read(file: str, pattern: str) -> str:
    """The pattern's group in a file of /proc or /sys; "unknown" where there is none."""
    try:
        found = re.search(pattern, Path(file).read_text(errors="replace"), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else "unknown"


def hardware() -> str:
    model = _read("/proc/cpuinfo", r"^model name\s*:\s*(.*)$")
    virtual = _read("/proc/cpuinfo", r"^flags.*\b(hypervisor)\b") != "unknown"
    gigabytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    pages = _read("/sys/kernel/mm/transparent_hugepage/enabled", r"\[(\w+)\]")
    return (
        f"{model}, {os.cpu_count()} CPUs{' of a virtual machine' if virtual else ''}, {gigabytes:.0f} GB, "
        f"Linux {platform.release()}, transparent huge pages: {pages}"
    )


def load() -> float:
    """How many processes wanted a CPU over the last minute."""
    return os.getloadavg()[0]


def allocators() -> str:
    versions = [f"{peer.name} {peer.version()}" for peer in PEERS if peer.library() is not None]
    return ", ".join([f"system = {os.confstr('CS_GNU_LIBC_VERSION') or 'libc'}", *versions])


def absent() -> str:
    return ", ".join(f"{peer.name} (apt-get install {peer.package})" for peer in absent_peers())


def build(folder: Path) -> str:
    """Commit, sources, compiler and switches from the string that every binary carries."""
    library = folder / "lib" / "libhakmem.so"
    told = subprocess.run(
        ["readelf", "-p", ".hakprof.build", str(library)], capture_output=True, text=True, check=False
    ).stdout
    unknown = {"commit": "unknown", "compiler": "unknown compiler", "sources": "unknown"}
    facts = unknown | dict(re.findall(r"\b(commit|dirty|switches|compiler|sources)=(.*?)\\n", told))
    changed = " with changes" if facts.get("dirty") == "1" else ""
    switches = f", switches {facts['switches']}" if facts.get("switches") else ""
    return f"commit {facts['commit']}{changed}, sources {facts['sources'][:12]}, {facts['compiler']}{switches}"


def facts(folder: Path) -> dict[str, str]:
    """What must be the same wherever figures are put into one table."""
    return {"machine": hardware(), "build": build(folder), "peers": allocators(), "absent": absent()}
