"""What hakprof.toml may say. Field descriptions are the reference that `hakprof` users read."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from hakprof.model.run import CEILING, Collector
from hakprof.resources import CATALOGUES, catalogues_dir

UNATTRIBUTED = "unattributed"  # the layer of samples that no rule claims: not to be had by a rule
_Str = TypeVar("_Str", bound=str)
_MOST_CPUS = 1 << 16
_CPU_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5})(?::([0-9]{1,5}))?)?")


def cpu_list(text: str) -> frozenset[int]:
    """The CPUs of a list as taskset takes it ("0", "0-3", "0-6:2,9"). ValueError for anything else."""
    cpus: set[int] = set()
    for part in text.split(","):
        found = _CPU_RANGE.fullmatch(part)
        if found is None:
            raise ValueError("not a CPU list such as 0 or 0-3 or 0,2")
        first, last, step = int(found[1]), int(found[2] or found[1]), int(found[3] or 1)
        if last < first or step == 0 or last >= _MOST_CPUS:
            raise ValueError(f"{part!r} is no range of CPUs")
        cpus.update(range(first, last + 1, step))
    return frozenset(cpus)


def _is_cpu_list(text: str) -> str:
    cpu_list(text)
    return text


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("a NUL byte cannot be given to a program")
    return text


def _variable(name: str) -> str:
    if not name or "=" in name:
        raise ValueError("the name of an environment variable has a character and no '='")
    return name


def _program_first(command: tuple[str, ...]) -> tuple[str, ...]:
    if not command or not command[0]:
        raise ValueError("the first of the list is the program; it is missing")
    return command


def _distinct(names: tuple[_Str, ...]) -> tuple[_Str, ...]:
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None:
        raise ValueError(f"{str(twice)!r} is named twice")
    return names


def _shipped_catalogues(names: tuple[str, ...]) -> tuple[str, ...]:
    known = sorted(path.stem for path in catalogues_dir().glob("*.toml"))
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise ValueError(f"there is no layer catalogue {unknown!r}; known: {', '.join(known)}")
    return names


def _free_layer(name: str) -> str:
    if name == UNATTRIBUTED:
        raise ValueError(f"{name!r} is the layer of what no rule claims; choose another name")
    return name


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64)]
Text = Annotated[str, AfterValidator(_without_nul)]  # what reaches a program: argument, path, environment
File = Annotated[str, Field(min_length=1), AfterValidator(_without_nul)]
Arguments = tuple[Text, ...]
Names = Annotated[tuple[Name, ...], AfterValidator(_distinct)]
Environment = dict[Annotated[Text, AfterValidator(_variable)], Text]


class Table(BaseModel):
    """A table of hakprof.toml: unknown keys are errors, so that a misspelt one is not silently ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Subject(Table):
    """[project]: the allocator under test."""

    name: Name = Field(description="what is measured; also the allocator's name in every table")
    title: str = ""
    default_study: Name = "bottleneck"
    library: File | None = Field(None, description="shared library below a build's out folder, for LD_PRELOAD")
    ceiling: File | None = Field(
        None,
        description="library of an allocator that does nothing, below a build's out folder: what a preload can reach",
    )


class Build(Table):
    """[builds.NAME]: how one flavour is made. Placeholders: {source} {out} {commit} {dirty} {sources} {switches}."""

    like: Name | None = Field(None, description="another build, whose keys hold where this one does not set its own")
    source: Text = Field(description="folder of the sources, relative to hakprof.toml")
    command: Annotated[Arguments, AfterValidator(_program_first)] = Field(description="a list, never a shell line")
    sources: Arguments = Field(("**/*",), description="globs below source that decide whether a build is stale")
    switches: Arguments = ()
    flavour: Literal["release", "instrumented"] = "release"
    timeout_seconds: float = Field(600, gt=0)
    counters_environment: Environment = Field(
        default_factory=dict, description="environment that makes a program write its counters as JSON to {file}"
    )
    trace_environment: Environment = Field(
        default_factory=dict, description="environment that makes a program write its route trace to {file}"
    )


class Peer(Table):
    """[peers.NAME]: another allocator that serves the same workloads."""

    title: str = ""
    library: File | None = Field(None, description="soname or path for LD_PRELOAD; absent: the system allocator")
    package: Text | None = Field(None, description="Debian package that brings the library")


