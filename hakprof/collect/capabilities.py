"""What this machine can measure (C12): tried out with the real tools, not guessed from versions."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hakprof.collect.host import describe_host, read_text, trivial_program
from hakprof.collect.peers import find_library, loads, package_version
from hakprof.model.run import Capability, Host
from hakprof.project.schema import Peer, Project

HARDWARE_EVENTS = (
    "cycles",
    "instructions",
    "branches",
    "branch-misses",
    "cache-references",
    "cache-misses",
    "L1-dcache-load-misses",
    "dTLB-load-misses",
)
# --no-bpf-event is older (perf 5.1); without it a thread that waits for BPF programs makes perf a second slower.
BUILD_ID_OPTIONS = ("--buildid-mmap", "--no-bpf-event")
_SECONDS = 30
_PARANOID = "/proc/sys/kernel/perf_event_paranoid"


@dataclass(frozen=True, slots=True)
class Detection:
    """The machine, what it can measure, and which hardware events count here."""

    host: Host
    capabilities: tuple[Capability, ...]
    hardware_events: tuple[str, ...]
    libraries: Mapping[str, Path]  # peer → library to preload; the system allocator has none

    def find(self, name: str) -> Capability | None:
        """The capability of that name."""
        return next((one for one in self.capabilities if one.name == name), None)

    def has(self, name: str) -> bool:
        """Whether a capability is there."""
        found = self.find(name)
        return found is not None and found.available


@dataclass(frozen=True, slots=True)
class _Tried:
    """A tool that was run; ``status`` is None if it could not be."""

    status: int | None
    stdout: str
    stderr: str

    @property
    def reason(self) -> str:
        """The first line of what went wrong."""
        lines = [line.strip() for line in (self.stderr or self.stdout).splitlines() if line.strip(" \n:")]
        useful = [line for line in lines if line != "Error:"]
        return useful[0][:200] if useful else f"ended with status {self.status}"


def detect(project: Project) -> Detection:
    """Try every tool on a trivial program. Takes about a second."""
    with tempfile.TemporaryDirectory(prefix="hakprof-") as folder:
        scratch = Path(folder)
        events = _supported_events()
        named = _record(scratch, *BUILD_ID_OPTIONS)
        found = [_perf(), _perf_events(named if named.status == 0 else _record(scratch))]
        unusable = next((one for one in found if not one.available), None)
        quickly = BUILD_ID_OPTIONS if named.status == 0 else ()
        chains = _record(scratch, *quickly, "-g", "--call-graph", "fp")
        found += [_hardware(events, unusable), _call_graph(chains, unusable)]
        found += [_build_ids(named, unusable), _region(scratch, unusable)]
    found += [_kernel_symbols(), _strace(), _program("valgrind", "valgrind", "callgrind is not run")]
    found += [_program(tool, tool, "builds cannot be made") for tool in _build_tools(project)]
    libraries = _libraries(project.peers)
    found += [_peer(name, peer, libraries.get(name)) for name, peer in project.peers.items()]
    return Detection(
        host=describe_host(),
        capabilities=tuple(found),
        hardware_events=events,
        libraries={name: path for name, path in libraries.items() if loads(path)},
    )


def _try(command: list[str]) -> _Tried:
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            env=environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return _Tried(None, "", f"{command[0]} did not end within {_SECONDS} s")
    except OSError as error:
        return _Tried(None, "", f"{command[0]} cannot be started: {error.strerror}")
    return _Tried(done.returncode, done.stdout, done.stderr)


def _perf() -> Capability:
    if shutil.which("perf") is None:
        return Capability(
            name="perf",
            available=False,
            detail="no perf on PATH: no profile, no counters; layers and findings need them",
            remedy="apt-get install linux-perf",
        )
    tried = _try(["perf", "--version"])
    if tried.status != 0:
        return Capability(
            name="perf", available=False, detail=tried.reason, remedy="apt-get install --reinstall linux-perf"
        )
    return Capability(name="perf", available=True, detail=tried.stdout.strip())


def _record(scratch: Path, *options: str) -> _Tried:
    """perf record of next to nothing."""
    command = ["perf", "record", "-N", "-q", *options, "-e", "cpu-clock", "-o", str(scratch / "probe.data")]
    return _try([*command, "--", *trivial_program()])


def _perf_events(tried: _Tried) -> Capability:
    level = read_text(_PARANOID) or "unknown"
    if tried.status == 0:
        return Capability(
            name="perf_events", available=True, detail=f"perf record works (perf_event_paranoid = {level})"
        )
    missing = shutil.which("perf") is None
    return Capability(
        name="perf_events",
        available=False,
        detail="no perf on PATH" if missing else f"{tried.reason} (perf_event_paranoid = {level})",
        remedy="apt-get install linux-perf" if missing else "sysctl kernel.perf_event_paranoid=1",
    )


def _supported_events() -> tuple[str, ...]:
    """Hardware events that count: the value decides, since an unsupported one comes with 100 % running."""
    supported = []
    tried = _try(["perf", "stat", "-x", ";", "-e", ",".join(HARDWARE_EVENTS), "--", *trivial_program()])
    for line in tried.stderr.splitlines():
        fields = line.split(";")
        if len(fields) > 2 and fields[0].strip().isdigit():
            name = next((event for event in HARDWARE_EVENTS if fields[2].strip().startswith(event)), None)
            if name is not None and name not in supported:
                supported.append(name)
    return tuple(supported)


def _lacking(name: str, detail: str, remedy: str, replaced_by: str, unusable: Capability | None) -> Capability:
    """Something of perf's that is not there; where perf itself is not (``unusable``), that is the reason."""
    if unusable is not None:
        detail = f"not to be had without {unusable.name}: {unusable.detail}"
        remedy = unusable.remedy or remedy
    return Capability(name=name, available=False, detail=detail, remedy=remedy, replaced_by=replaced_by)


