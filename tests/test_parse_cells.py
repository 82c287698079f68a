"""A run's cells → frames: one bad cell never spoils the others, and per-operation figures come from its own line."""

import json
import os

import pytest

from hakprof.model import frames
from hakprof.model.run import Cell, CellResult, CellStatus, Collector
from hakprof.parse.cells import read_cells

PERF_STAT = '{"counter-value" : "500.0", "unit" : "", "event" : "page-faults", "pcnt-running" : 100.00}\n'
STRACE = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
100.00    0.000200          20        10           mmap
------ ----------- ----------- --------- --------- ----------------
100.00    0.000200          20        10           total
"""
BENCH = json.dumps(
    {"benchmark": "x", "ops": 1000, "measured_ns": 500_000, "total_malloc_calls": 1100, "malloc_object": "/lib/a.so"}
)


@pytest.fixture
def cell(tmp_path):
    """Writes a cell's files and gives (CellResult, folder); a file of None is named but not there."""

    def write(collector, files, *, status=CellStatus.OK, repetition=0, wall_ns=1_000_000, **more):
        key = Cell(workload="w", allocator="hakmem", collector=collector, repetition=repetition)
        folder = tmp_path / key.id
        folder.mkdir()
        for role, text in files.items():
            if text is not None:
                (folder / f"{role}.txt").write_text(text)
        result = CellResult(
            cell=key,
            status=status,
            command=("prog",),
            program=("prog",),
            started_utc="2025-01-01T00:00:00Z",
            wall_ns=wall_ns,
            files={role: f"{role}.txt" for role in files},
            **more,
        )
        return result, folder

    return write


def test_every_frame_has_its_schema_even_when_empty():
    read = read_cells([])
    assert read.bench.schema == frames.BENCH
    assert read.counters.schema == frames.COUNTERS
    assert read.syscalls.schema == frames.SYSCALLS
    assert read.allocator_counters.schema == frames.ALLOCATOR_COUNTERS
    assert read.routes.schema == frames.ROUTES
    assert read.warnings == ()


def test_one_cell_of_each_tool(cell):
    read = read_cells(
        [
            cell(Collector.THROUGHPUT, {"stdout": BENCH}),
            cell(Collector.PERF_STAT, {"stdout": BENCH, "perf_stat": PERF_STAT}),
            cell(Collector.STRACE, {"stdout": BENCH, "strace_system": STRACE, "strace_wall": STRACE}),
            cell(
                Collector.COUNTERS,
                {"stdout": BENCH, "counters": '{"a": {"b": 3}}', "route_trace": "[FREE_ROUTE] ss_hit ptr=0x1\n"},
            ),
        ]
    )
    assert read.warnings == ()
    assert read.bench.schema == frames.BENCH
    assert list(read.bench["collector"]) == ["counters", "perf_stat", "strace", "throughput"]
    assert set(read.bench["ops_per_second"]) == {2e6}
    assert set(read.bench["total_malloc_calls"]) == {1100}
    assert read.counters.row(0, named=True)["per_op"] == 0.5
    assert read.counters.schema == frames.COUNTERS
    mmap = read.syscalls.row(0, named=True)
    assert read.syscalls.schema == frames.SYSCALLS
    assert list(read.syscalls["clock"]) == ["system", "wall"]
    assert mmap["share_of_run"] == pytest.approx(0.2)
    assert mmap["calls_per_1000_ops"] == pytest.approx(10)
    assert read.allocator_counters.select("counter", "value").rows() == [("a.b", 3)]
    assert read.routes.select("route", "count", "share").rows() == [("ss_hit", 1, 1.0)]
    assert read.route_samples[0].lines == ("[FREE_ROUTE] ss_hit ptr=0x1",)


def test_a_program_without_a_line_counts_as_one_run(cell):
    read = read_cells([cell(Collector.THROUGHPUT, {"stdout": "hello\n"}, wall_ns=20_000_000, vm_hwm_bytes=4096)])
    row = read.bench.row(0, named=True)
    assert (row["ops"], row["ops_unit"], row["ops_per_second"]) == (1, "run", 50.0)
    assert row["region_marked"] is False
    assert row["vm_hwm_bytes"] == 4096
    assert row["malloc_object"] is None


