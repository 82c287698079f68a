"""A study → its cells, in the order in which they run, and what of it cannot be run here."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hakprof.collect.capabilities import Detection, peer_capability
from hakprof.collect.target import NO_BUILD
from hakprof.model.run import CEILING, Capability, Cell, Collector, Skipped
from hakprof.project.schema import Project, Study

DEFAULT_VARIANT = "default"
# What a collector cannot do without: names of capabilities.
_NEEDS = {
    Collector.THROUGHPUT: (),
    Collector.PERF_STAT: ("perf", "perf_events"),
    Collector.PERF_RECORD: ("perf", "perf_events"),
    Collector.STRACE: ("strace",),
    Collector.COUNTERS: (),
    Collector.CALLGRIND: ("valgrind",),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """Cells in the order of running; each thing that cannot be had is said once."""

    cells: tuple[Cell, ...]
    skipped: tuple[Skipped, ...]


@dataclass(frozen=True, slots=True)
class _Contender:
    """One column of the throughput table: an allocator in one variant, from one build."""

    allocator: str
    variant: str
    build: str


def make_plan(project: Project, study: Study, *, quick: bool, detection: Detection) -> Plan:
    """The cells of a study on this machine.

    Throughput comes first: repetition by repetition, in each all workloads, and for each workload all contenders in an
    order that is rotated by one from round to round and reversed every other round, so that none is always first, or
    always behind the same one. The other tools follow, once per cell; perf stat before perf record, which takes its
    page-fault period from it.
    """
    skipped = [*_missing_tools(study, detection), *_missing_peers(study, detection), *_not_linked(project, study)]
    usable = {collector for collector in study.collectors if _lacks(collector, detection) is None}
    contenders = tuple(_contenders(project, study, detection))
    cells: list[Cell] = []
    if Collector.THROUGHPUT in usable:
        repetitions = study.quick_repetitions if quick else study.repetitions
        cells += _throughput(project, study, (*contenders, *_ceiling(project)), repetitions)
    for collector, choose in _SINGLE.items():
        if collector in usable:
            of_all = collector in study.each_variant
            wanted = [
                one
                for one in contenders
                if choose(project, study, one) or (of_all and one.allocator == project.project.name)
            ]
            cells += _once(project, study, wanted, collector)
    if Collector.COUNTERS in usable and project.builds:
        cells += _once(project, study, list(_counted(project, study)), Collector.COUNTERS)
    return Plan(tuple(cells), tuple(skipped))


def _contenders(project: Project, study: Study, detection: Detection) -> Iterator[_Contender]:
    for variant in study.variants:
        build = project.variants[variant].build or study.release
        yield _Contender(project.project.name, variant, build if project.builds else NO_BUILD)
    for peer in study.peers:
        if detection.has(peer_capability(peer)):
            yield _Contender(peer, DEFAULT_VARIANT, NO_BUILD)


def _ceiling(project: Project) -> Iterator[_Contender]:
    """Only throughput is asked of an allocator that does nothing."""
    if project.project.ceiling is not None:
        yield _Contender(CEILING, DEFAULT_VARIANT, NO_BUILD)


def _counted(project: Project, study: Study) -> Iterator[_Contender]:
    """The default on the instrumented build; where the study asks for it, also the variants that can run on one."""
    if study.instrumented is None:
        return
    yield _Contender(project.project.name, DEFAULT_VARIANT, study.instrumented)
    others = study.variants if Collector.COUNTERS in study.each_variant else ()
    for variant in others:
        build = project.variants[variant].build
        if variant != DEFAULT_VARIANT and (build is None or project.builds[build].flavour == "instrumented"):
            yield _Contender(project.project.name, variant, build or study.instrumented)


def _is_everything(project: Project, study: Study, contender: _Contender) -> bool:
    return True


def _is_default(project: Project, study: Study, contender: _Contender) -> bool:
    return contender.variant == DEFAULT_VARIANT


def _is_recorded(project: Project, study: Study, contender: _Contender) -> bool:
    is_subject = contender.allocator == project.project.name
    return contender.variant == DEFAULT_VARIANT and (is_subject or study.record_peers)


def _is_traced(project: Project, study: Study, contender: _Contender) -> bool:
    is_subject = contender.allocator == project.project.name
    return contender.variant == DEFAULT_VARIANT and (is_subject or project.peers[contender.allocator].library is None)


_Choice = Callable[[Project, Study, _Contender], bool]
_SINGLE: dict[Collector, _Choice] = {
    Collector.PERF_STAT: _is_everything,
    Collector.PERF_RECORD: _is_recorded,
    Collector.STRACE: _is_traced,
    Collector.CALLGRIND: _is_default,
}


def _throughput(project: Project, study: Study, contenders: tuple[_Contender, ...], repetitions: int) -> Iterator[Cell]:
    for repetition in range(repetitions):
        for workload in study.workloads:
            for contender in _turned(contenders, repetition):
                if _can_link(project, workload, contender):
                    yield _cell(workload, contender, Collector.THROUGHPUT, repetition)


def _turned(contenders: tuple[_Contender, ...], repetition: int) -> tuple[_Contender, ...]:
    """Round n begins with contender n, and goes forwards if n is even, backwards if it is odd."""
    if not contenders:
        return ()
    start = (repetition + repetition % 2) % len(contenders)
    turned = contenders[start:] + contenders[:start]
    return turned[::-1] if repetition % 2 else turned


def _once(project: Project, study: Study, contenders: list[_Contender], collector: Collector) -> Iterator[Cell]:
    for workload in study.workloads:
        for contender in contenders:
            if _can_link(project, workload, contender):
                yield _cell(workload, contender, collector, 0)


def _cell(workload: str, contender: _Contender, collector: Collector, repetition: int) -> Cell:
    return Cell(
        workload=workload,
        allocator=contender.allocator,
        variant=contender.variant,
        build=contender.build,
        collector=collector,
        repetition=repetition,
    )


def _can_link(project: Project, workload: str, contender: _Contender) -> bool:
    if contender.allocator != project.project.name or project.variants[contender.variant].link != "direct":
        return True
    return project.workloads[workload].direct is not None


def _lacks(collector: Collector, detection: Detection) -> Capability | None:
    for name in _NEEDS[collector]:
        capability = detection.find(name)
        if capability is not None and not capability.available:
            return capability
    return None


def _missing_tools(study: Study, detection: Detection) -> Iterator[Skipped]:
    said: dict[str, list[str]] = {}
    for collector in study.collectors:
        capability = _lacks(collector, detection)
        if capability is not None:
            said.setdefault(capability.name, []).append(collector.value)
    for name, collectors in said.items():
        capability = detection.find(name)
        if capability is not None:
            yield Skipped(what=", ".join(collectors), reason=capability.detail, remedy=capability.remedy)


def _missing_peers(study: Study, detection: Detection) -> Iterator[Skipped]:
    for peer in study.peers:
        capability = detection.find(peer_capability(peer))
        if capability is not None and not capability.available:
            yield Skipped(what=capability.name, reason=capability.detail, remedy=capability.remedy)


def _not_linked(project: Project, study: Study) -> Iterator[Skipped]:
    for variant in study.variants:
        if project.variants[variant].link != "direct":
            continue
        lacking = [workload for workload in study.workloads if project.workloads[workload].direct is None]
        if lacking:
            yield Skipped(
                what=f"variant {variant} of {', '.join(lacking)}",
                reason="no program with the allocator linked in is named",
                remedy=f"set workloads.{lacking[0]}.direct in hakprof.toml",
            )