def _hardware(events: tuple[str, ...], unusable: Capability | None) -> Capability:
    if events:
        return Capability(name="hardware_counters", available=True, detail=", ".join(events))
    return _lacking(
        "hardware_counters",
        "perf works, but no hardware event counts here (a virtual machine without a PMU?)",
        "run on bare metal, or give the guest a virtual PMU (KVM: `-cpu host,pmu=on`)",
        "callgrind's instruction counts"
        if unusable is not None
        else "cpu-clock samples, software events and callgrind's instruction counts",
        unusable,
    )


def _call_graph(tried: _Tried, unusable: Capability | None) -> Capability:
    if tried.status == 0:
        return Capability(name="call_graph", available=True, detail="frame pointers, user and kernel")
    return _lacking(
        "call_graph",
        f"perf record -g does not work: {tried.reason}",
        "apt-get install --reinstall linux-perf",
        "samples without callers",
        unusable,
    )


def _build_ids(tried: _Tried, unusable: Capability | None) -> Capability:
    if tried.status == 0:
        return Capability(
            name="buildid_mmap", available=True, detail="every mapped object is recorded with its build id"
        )
    return _lacking(
        "buildid_mmap",
        "this perf or kernel records no build id with a mapping (needs perf 5.12 and Linux 5.12)",
        "boot a newer kernel and install its linux-perf",
        "build ids of objects that hold samples",
        unusable,
    )


def _region(scratch: Path, unusable: Capability | None) -> Capability:
    control, answer = scratch / "control", scratch / "answer"
    os.mkfifo(control)
    os.mkfifo(answer)
    command = [
        "perf",
        "stat",
        "-e",
        "task-clock",
        "-D",
        "-1",
        "--control",
        f"fifo:{control},{answer}",
        "--",
        *trivial_program(),
    ]
    if _try(command).status == 0:
        return Capability(name="region_control", available=True, detail="perf --control: start-up is left out")
    return _lacking(
        "region_control",
        "this perf takes no commands while it runs (needs perf 5.10)",
        "apt-get install linux-perf of the running distribution release",
        "profiles of whole runs; start-up dilutes every share",
        unusable,
    )


def _kernel_symbols() -> Capability:
    if kernel_symbols_readable():
        return Capability(name="kernel_symbols", available=True, detail="/proc/kallsyms shows addresses")
    return Capability(
        name="kernel_symbols",
        available=False,
        detail=f"/proc/kallsyms hides addresses (kptr_restrict = {read_text('/proc/sys/kernel/kptr_restrict')})",
        remedy="sysctl kernel.kptr_restrict=0 kernel.perf_event_paranoid=1",
        replaced_by="kernel samples without names",
    )


def kernel_symbols_readable() -> bool:
    """Whether /proc/kallsyms has real addresses for us (zeros otherwise)."""
    try:
        with Path("/proc/kallsyms").open(encoding="ascii", errors="replace") as stream:
            return any(line.split(" ", 1)[0].strip("0") for line, _ in zip(stream, range(100), strict=False))
    except OSError:
        return False


def _strace() -> Capability:
    if shutil.which("strace") is None:
        return Capability(name="strace", available=False, detail="no strace on PATH", remedy="apt-get install strace")
    tried = _try(["strace", "-f", "-c", "-o", os.devnull, *trivial_program()])
    if tried.status == 0:
        return Capability(name="strace", available=True, detail=_try(["strace", "--version"]).reason)
    return Capability(
        name="strace",
        available=False,
        detail=f"tracing is forbidden: {tried.reason}",
        remedy="sysctl kernel.yama.ptrace_scope=1 (in a container: start it with --cap-add=SYS_PTRACE)",
    )


def _program(name: str, package: str, without: str) -> Capability:
    found = shutil.which(name)
    if found is None:
        return Capability(
            name=name, available=False, detail=f"no {name} on PATH: {without}", remedy=f"apt-get install {package}"
        )
    return Capability(name=name, available=True, detail=found)


def _build_tools(project: Project) -> Iterable[str]:
    """The programs that the builds start with; the compiler too where that is make."""
    tools = {build.command[0] for build in project.builds.values() if build.command}
    return sorted(tools | ({"gcc"} if "make" in tools else set()))


def _libraries(peers: Mapping[str, Peer]) -> dict[str, Path]:
    found = {name: find_library(peer.library) for name, peer in peers.items() if peer.library is not None}
    return {name: path for name, path in found.items() if path is not None}


def peer_capability(name: str) -> str:
    """Name of the capability that says whether a peer can be run."""
    return f"peer {name}"


def _peer(name: str, peer: Peer, library: Path | None) -> Capability:
    label = peer_capability(name)
    if peer.library is None:
        return Capability(name=label, available=True, detail="the C library's own allocator")
    if library is not None and loads(library):
        version = package_version(peer)
        detail = str(library) + (f", {peer.package} {version}" if version else "")
        return Capability(name=label, available=True, detail=detail)
    what = f"{peer.library} is not installed" if library is None else f"{library} cannot be preloaded"
    remedy = f"apt-get install {peer.package}" if peer.package else f"install {peer.library} or correct peers.{name}"
    return Capability(name=label, available=False, detail=what, remedy=remedy)
