"""What hakprof.toml may say. Field descriptions are the reference that `hakprof` users read."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hakprof.model.run import Collector

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64)]


class Table(BaseModel):
    """A table of hakprof.toml: unknown keys are errors, so that a misspelt one is not silently ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Subject(Table):
    """[project]: the allocator under test."""

    name: Name = Field(description="what is measured; also the allocator's name in every table")
    title: str = ""
    default_study: Name = "bottleneck"
    library: str | None = Field(None, description="shared library below a build's out folder, for LD_PRELOAD")


class Build(Table):
    """[builds.NAME]: how one flavour is made. Placeholders: {source} {out} {commit} {dirty} {sources} {switches}."""

    source: str = Field(description="folder of the sources, relative to hakprof.toml")
    command: tuple[str, ...] = Field(description="a list, never a shell line")
    sources: tuple[str, ...] = Field(("**/*",), description="globs below source that decide whether a build is stale")
    switches: tuple[str, ...] = ()
    flavour: Literal["release", "instrumented"] = "release"
    timeout_seconds: float = Field(600, gt=0)
    counters_environment: dict[str, str] = Field(
        default_factory=dict, description="environment that makes a program write its counters as JSON to {file}"
    )
    trace_environment: dict[str, str] = Field(
        default_factory=dict, description="environment that makes a program write its route trace to {file}"
    )


class Peer(Table):
    """[peers.NAME]: another allocator that serves the same workloads."""

    title: str = ""
    library: str | None = Field(None, description="soname or path for LD_PRELOAD; absent: the system allocator")
    package: str | None = Field(None, description="Debian package that brings the library")


class Workload(Table):
    """[workloads.NAME]: a program with arguments."""

    title: str
    program: str = Field(description="below a build's out folder, or an absolute path, or a name on PATH")
    direct: str | None = Field(
        None, description="the same program with the allocator linked in (variant link = 'direct')"
    )
    args: tuple[str, ...] = ()
    quick_args: tuple[str, ...] | None = Field(None, description="arguments under --quick")
    short_args: tuple[str, ...] | None = Field(
        None, description="arguments under tools that slow a program down fifty times (callgrind, route trace)"
    )
    record_args: tuple[str, ...] | None = Field(
        None, description="arguments under perf record, where a longer run gives narrower intervals"
    )
    region: bool = Field(
        False, description="the program marks its measured region through HAKPROF_CTL_FIFO and HAKPROF_ACK_FIFO"
    )
    threads: int = Field(1, ge=1, description="threads of the program; only single-threaded ones are pinned")
    unit: str = Field("op", description="what one operation is")
    group: str = Field("", description="workloads that are averaged together, and titled so")
    timeout_seconds: float = Field(60, gt=0)


class Variant(Table):
    """[variants.NAME]: what differs from the default."""

    title: str = ""
    environment: dict[str, str] = Field(default_factory=dict)
    link: Literal["preload", "direct"] = "preload"
    build: Name | None = Field(None, description="another build than the study's release build")


class LayerRule(Table):
    """[[layers]]: which samples a layer owns.

    A rule matches if ``functions``, ``files`` or ``entries`` does. ``dsos`` beside them narrows the rule to those
    objects; ``dsos`` alone takes whatever of those objects no other rule names.
    """

    layer: Name
    title: str = ""
    functions: tuple[str, ...] = Field((), description="names or globs, compared without clone suffixes")
    files: tuple[str, ...] = Field((), description="globs on the source file's path")
    dsos: tuple[str, ...] = Field((), description="globs on the ELF object's path")
    entries: tuple[str, ...] = Field((), description="kernel entry functions (asm_exc_page_fault, __x64_sys_futex)")

    @model_validator(mode="after")
    def _matches_something(self) -> Self:
        if not (self.functions or self.files or self.dsos or self.entries):
            raise ValueError("a layer needs at least one of functions, files, dsos, entries")
        return self


class Study(Table):
    """[studies.NAME]: a selection of cells and the report that is made of them."""

    title: str = ""
    template: Name = "bottleneck"
    release: Name = Field("release", description="build that throughput, perf and strace measure")
    instrumented: Name | None = Field("instrumented", description="build that the counters come from")
    workloads: tuple[Name, ...] = Field(min_length=1)
    variants: tuple[Name, ...] = ("default",)
    peers: tuple[Name, ...] = ()
    collectors: tuple[Collector, ...] = Field(tuple(Collector)[:5], min_length=1)
    repetitions: int = Field(7, ge=1, le=1000, description="throughput runs of each cell")
    quick_repetitions: int = Field(3, ge=1, le=1000)
    frequency_hz: int = Field(999, ge=1, le=20000, description="perf record's sampling rate")
    record_peers: bool = Field(False, description="perf record the peers too")
    pin_cpus: str | None = Field(None, description="CPU list for single-threaded cells, as taskset takes it")


class Project(Table):
    """The whole of hakprof.toml."""

    project: Subject
    builds: dict[Name, Build] = Field(default_factory=dict)
    workloads: dict[Name, Workload]
    variants: dict[Name, Variant] = Field(default_factory=lambda: {"default": Variant()})
    peers: dict[Name, Peer] = Field(default_factory=dict)
    catalogues: tuple[Name, ...] = Field(
        ("hakmem", "benchmark", "glibc", "mimalloc", "jemalloc", "tcmalloc", "libc", "kernel"),
        description="bundled layer catalogues, first match wins; [[layers]] come before them",
    )
    layers: tuple[LayerRule, ...] = ()
    studies: dict[Name, Study]

    @model_validator(mode="after")
    def _names_resolve(self) -> Self:
        if "default" not in self.variants:
            raise ValueError("variants.default is missing: it is what the other variants differ from")
        for variant_name, variant in self.variants.items():
            if variant.build is not None:
                self._known(f"variants.{variant_name}.build", (variant.build,), self.builds)
        for study_name, study in self.studies.items():
            where = f"studies.{study_name}"
            self._known(f"{where}.workloads", study.workloads, self.workloads)
            self._known(f"{where}.variants", study.variants, self.variants)
            self._known(f"{where}.peers", study.peers, self.peers)
            if self.builds:
                self._known(f"{where}.release", (study.release,), self.builds)
                if study.instrumented is not None:
                    self._known(f"{where}.instrumented", (study.instrumented,), self.builds)
        if self.project.default_study not in self.studies:
            raise ValueError(f"project.default_study: no study is called {self.project.default_study!r}")
        return self

    @staticmethod
    def _known(where: str, names: tuple[str, ...], table: Mapping[str, object]) -> None:
        for name in names:
            if name not in table:
                raise ValueError(f"{where}: {name!r} is not defined; known: {', '.join(sorted(table)) or 'none'}")
