"""Describes the machine: what the numbers depend on, and nothing that tells whose it is."""

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

from hakprof.model.run import Host

_VERSION_COMMANDS = {
    "perf": ("perf", "--version"),
    "strace": ("strace", "--version"),
    "valgrind": ("valgrind", "--version"),
    "gcc": ("gcc", "--version"),
    "make": ("make", "--version"),
}
_SECONDS = 20


def describe_host() -> Host:
    """This machine and the versions of its tools; a tool that is missing or broken has no entry."""
    libc_name, libc_version = platform.libc_ver()
    return Host(
        kernel=platform.release(),
        machine=platform.machine(),
        cpu_model=_cpu_model(),
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        hypervisor=_hypervisor(),
        libc=f"{libc_name} {libc_version}".strip() or "unknown",
        transparent_hugepages=_transparent_hugepages(),
        tools={tool: line for tool, command in _VERSION_COMMANDS.items() if (line := _first_line(command))}
        | {"python": platform.python_version()},
    )


def read_text(path: str) -> str | None:
    """A small file of the kernel's, stripped; None where it is not there or not readable."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def trivial_program() -> tuple[str, ...]:
    """A program that does nothing, to try tools on, wherever PATH leads."""
    found = next((path for path in ("/bin/true", "/usr/bin/true") if os.access(path, os.X_OK)), None)
    return (found,) if found is not None else (sys.executable, "-I", "-S", "-c", "pass")


def _first_line(command: tuple[str, ...]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.strip().splitlines()
    return lines[0].strip() if done.returncode == 0 and lines else None


def _cpu_model() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", read_text("/proc/cpuinfo") or "", re.MULTILINE)
    return found[1].strip() if found else "unknown"


def _hypervisor() -> str | None:
    if not re.search(r"^flags\s*:.*\bhypervisor\b", read_text("/proc/cpuinfo") or "", re.MULTILINE):
        return None
    try:
        environment = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
        done = subprocess.run(["lscpu"], capture_output=True, text=True, timeout=_SECONDS, env=environment, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown kind"
    found = re.search(r"^Hypervisor vendor:\s*(.+)$", done.stdout, re.MULTILINE)
    return found[1].strip() if found else "unknown kind"


def _transparent_hugepages() -> str | None:
    text = read_text("/sys/kernel/mm/transparent_hugepage/enabled")
    found = re.search(r"\[(\w+)\]", text or "")
    return found[1] if found else None