class Workload(Table):
    """[workloads.NAME]: a program with arguments."""

    title: str
    program: File = Field(description="below a build's out folder, or an absolute path, or a name on PATH")
    direct: File | None = Field(
        None, description="the same program with the allocator linked in (variant link = 'direct')"
    )
    args: Arguments = ()
    quick_args: Arguments | None = Field(None, description="arguments under --quick")
    short_args: Arguments | None = Field(
        None, description="arguments under tools that slow a program down fifty times (callgrind, route trace)"
    )
    record_args: Arguments | None = Field(
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
    environment: Environment = Field(default_factory=dict)
    link: Literal["preload", "direct"] = "preload"
    build: Name | None = Field(None, description="another build than the study's release build")
    served_by: Text | None = Field(
        None, description="who serves the calls, where by intention it is not the allocator under test"
    )


class LayerRule(Table):
    """[[layers]]: which samples a layer owns.

    A rule matches if ``functions``, ``files`` or ``entries`` does. ``dsos`` beside them narrows the rule to those
    objects; ``dsos`` alone takes whatever of those objects no other rule names.
    """

    layer: Annotated[Name, AfterValidator(_free_layer)]
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


class LayerFile(Table):
    """A file of rules alone: [[layers]] as in hakprof.toml."""

    layers: tuple[LayerRule, ...] = Field(min_length=1)


class Study(Table):
    """[studies.NAME]: a selection of cells and the report that is made of them."""

    title: str = ""
    template: Literal["bottleneck"] = "bottleneck"
    release: Name = Field("release", description="build that throughput, perf and strace measure")
    instrumented: Name | None = Field("instrumented", description="build that the counters come from")
    workloads: Names = Field(min_length=1)
    variants: Names = ("default",)
    peers: Names = ()
    collectors: Annotated[tuple[Collector, ...], AfterValidator(_distinct)] = Field(tuple(Collector)[:5], min_length=1)
    each_variant: Annotated[tuple[Collector, ...], AfterValidator(_distinct)] = Field(
        (), description="of the collectors counters, callgrind and strace: those that run on every variant"
    )
    repetitions: int = Field(7, ge=1, le=1000, description="throughput runs of each cell")
    quick_repetitions: int = Field(3, ge=1, le=1000)
    frequency_hz: int = Field(999, ge=1, le=20000, description="perf record's sampling rate")
    record_peers: bool = Field(False, description="perf record the peers too")
    pin_cpus: Annotated[str, AfterValidator(_is_cpu_list)] | None = Field(
        None, description="CPU list for single-threaded cells, as taskset takes it"
    )

    @model_validator(mode="after")
    def _extends_to_variants(self) -> Self:
        known = (Collector.COUNTERS, Collector.CALLGRIND, Collector.STRACE)
        wrong = next((one for one in self.each_variant if one not in known or one not in self.collectors), None)
        if wrong is not None:
            raise ValueError(
                f"each_variant: {wrong.value!r} must be among the collectors, and one of counters, callgrind, strace"
            )
        return self


def _completed(builds: object) -> object:
    """Builds with what they do not say themselves from the one that they are `like`."""
    if not isinstance(builds, Mapping):
        return builds
    return {name: _from_pattern(name, build, builds) for name, build in builds.items()}


def _from_pattern(name: object, build: object, builds: Mapping[object, object]) -> object:
    if not isinstance(build, Mapping) or "like" not in build:
        return build
    pattern = builds.get(build["like"])
    if not isinstance(pattern, Mapping):
        raise ValueError(f"builds.{name}.like: {build['like']!r} is not defined")
    if "like" in pattern:
        raise ValueError(f"builds.{name}.like: {build['like']!r} is itself like another; name that one")
    return {**pattern, **build}


class Project(Table):
    """The whole of hakprof.toml."""

    project: Subject
    builds: Annotated[dict[Name, Build], BeforeValidator(_completed)] = Field(default_factory=dict)
    workloads: dict[Name, Workload]
    variants: dict[Name, Variant] = Field(default_factory=lambda: {"default": Variant()})
    peers: dict[Name, Peer] = Field(default_factory=dict)
    catalogues: Annotated[tuple[Name, ...], AfterValidator(_shipped_catalogues)] = Field(
        CATALOGUES,
        description="bundled layer catalogues, first match wins; [[layers]] come before them",
    )
    layers: tuple[LayerRule, ...] = ()
    studies: dict[Name, Study]

    @model_validator(mode="after")
    def _names_resolve(self) -> Self:
        if "default" not in self.variants:
            raise ValueError("variants.default is missing: it is what the other variants differ from")
        if self.project.name in self.peers:
            raise ValueError(f"peers.{self.project.name}: this is the name of the allocator under test, see [project]")
        if CEILING in (self.project.name, *self.peers):
            raise ValueError(f"no allocator may be called {CEILING!r}: the one of project.ceiling is")
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