def test_a_cell_without_the_line_of_its_siblings_is_no_run_of_one_operation(cell):
    read = read_cells(
        [
            cell(Collector.THROUGHPUT, {"stdout": BENCH}, repetition=0),
            cell(Collector.THROUGHPUT, {"stdout": "\x07garbage"}, repetition=1),
            cell(Collector.PERF_STAT, {"stdout": "", "perf_stat": PERF_STAT}, repetition=2),
        ]
    )
    assert list(read.bench["repetition"]) == [0]
    assert [warning.split("; ")[0] for warning in read.warnings] == [
        "perf_stat.w.hakmem.default.release.02: printed no benchmark line",
        "throughput.w.hakmem.default.release.01: printed no benchmark line",
    ]
    assert read.counters["per_op"].to_list() == [None]


def test_a_workload_with_a_marked_region_must_print_its_line(cell):
    read = read_cells([cell(Collector.THROUGHPUT, {"stdout": "hello\n"})], must_print={"w"})
    assert read.bench.is_empty()
    assert "printed no benchmark line" in read.warnings[0]


def test_warnings_keep_the_remedy(cell):
    (warning,) = read_cells([cell(Collector.THROUGHPUT, {"stdout": BENCH[:-9]})]).warnings
    assert "left out — remedy: run the benchmark by itself" in warning


@pytest.mark.parametrize("role", ["stdout", "perf_stat"])
def test_what_is_no_file_is_a_warning(cell, role):
    result, folder = cell(Collector.PERF_STAT, {"stdout": BENCH, "perf_stat": PERF_STAT})
    (folder / f"{role}.txt").unlink()
    os.mkfifo(folder / f"{role}.txt")
    (warning,) = read_cells([(result, folder)]).warnings
    assert f"cannot read {role}.txt: not a regular file" in warning


def test_a_nul_in_a_stored_name_is_a_warning(cell):
    result, folder = cell(Collector.PERF_STAT, {"stdout": BENCH, "perf_stat": PERF_STAT})
    files = result.files | {"perf_stat": "perf\0stat.txt"}
    (warning,) = read_cells([(result.model_copy(update={"files": files}), folder)]).warnings
    assert "no file has such a name" in warning


def test_bad_cells_are_warnings_and_the_rest_stays(cell):
    good = cell(Collector.PERF_STAT, {"stdout": BENCH, "perf_stat": PERF_STAT}, repetition=3)
    read = read_cells(
        [
            cell(Collector.PERF_STAT, {"stdout": BENCH, "perf_stat": "perf: broken\n"}, repetition=0),
            cell(Collector.PERF_STAT, {"stdout": BENCH, "perf_stat": None}, repetition=1),
            cell(Collector.PERF_STAT, {"stdout": BENCH[:-9]}, repetition=2),
            good,
        ]
    )
    assert list(read.counters["repetition"]) == [3]
    assert sorted(read.bench["repetition"]) == [0, 1, 3]
    ids = [f"perf_stat.w.hakmem.default.release.0{number}: " for number in (0, 1, 2, 2)]
    assert [warning[: len(ids[0])] for warning in read.warnings] == ids
    assert "no counter of perf stat" in read.warnings[0]
    assert "No such file" in read.warnings[1]
    assert "broken benchmark line" in read.warnings[2]
    assert "no perf_stat file was stored" in read.warnings[3]
    assert not any(str(good[1].parent) in warning for warning in read.warnings)


def test_a_crashed_program_has_no_throughput_but_keeps_what_it_wrote(cell):
    files = {"stdout": "", "strace_system": STRACE}
    read = read_cells([cell(Collector.STRACE, files, status=CellStatus.CRASHED, signal="SIGSEGV")])
    assert read.bench.is_empty()
    assert read.warnings == (), "the crash itself is in the cell's result"
    assert read.syscalls.row(0, named=True)["calls_per_1000_ops"] is None
    assert read.syscalls.row(0, named=True)["calls"] == 10


def test_a_failed_tool_says_nothing(cell):
    files = {"stdout": BENCH, "perf_stat": "not there"}
    read = read_cells([cell(Collector.PERF_STAT, files, status=CellStatus.TOOL_FAILED)])
    assert read.bench.is_empty()
    assert read.warnings == ()


def test_order_of_the_cells_does_not_matter(cell):
    cells = [cell(Collector.THROUGHPUT, {"stdout": BENCH}, repetition=number) for number in range(4)]
    assert read_cells(cells).bench.equals(read_cells(reversed(cells)).bench)


def test_a_stored_name_does_not_lead_out_of_the_folder(cell, tmp_path):
    (tmp_path / "secret").write_text(BENCH)
    result, folder = cell(Collector.THROUGHPUT, {})
    read = read_cells([(result.model_copy(update={"files": {"stdout": "../secret"}}), folder)])
    assert read.bench.is_empty()
    assert "No such file" in read.warnings[0]
