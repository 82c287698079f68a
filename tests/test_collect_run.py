"""Whole runs of a small project under the real tools: what is stored, and how each cell ended."""

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from collect_runs import Log, line, needs_perf, needs_strace, of, run, start_hakprof
from tiny_project import Tiny, make_tiny, workload

from hakprof.collect.run import collect
from hakprof.elf import build_id
from hakprof.model.run import CellResult, CellStatus, Collector
from hakprof.store import RunStore, open_run

pytestmark = pytest.mark.live


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return make_tiny(tmp_path / "tiny")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tiny, RunStore, Log]:
    """One run of everything, for the tests that only look."""
    tiny, log = make_tiny(tmp_path_factory.mktemp("whole") / "tiny"), Log()
    return tiny, run(tiny, log=log), log


@needs_perf
@needs_strace
def test_every_planned_cell_is_stored_and_well(whole: tuple[Tiny, RunStore, Log]) -> None:
    _, store, log = whole
    results = store.results()
    assert {one.cell for one in results} == set(store.manifest.cells)
    assert {one.status for one in results} == {CellStatus.OK}, [one.output_tail for one in results]
    assert store.manifest.finished_utc is not None
    assert store.warnings == []
    assert log.total == len(log.done) == len(results)
    for one in results:
        folder = store.cell_dir(one.cell.id)
        assert all((folder / name).is_file() for name in one.files.values())
        assert not any(".tmp-" in part for part in one.command)
    assert not list(store.raw_dir.glob(".tmp-*"))


def test_the_manifest_tells_where_everything_came_from(whole: tuple[Tiny, RunStore, Log]) -> None:
    tiny, store, _ = whole
    manifest = open_run(store.path).manifest
    assert manifest.project_file == tiny.file.read_text()
    assert {one.name for one in manifest.builds} == {"release", "instrumented"}
    assert manifest.commit is None
    assert manifest.study == "all"
    assert manifest.host.tools["gcc"]


def test_the_library_reaches_the_program_and_only_the_default_variant(whole: tuple[Tiny, RunStore, Log]) -> None:
    _, store, _ = whole
    for result in store.results():
        is_preloaded = result.cell.allocator == "tiny" and result.cell.variant == "default"
        assert (result.preload is not None) == is_preloaded
        told = line(store, result)["preload"]
        assert told == (result.preload.path if result.preload is not None else "")


@needs_perf
def test_perf_stat_counts_the_measured_region_alone(whole: tuple[Tiny, RunStore, Log]) -> None:
    """The region touches 300 pages; start-up has faults of its own."""
    _, store, _ = whole
    results = [one for one in of(store, Collector.PERF_STAT) if one.cell.workload == "work"]
    assert len(results) == 3
    for result in results:
        rows = [json.loads(text) for text in _stat_lines(store, result) if text.startswith("{")]
        faults = next(float(row["counter-value"]) for row in rows if row["event"] == "page-faults")
        assert 300 <= faults < 330


def _stat_lines(store: RunStore, result: CellResult) -> list[str]:
    return (store.cell_dir(result.cell.id) / result.files["perf_stat"]).read_text().splitlines()


@needs_perf
def test_recordings_have_both_events_with_callers_and_their_objects_are_kept(
    whole: tuple[Tiny, RunStore, Log],
) -> None:
    _, store, _ = whole
    results = of(store, Collector.PERF_RECORD)
    assert {one.cell.workload for one in results} == {"work", "other"}
    for result in results:
        data = store.cell_dir(result.cell.id) / result.files["perf_data"]
        events = subprocess.run(["perf", "evlist", "-v", "-i", data], capture_output=True, text=True, check=True).stdout
        assert "CALLCHAIN" in events
        faults = next(text for text in events.splitlines() if text.startswith("page-faults:"))
        assert "{ sample_period, sample_freq }: 1," in faults
        assert result.binary is not None
        kept = store.object_dir / str(result.binary.build_id) / "tiny"
        assert build_id(kept) == result.binary.build_id
    names = {path.name for path in store.object_dir.glob("*/*")}
    assert {"tiny", "libtiny.so", "libc.so.6"} <= names


