"""Which cells a study has, and in which order they run."""

from collections import Counter, defaultdict
from itertools import pairwise

import pytest

from hakprof.collect.capabilities import Detection
from hakprof.collect.plan import make_plan
from hakprof.model.run import CEILING, Capability, Cell, Collector, Host
from hakprof.project import load_project
from hakprof.project.schema import Project
from hakprof.resources import default_project_file

HOST = Host(
    kernel="6.1",
    machine="x86_64",
    cpu_model="demo",
    cpus=2,
    memory_bytes=1 << 30,
    hypervisor=None,
    libc="glibc 2.36",
    transparent_hugepages=None,
    tools={},
)
PEERS = ("system", "mimalloc", "jemalloc", "tcmalloc")
TOOLS = ("perf", "perf_events", "strace", "valgrind", "call_graph", "buildid_mmap", "region_control")


def machine(*missing: str) -> Detection:
    names = (*TOOLS, *(f"peer {peer}" for peer in PEERS))
    capabilities = tuple(
        Capability(name=name, available=name not in missing, detail=f"{name} detail", remedy=f"mend {name}")
        for name in names
    )
    return Detection(HOST, capabilities, (), {})


@pytest.fixture(scope="module")
def project() -> Project:
    return load_project(default_project_file())


def contender(cell: Cell) -> tuple[str, str]:
    return cell.allocator, cell.variant


def test_every_cell_is_planned_once_and_has_a_name_of_its_own(project: Project) -> None:
    plan = make_plan(project, project.studies["bottleneck"], quick=False, detection=machine())
    study = project.studies["bottleneck"]
    contenders = len(study.variants) + len(study.peers)
    counts = Counter(cell.collector for cell in plan.cells)
    with_ceiling = contenders + 1
    assert counts[Collector.THROUGHPUT] == len(study.workloads) * with_ceiling * study.repetitions
    assert counts[Collector.PERF_STAT] == len(study.workloads) * contenders
    assert counts[Collector.PERF_RECORD] == len(study.workloads)
    assert counts[Collector.STRACE] == len(study.workloads) * 2
    assert counts[Collector.COUNTERS] == len(study.workloads)
    assert len({cell.id for cell in plan.cells}) == len(plan.cells)
    assert plan.skipped == ()


def test_the_ceiling_is_asked_for_throughput_alone(project: Project) -> None:
    plan = make_plan(project, project.studies["bottleneck"], quick=False, detection=machine())
    assert {cell.collector for cell in plan.cells if cell.allocator == CEILING} == {Collector.THROUGHPUT}
    without = project.model_copy(update={"project": project.project.model_copy(update={"ceiling": None})})
    plan = make_plan(without, project.studies["bottleneck"], quick=False, detection=machine())
    assert CEILING not in {cell.allocator for cell in plan.cells}


def test_quick_has_fewer_repetitions(project: Project) -> None:
    study = project.studies["bottleneck"]
    plan = make_plan(project, study, quick=True, detection=machine())
    assert {cell.repetition for cell in plan.cells} == set(range(study.quick_repetitions))


def test_contenders_are_interleaved_and_none_is_always_first_or_behind_the_same(project: Project) -> None:
    study = project.studies["bottleneck"]
    plan = make_plan(project, study, quick=False, detection=machine())
    throughput = [cell for cell in plan.cells if cell.collector is Collector.THROUGHPUT]
    rounds: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for cell in throughput:
        if cell.workload == study.workloads[0]:
            rounds[cell.repetition].append(contender(cell))
    assert [cell.repetition for cell in throughput] == sorted(cell.repetition for cell in throughput)
    orders = list(rounds.values())
    assert all(sorted(order) == sorted(orders[0]) for order in orders)
    assert len({order[0] for order in orders}) == min(len(orders), len(orders[0]))
    followers = Counter(pair for order in orders for pair in pairwise(order))
    assert max(followers.values()) < len(orders)


def test_perf_stat_comes_before_perf_record(project: Project) -> None:
    plan = make_plan(project, project.studies["bottleneck"], quick=False, detection=machine())
    order = [cell.collector for cell in plan.cells]
    assert max(i for i, one in enumerate(order) if one is Collector.PERF_STAT) < order.index(Collector.PERF_RECORD)


