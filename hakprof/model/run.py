"""What a run on disk says of itself: builds, host, cells, and how each cell ended.

Stored as JSON by :mod:`hakprof.store`.
"""

import re
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0, le=(1 << 63) - 1)]  # what a table's column of Int64 holds


class Frozen(BaseModel):
    """Base of everything stored: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Collector(StrEnum):
    """The tool that a cell runs under."""

    THROUGHPUT = "throughput"
    PERF_STAT = "perf_stat"
    PERF_RECORD = "perf_record"
    STRACE = "strace"
    COUNTERS = "counters"
    CALLGRIND = "callgrind"


class CellStatus(StrEnum):
    """How a cell ended. A crash or a time-out is a result, not an error of ours."""

    OK = "ok"
    FAILED = "failed"  # the program exited with a non-zero status
    CRASHED = "crashed"  # a signal ended it
    TIMEOUT = "timeout"
    TOOL_FAILED = "tool_failed"  # perf or strace itself failed; the program is not to blame


class BinaryInfo(Frozen):
    """One ELF file that was measured."""

    path: str
    build_id: str | None = None
    build_string: dict[str, str] = Field(default_factory=dict)  # section .hakprof.build; empty if it has none
    size_bytes: Count = 0


class BuildInfo(Frozen):
    """One compiled flavour: where it came from and what it produced."""

    name: str
    out: str
    command: tuple[str, ...] = ()
    sources_sha256: str | None = None  # hash of the sources as hakprof found them just before it built
    binaries: dict[str, BinaryInfo] = Field(default_factory=dict)  # key: path below ``out``


CEILING = "ceiling"  # allocator of the cells that run on project.ceiling, which does nothing


class Cell(Frozen):
    """Build × workload × variant × allocator × collector × repetition: the unit that is scheduled, run and stored."""

    workload: str
    allocator: str  # the subject's name, a peer's, or CEILING
    variant: str = "default"
    build: str = "release"  # "-" for peers
    collector: Collector
    repetition: Count = 0

    @property
    def id(self) -> str:
        """Name of the cell's folder: file-system safe, sortable, unique within a run."""
        parts = (self.collector, self.workload, self.allocator, self.variant, self.build)
        return ".".join(re.sub(r"[^A-Za-z0-9_-]+", "_", part) for part in parts) + f".{self.repetition:02d}"


class CellResult(Frozen):
    """How one cell went. ``files`` maps a role to a file name inside the cell's folder.

    Roles: stdout, stderr, perf_data, perf_stat, strace_system, strace_wall, counters, route_trace, callgrind.
    """

    cell: Cell
    status: CellStatus
    exit_code: Count | None = None
    signal: str | None = None  # "SIGSEGV"
    command: tuple[str, ...]  # as executed, with the tool in front
    program: tuple[str, ...]  # the program under test and its arguments alone
    environment: dict[str, str] = Field(default_factory=dict)  # only what hakprof set
    binary: BinaryInfo | None = None
    preload: BinaryInfo | None = None
    started_utc: str
    wall_ns: Count
    vm_hwm_bytes: Count | None = None  # peak resident set, where the collector could see it
    files: dict[str, str] = Field(default_factory=dict)
    role_wall_ns: dict[str, Count] = Field(default_factory=dict)  # of the run that wrote a role, if not ``wall_ns``
    output_tail: str = ""  # last output of the program, kept whole enough to act on a crash
    note: str = ""  # what hakprof had to do differently ("event cpu-clock instead of cycles")


class Capability(Frozen):
    """One thing this machine can or cannot measure (C12)."""

    name: str
    available: bool
    detail: str
    remedy: str | None = None
    replaced_by: str | None = None


class Host(Frozen):
    """The machine and its tools. No name or address of it: reports are published."""

    kernel: str
    machine: str
    cpu_model: str
    cpus: Count
    memory_bytes: Count
    hypervisor: str | None
    libc: str
    transparent_hugepages: str | None
    tools: dict[str, str]  # tool → version line


class Skipped(Frozen):
    """Something the study asked for that could not be run; said once, with the remedy."""

    what: str
    reason: str
    remedy: str | None = None


class Manifest(Frozen):
    """What a run is: written before the first cell and again at its end."""

    schema_version: Literal[1] = 1
    hakprof_version: str
    project: str
    subject: str  # the allocator under test
    study: str
    created_utc: str
    finished_utc: str | None = None
    commit: str | None
    dirty: bool | None
    command_line: tuple[str, ...]
    quick: bool
    host: Host
    capabilities: tuple[Capability, ...]
    builds: tuple[BuildInfo, ...]
    cells: tuple[Cell, ...]
    skipped: tuple[Skipped, ...] = ()
    project_file: str  # the text of hakprof.toml that was in force, so that an old run can be read again
