"""A cell → what is to be run: the program, what is preloaded, and the environment that the cell is about."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hakprof.builds.make import describe_binary
from hakprof.collect.capabilities import Detection
from hakprof.errors import HakprofError
from hakprof.model.run import CEILING, BinaryInfo, BuildInfo, Cell, Collector
from hakprof.project.schema import Project, Study, Workload

NO_BUILD = "-"  # Cell.build of peers, and of projects that build nothing


@dataclass(frozen=True, slots=True)
class Setting:
    """What all cells of a run share."""

    project: Project
    study: Study
    quick: bool
    base: Path  # folder of hakprof.toml: where programs run
    builds: Mapping[str, BuildInfo]
    detection: Detection


@dataclass(frozen=True, slots=True)
class Target:
    """A program under test, ready to be put behind a tool. ``environment`` holds only what the cell adds."""

    program: tuple[str, ...]
    environment: dict[str, str]
    binary: BinaryInfo
    preload: BinaryInfo | None
    cwd: Path
    timeout_seconds: float
    region: bool  # the program marks its measured region, and perf here can be told of it
    pin_cpus: str | None

    @property
    def pinned(self) -> tuple[str, ...]:
        """The program, on its own CPUs where the study asks for that."""
        return ("taskset", "-c", self.pin_cpus, *self.program) if self.pin_cpus else self.program

    def behind_env(self, extra: Mapping[str, str]) -> tuple[str, ...]:
        """The program behind `env`, so that its environment (LD_PRELOAD above all) does not reach the tool in front."""
        pairs = (f"{name}={value}" for name, value in sorted((self.environment | dict(extra)).items()))
        return ("env", *pairs, *self.pinned)


def resolve(setting: Setting, cell: Cell, *, short: bool = False) -> Target:
    """The target of a cell; ``short`` takes the arguments for slow tools. HakprofError names the key at fault."""
    workload = setting.project.workloads[cell.workload]
    variant = setting.project.variants[cell.variant]
    build = setting.builds.get(setting.study.release if cell.build == NO_BUILD else cell.build)
    is_direct = variant.link == "direct" and cell.allocator == setting.project.project.name
    key = f"workloads.{cell.workload}.{'direct' if is_direct else 'program'}"
    named = workload.direct if is_direct and workload.direct is not None else workload.program
    binary = find_program(named, key=key, build=build, base=setting.base)
    preload = None if is_direct else _preload(setting, cell, build)
    environment = dict(variant.environment)
    if preload is not None:
        environment["LD_PRELOAD"] = preload.path
    return Target(
        program=(binary.path, *_arguments(workload, cell.collector, quick=setting.quick, short=short)),
        environment=environment,
        binary=binary,
        preload=preload,
        cwd=setting.base,
        timeout_seconds=workload.timeout_seconds,
        region=workload.region and setting.detection.has("region_control"),
        pin_cpus=setting.study.pin_cpus if workload.threads == 1 else None,
    )


def find_program(named: str, *, key: str, build: BuildInfo | None, base: Path) -> BinaryInfo:
    """A program below the build's out folder, else below hakprof.toml's folder or absolute, else on PATH."""
    if build is not None and named in build.binaries:
        return build.binaries[named]
    candidates = [Path(build.out) / named] if build is not None else []
    if "/" in named:
        candidates.append((base / named).resolve())
    else:
        on_path = shutil.which(named)
        candidates += [Path(on_path)] if on_path else []
    for path in candidates:
        if path.is_file():
            return describe_binary(path) or BinaryInfo(path=str(path))
    known = ", ".join(sorted(name for name in build.binaries if name.startswith("bin/"))) if build else ""
    raise HakprofError(
        f"{key}: no program {named!r}: neither in the build, nor a file, nor on PATH",
        remedy=f"the build made {known}" if known else f"correct {key} in hakprof.toml",
    )


def _preload(setting: Setting, cell: Cell, build: BuildInfo | None) -> BinaryInfo | None:
    subject = setting.project.project
    if cell.allocator == subject.name:
        return _built_library(setting, subject.library, "project.library", build)
    if cell.allocator == CEILING:
        return _built_library(setting, subject.ceiling, "project.ceiling", build)
    path = setting.detection.libraries.get(cell.allocator)
    return None if path is None else describe_binary(path) or BinaryInfo(path=str(path))


def _built_library(setting: Setting, named: str | None, key: str, build: BuildInfo | None) -> BinaryInfo | None:
    if named is None:
        return None
    if build is not None and named in build.binaries:
        return build.binaries[named]
    path = (setting.base / named).resolve()
    if not path.is_file():
        made = ", ".join(sorted(name for name in build.binaries if name.endswith(".so"))) if build else ""
        raise HakprofError(
            f"{key}: no file {named!r}" + (f" in build {build.name}" if build else ""),
            remedy=f"the build made {made}" if made else f"correct {key} in hakprof.toml",
        )
    return describe_binary(path) or BinaryInfo(path=str(path))


def _arguments(workload: Workload, collector: Collector, *, quick: bool, short: bool) -> tuple[str, ...]:
    if collector is Collector.PERF_RECORD and workload.record_args is not None:
        return workload.record_args
    if short and workload.short_args is not None:
        return workload.short_args
    if (quick or short) and workload.quick_args is not None:
        return workload.quick_args
    return workload.args