@needs_perf
def test_a_recording_of_a_marked_region_leaves_start_up_out(whole: tuple[Tiny, RunStore, Log]) -> None:
    """300 pages are touched in the region: that many samples, with a handful of others, and none under `env`."""
    _, store, _ = whole
    result = next(one for one in of(store, Collector.PERF_RECORD) if one.cell.workload == "work")
    data = store.cell_dir(result.cell.id) / result.files["perf_data"]
    command = ["perf", "script", "-i", data, "-F", "comm,event", "-G"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    faults = [text for text in lines if "page-faults" in text]
    assert 300 <= len(faults) < 330
    assert not any(text.split()[0] == "env" for text in lines if text.strip())


def test_the_kernels_symbols_are_kept_where_they_may_be_read(whole: tuple[Tiny, RunStore, Log]) -> None:
    _, store, _ = whole
    if not store.kallsyms.exists():
        pytest.skip("kallsyms is hidden here")
    assert b" _stext\n" in gzip.decompress(store.kallsyms.read_bytes())


@needs_strace
def test_strace_has_a_table_by_each_clock_and_the_wall_time_of_each(whole: tuple[Tiny, RunStore, Log]) -> None:
    _, store, _ = whole
    results = of(store, Collector.STRACE)
    assert {one.cell.allocator for one in results} == {"tiny", "system"}
    for result in results:
        for role in ("strace_system", "strace_wall"):
            text = (store.cell_dir(result.cell.id) / result.files[role]).read_text()
            assert "mmap" in text
            assert "total" in text
        assert result.role_wall_ns["strace_wall"] > 0


def test_the_instrumented_build_wrote_its_counters(whole: tuple[Tiny, RunStore, Log]) -> None:
    _, store, _ = whole
    for result in of(store, Collector.COUNTERS):
        assert result.binary is not None
        assert result.binary.build_string["flavour"] == "instrumented"
        text = (store.cell_dir(result.cell.id) / result.files["counters"]).read_text()
        assert json.loads(text) == {"calls": {"malloc": 1000}}
        assert result.environment["TINY_STATS"] == "counters.json"


@pytest.mark.parametrize(
    ("mode", "status", "signal_name", "exit_code"),
    [
        ("crash", CellStatus.CRASHED, "SIGSEGV", None),
        ("fail", CellStatus.FAILED, None, 3),
        ("hang", CellStatus.TIMEOUT, "SIGTERM", None),
    ],
)
def test_a_program_that_goes_wrong_is_a_result(
    tiny: Tiny, mode: str, status: CellStatus, signal_name: str | None, exit_code: int | None
) -> None:
    tiny.add(workload("bad", mode, extra=f"timeout_seconds = {2 if mode == 'hang' else 60}"))
    store = run(tiny, "bad")
    results = store.results()
    assert [(one.status, one.signal, one.exit_code) for one in results] == [(status, signal_name, exit_code)] * 2
    assert results[0].output_tail == f"mode {mode}"
    # After two failures the third repetition is given up, and that is said.
    assert [one.what for one in store.manifest.skipped] == [
        "throughput of bad under tiny (default) from repetition 3 on"
    ]
    assert store.manifest.finished_utc is not None


@needs_perf
@needs_strace
@pytest.mark.parametrize(
    ("mode", "status", "signal_name"),
    [("crash", CellStatus.CRASHED, "SIGSEGV"), ("fail", CellStatus.FAILED, None), ("hang", CellStatus.TIMEOUT, None)],
)
def test_endings_are_told_apart_behind_each_tool(
    tiny: Tiny, mode: str, status: CellStatus, signal_name: str | None
) -> None:
    extra = f"timeout_seconds = {0.6 if mode == 'hang' else 60}\nregion = true"
    tiny.add(workload("bad", mode, extra=extra).replace('["throughput"]', '["perf_stat", "perf_record", "strace"]'))
    results = {one.cell.collector: one for one in run(tiny, "bad").results()}
    assert len(results) == 3
    for collector, result in results.items():
        assert result.status is status, (collector, result)
        if signal_name is not None:
            assert result.signal == signal_name, collector


def test_a_flood_is_stopped_and_cut(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hakprof.collect.cells.OUTPUT_LIMIT_BYTES", 1 << 20)
    tiny.add(workload("flood", "flood"))
    store = run(tiny, "flood")
    for result in store.results():
        assert result.status is CellStatus.FAILED
        assert "wrote more than the limit" in result.note
        assert (store.cell_dir(result.cell.id) / "stdout.txt").stat().st_size <= 1 << 20


def test_a_store_named_from_here_serves_programs_that_run_elsewhere(tiny: Tiny) -> None:
    tiny.edit('collectors = ["throughput"]', 'collectors = ["throughput", "perf_stat", "perf_record", "strace"]')
    child = start_hakprof(tiny, "plain", "--store", "here", "--quick")
    out, told = child.communicate(timeout=60)
    assert child.returncode == 0, told
    store = open_run(Path(out.strip()))
    assert store.path.parent == tiny.folder.parent / "here" / "runs"
    assert {one.status for one in store.results()} == {CellStatus.OK}, told
    assert told.splitlines()[-1] == f"report: hakprof report {store.path} > REPORT.md"


def test_a_relative_store_is_no_matter_to_the_library(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny.folder.parent)
    store = collect(tiny.load(), "all", project_file=tiny.file, store_root=Path("here"), quick=True)
    assert store.path.is_absolute()
    assert {one.status for one in store.results()} == {CellStatus.OK}
    assert all("counters" in one.files for one in of(store, Collector.COUNTERS))


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is missing here")
def test_callgrind_counts_the_short_arguments(tiny: Tiny) -> None:
    text = workload("counted", "work", "50", extra='short_args = ["work", "1"]')
    tiny.add(text.replace('["throughput"]', '["callgrind"]'))
    store = run(tiny, "counted")
    (result,) = store.results()
    assert result.status is CellStatus.OK, result.output_tail
    assert result.program[1:] == ("work", "1")
    profile = (store.cell_dir(result.cell.id) / result.files["callgrind"]).read_text()
    assert "events: Ir" in profile


def test_a_variant_that_another_serves_is_counted_but_not_traced(tiny: Tiny) -> None:
    tiny.edit('TINY_STATS = "{file}" }', 'TINY_STATS = "{file}" }\ntrace_environment = { TINY_TRACE = "{file}" }')
    tiny.edit("[variants.direct]", '[variants.libc]\nserved_by = "the C library"\n[variants.direct]')
    counters = 'variants = ["default", "libc"]\ncollectors = ["counters"]\neach_variant = ["counters"]'
    tiny.edit('peers = ["system"]\ncollectors = ["throughput"]', counters)
    store = run(tiny, "plain")
    traced = {one.cell.variant: (store.cell_dir(one.cell.id) / "stdout_trace.txt").exists() for one in store.results()}
    assert traced == {"default": True, "libc": False}
    assert all("counters" in one.files for one in store.results())
