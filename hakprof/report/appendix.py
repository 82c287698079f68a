"""Appendices: environment, build configuration, parameters, and the commands that make the run again (R20)."""

import re

from hakprof import units
from hakprof.analysis.findings.common import command_line, with_folders
from hakprof.analysis.inputs import RunData
from hakprof.analysis.labels import allocator_title, workload_title
from hakprof.model.run import BuildInfo, CellResult, Collector
from hakprof.report.model import Appendix, Command, Fact, FactTable

MOST_ROUTE_LINES = 10
_SHORT = 12
_ASSIGNMENT = re.compile(r"[A-Z_][A-Z0-9_]*=")


def appendix(run: RunData) -> Appendix:
    return Appendix(
        environment=_environment(run),
        builds=tuple(_build(build) for build in run.manifest.builds),
        parameters=_parameters(run),
        commands=(_whole_run(run), *_plain_runs(run), *_tool_runs(run)),
        route_sample=run.route_samples[0].lines[:MOST_ROUTE_LINES] if run.route_samples else (),
    )


def _environment(run: RunData) -> FactTable:
    host = run.manifest.host
    facts = [
        Fact("CPU", f"{host.cpus} × {host.cpu_model} ({host.machine})"),
        Fact("memory", units.byte_size(host.memory_bytes)),
        Fact("kernel", host.kernel),
        Fact("hypervisor", host.hypervisor or "none seen"),
        Fact("C library", host.libc),
        Fact("transparent huge pages", host.transparent_hugepages or "unknown"),
    ]
    facts += [Fact(tool, version) for tool, version in sorted(host.tools.items())]
    return FactTable("Environment", tuple(facts))


def _build(build: BuildInfo) -> FactTable:
    string = next((b.build_string for _, b in sorted(build.binaries.items()) if b.build_string), {})
    facts = [
        Fact(key, string[key])
        for key in ("flavour", "commit", "dirty", "compiler", "flags", "switches")
        if key in string
    ]
    if build.sources_sha256:
        facts.append(Fact("sources (SHA-256)", build.sources_sha256[:_SHORT]))
    for name, binary in sorted(build.binaries.items()):
        if binary.build_id and name.startswith("lib/"):
            facts.append(Fact(f"build id of {name}", binary.build_id[:_SHORT]))
    return FactTable(f"Build {build.name}", tuple(facts))


def _parameters(run: RunData) -> FactTable:
    facts = []
    for name in run.workloads:
        workload = run.project.workloads[name]
        quick = run.manifest.quick and workload.quick_args is not None
        args = workload.quick_args if quick and workload.quick_args is not None else workload.args
        facts.append(Fact(workload_title(run, name), f"{workload.program} {' '.join(args)}".strip()))
    for name in run.study.variants:
        variant = run.project.variants.get(name)
        if variant is not None:
            settings = [f"{key}={value}" for key, value in sorted(variant.environment.items())]
            settings.append("linked directly" if variant.link == "direct" else "LD_PRELOAD")
            if variant.build is not None:
                settings.append(f"build {variant.build}")
            facts.append(Fact(f"variant {name}", ", ".join(settings)))
    repetitions = run.study.quick_repetitions if run.manifest.quick else run.study.repetitions
    facts.append(Fact("repetitions", f"{repetitions}, cells interleaved"))
    facts.append(Fact("sampling", f"{run.study.frequency_hz} Hz, call chains by frame pointer"))
    return FactTable("Parameters", tuple(facts))


def _whole_run(run: RunData) -> Command:
    lines = []
    if run.manifest.commit:
        lines.append(f"git checkout {run.manifest.commit}")
    lines.append(f"hakprof collect {run.manifest.study}{' --quick' if run.manifest.quick else ''}")
    lines.append("hakprof report")
    return Command("The whole run", tuple(lines))


def _plain_runs(run: RunData) -> list[Command]:
    """One plain run of each allocator on the first workload, as executed: the others differ in arguments only."""
    found: dict[tuple[str, str], CellResult] = {}
    for result in run.results_of(Collector.THROUGHPUT):
        if result.cell.workload == next(iter(run.workloads), None):
            found.setdefault((result.cell.allocator, result.cell.variant), result)
    if not found:
        return []
    order = [key for name in reversed(run.allocators) for key in found if key[0] == name]
    lines = []
    for key in order:
        lines += [f"# {allocator_title(run, key[0])}, {key[1]}", command_line(found[key])]
    return [Command("Single runs", with_folders(run, lines))]


def _tool_runs(run: RunData) -> list[Command]:
    """What hakprof executed around the program, with the program itself left out."""
    lines = []
    for collector in (Collector.PERF_STAT, Collector.PERF_RECORD, Collector.STRACE):
        result = next((r for r in run.results_of(collector) if r.cell.allocator == run.subject), None)
        if result is not None:
            lines.append(f"{_without_paths(result)} -- PROGRAM")
    return [Command("Tools, as executed (file names shortened)", tuple(lines))] if lines else []


def _without_paths(result: CellResult) -> str:
    """The tool's part of a command; folders are the run's own and mean nothing to the reader."""
    program = result.program[0] if result.program else ""
    end = result.command.index(program) if program in result.command else len(result.command)
    parts = [part for part in result.command[:end] if part not in ("--", "env", "-E") and not _ASSIGNMENT.match(part)]
    return " ".join(_last_names(part) for part in parts)


def _last_names(part: str) -> str:
    """``fifo:/a/b/ctl,/a/b/ack`` → ``fifo:ctl,ack``; options and event names have no leading slash and stay."""
    pieces = []
    for piece in part.split(","):
        head, colon, tail = piece.partition(":/")
        if colon:
            pieces.append(f"{head}:{tail.rsplit('/', 1)[-1]}")
        elif piece.startswith("/"):
            pieces.append(piece.rsplit("/", 1)[-1])
        else:
            pieces.append(piece)
    return ",".join(pieces)