def test_strace_takes_the_subject_and_the_system_allocator(project: Project) -> None:
    plan = make_plan(project, project.studies["bottleneck"], quick=False, detection=machine())
    traced = {contender(cell) for cell in plan.cells if cell.collector is Collector.STRACE}
    assert traced == {(project.project.name, "default"), ("system", "default")}


def test_recording_peers_is_the_studys_choice(project: Project) -> None:
    study = project.studies["bottleneck"].model_copy(update={"record_peers": True})
    plan = make_plan(project, study, quick=False, detection=machine())
    recorded = {cell.allocator for cell in plan.cells if cell.collector is Collector.PERF_RECORD}
    assert recorded == {project.project.name, *PEERS}


def test_a_missing_tool_is_said_once_with_its_remedy(project: Project) -> None:
    plan = make_plan(project, project.studies["bottleneck"], quick=False, detection=machine("perf", "perf_events"))
    assert [(one.what, one.reason, one.remedy) for one in plan.skipped] == [
        ("perf_stat, perf_record", "perf detail", "mend perf")
    ]
    left = {cell.collector for cell in plan.cells}
    assert left == {Collector.THROUGHPUT, Collector.STRACE, Collector.COUNTERS, Collector.CALLGRIND}


def test_a_missing_peer_is_left_out_of_everything(project: Project) -> None:
    plan = make_plan(project, project.studies["bottleneck"], quick=False, detection=machine("peer jemalloc", "strace"))
    assert {one.what for one in plan.skipped} == {"peer jemalloc", "strace"}
    assert "jemalloc" not in {cell.allocator for cell in plan.cells}


def test_a_workload_without_a_direct_program_has_no_direct_cells(project: Project) -> None:
    name = project.studies["bottleneck"].workloads[0]
    changed = project.workloads | {name: project.workloads[name].model_copy(update={"direct": None})}
    plan = make_plan(
        project.model_copy(update={"workloads": changed}),
        project.studies["bottleneck"],
        quick=False,
        detection=machine(),
    )
    assert not any(cell.workload == name and cell.variant == "direct" for cell in plan.cells)
    assert [one.what for one in plan.skipped] == [f"variant direct of {name}"]


def test_callgrind_runs_only_where_the_study_asks_for_it(project: Project) -> None:
    study = project.studies["bottleneck"].model_copy(update={"collectors": (Collector.CALLGRIND,)})
    plan = make_plan(project, study, quick=False, detection=machine())
    assert {cell.collector for cell in plan.cells} == {Collector.CALLGRIND}
    assert {cell.variant for cell in plan.cells} == {"default"}


def test_tools_of_each_variant_run_on_every_variant_that_they_can_tell_of(project: Project) -> None:
    study = project.studies["instrumented"].model_copy(
        update={
            "variants": ("default", "guards", "size_hist", "libc"),
            "collectors": (Collector.CALLGRIND, Collector.COUNTERS),
            "each_variant": (Collector.CALLGRIND, Collector.COUNTERS),
        }
    )
    plan = make_plan(project, study, quick=False, detection=machine())
    asked = {(cell.collector, cell.variant) for cell in plan.cells if cell.allocator == project.project.name}
    assert asked == {
        *((Collector.CALLGRIND, variant) for variant in study.variants),
        *((Collector.COUNTERS, variant) for variant in ("default", "size_hist", "libc")),
    }
    counted = {cell.build for cell in plan.cells if cell.collector is Collector.COUNTERS}
    assert counted == {"instrumented"}


def test_every_experiment_of_the_bundled_project_is_a_quick_look_at_more_than_one_setting(project: Project) -> None:
    experiments = {name: study for name, study in project.studies.items() if study.each_variant}
    assert len(experiments) > 10
    for name, study in experiments.items():
        assert study.variants[0] == "default", name
        assert len(study.variants) > 1, name
        cells = make_plan(project, study, quick=True, detection=machine()).cells
        throughput = Counter(contender(cell) for cell in cells if cell.collector is Collector.THROUGHPUT)
        assert min(throughput.values()) >= 4 * len(study.workloads), f"{name}: too few to show a difference"
        assert len(cells) < 200, f"{name}: {len(cells)} cells are no quick look"
