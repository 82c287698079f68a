"""Whole runs of a small project under the real tools: what is stored, what survives a kill, what is said."""

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_project import MINIMAL_TOOLS, Tiny, fake_tool, make_tiny, path_with, workload

from hakprof.cli.main import main
from hakprof.collect.run import collect
from hakprof.elf import build_id
from hakprof.errors import HakprofError, NotMeasuredError, ProjectError, RunInterruptedError, StoreError
from hakprof.model.run import CellResult, CellStatus, Collector
from hakprof.store import RunStore, latest_run, open_run

pytestmark = pytest.mark.live
needs_perf = pytest.mark.skipif(
    subprocess.run("perf record -N -q -o /dev/null true", shell=True, check=False, capture_output=True).returncode != 0,
    reason="perf is missing or forbidden here",
)
needs_strace = pytest.mark.skipif(
    subprocess.run("strace -o /dev/null true", shell=True, check=False, capture_output=True).returncode != 0,
    reason="strace is missing or forbidden here",
)


class Log:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.total = 0
        self.done: list[CellResult] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def start(self, total: int) -> None:
        self.total = total

    def cell_started(self, cell: object) -> None:
        pass

    def cell_done(self, result: CellResult) -> None:
        self.done.append(result)


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return make_tiny(tmp_path / "tiny")


def run(
    tiny: Tiny, study: str | None = None, *, quick: bool = False, resume: Path | None = None, log: Log | None = None
):
    return collect(
        tiny.load(),
        study,
        project_file=tiny.file,
        store_root=tiny.store,
        quick=quick,
        resume=resume,
        progress=log,
    )


def of(store: RunStore, collector: Collector) -> list[CellResult]:
    return [one for one in store.results() if one.cell.collector is collector]


def line(store: RunStore, result: CellResult) -> dict[str, object]:
    """The program's JSON line."""
    text = (store.cell_dir(result.cell.id) / result.files["stdout"]).read_text()
    found: dict[str, object] = json.loads(text.splitlines()[-1])
    return found


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
    tiny.add(workload("bad", mode, extra="timeout_seconds = 0.5"))
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
    extra = f"timeout_seconds = {0.6 if mode == 'hang' else 10}\nregion = true"
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


def start_hakprof(tiny: Tiny, study: str, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "hakprof", "collect", study, "--project", tiny.file, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tiny.folder.parent,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )


def wait_for_cells(tiny: Tiny, count: int) -> RunStore:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        path = latest_run(tiny.store)
        if path is not None:
            store = open_run(path)
            if len(store.results()) >= count:
                return store
        time.sleep(0.02)
    raise AssertionError("no cells came")


@pytest.fixture
def slow(tiny: Tiny) -> Tiny:
    tiny.add(workload("slow", "work", "150").replace("repetitions = 3", "repetitions = 8"))
    return tiny


def test_kill_9_loses_no_finished_cell_and_resume_repeats_none(slow: Tiny) -> None:
    child = start_hakprof(slow, "slow")
    store = wait_for_cells(slow, 3)
    child.kill()
    child.communicate(timeout=20)
    before = {one.cell.id: one for one in store.results()}
    assert 3 <= len(before) < 8
    assert open_run(store.path).manifest.finished_utc is None
    log = Log()
    again = run(slow, resume=store.path, log=log)
    after = {one.cell.id: one for one in again.results()}
    assert len(after) == 8
    assert {name: after[name] for name in before} == before
    assert {one.cell.id for one in log.done} == after.keys() - before.keys()
    assert again.manifest.finished_utc is not None
    assert not list(again.raw_dir.glob(".tmp-*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_says_how_to_go_on(slow: Tiny, number: signal.Signals) -> None:
    child = start_hakprof(slow, "slow")
    store = wait_for_cells(slow, 2)
    child.send_signal(number)
    _, told = child.communicate(timeout=30)
    assert child.returncode == 130
    assert f"`hakprof collect --resume {store.path.name} --project {slow.file}`" in told
    assert "Traceback" not in told
    assert 2 <= len(store.results()) < 8
    assert not list(store.raw_dir.glob(".tmp-*"))


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


def test_a_tool_that_fails_is_told_counted_and_tried_again(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GIVEN an strace that fails once it measures WHEN the run is resumed with a good one THEN it is whole."""
    tiny.edit('collectors = ["throughput"]', 'collectors = ["throughput", "strace"]')
    good = os.environ["PATH"]
    script = (
        'case "$*" in *src*|*tiny*) echo "strace: Can\'t fopen: No such file" >&2; exit 1;; esac\n'
        f'PATH={good} exec strace "$@"'
    )
    fake_tool(tmp_path / "path", "strace", script)
    monkeypatch.setenv("PATH", f"{tmp_path / 'path'}:{good}")
    child = start_hakprof(tiny, "plain", "--store", "other store")
    out, told = child.communicate(timeout=60)
    assert child.returncode == 0, told
    assert "strace: strace: Can't fopen: No such file" in told
    path = Path(out.strip())
    last = told.splitlines()[-1]
    assert last.startswith("2 of 8 cells went wrong: 2 tool_failed; ")
    assert f"--resume {path.name} --store '{path.parent.parent}' --project {tiny.file}`" in last

    monkeypatch.setenv("PATH", good)
    log = Log()
    again = collect(tiny.load(), project_file=tiny.file, store_root=path.parent.parent, resume=path, progress=log)
    assert {one.status for one in again.results()} == {CellStatus.OK}
    assert {one.cell.collector for one in log.done} == {Collector.STRACE}


def test_a_second_resume_does_not_tell_twice_what_was_given_up(tiny: Tiny) -> None:
    tiny.add(workload("bad", "fail"))
    store = run(tiny, "bad")
    again = run(tiny, resume=store.path)
    assert len(again.manifest.skipped) == 1


def test_runs_lists_the_unreadable_and_goes_on(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    good = run(tiny, "plain", quick=True).path
    bad = tiny.store / "runs" / "00000000T000000Z-nogit-plain"
    bad.mkdir()
    (bad / "manifest.json").write_text("{")
    assert main(["runs", "--project", str(tiny.file)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{bad.name}  unreadable: ")
    assert second.startswith(f"{good.name}  finished")


def test_a_study_with_nothing_to_run_was_not_measured(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.edit('collectors = ["throughput"]', 'collectors = ["strace"]')
    monkeypatch.setenv("PATH", path_with(tmp_path / "path", *MINIMAL_TOOLS))
    with pytest.raises(NotMeasuredError, match="study plain: nothing of it can be measured here") as raised:
        run(tiny, "plain")
    assert raised.value.remedy == "apt-get install strace"
    assert raised.value.exit_status == 3
    assert not tiny.store.exists()


def test_cpus_that_are_not_there_are_named_before_anything_runs(tiny: Tiny) -> None:
    tiny.edit("[studies.plain]", '[studies.plain]\npin_cpus = "0,9999"')
    with pytest.raises(HakprofError, match=r"studies\.plain\.pin_cpus: '0,9999': there is no CPU 9999") as raised:
        run(tiny, "plain")
    assert "choose among" in (raised.value.remedy or "")
    assert not tiny.store.exists()


def test_pinning_needs_taskset(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.edit("[studies.plain]", f'[studies.plain]\npin_cpus = "{min(os.sched_getaffinity(0))}"')
    monkeypatch.setenv("PATH", path_with(tmp_path / "path", *MINIMAL_TOOLS))
    with pytest.raises(HakprofError, match=r"studies\.plain\.pin_cpus: no taskset"):
        run(tiny, "plain")


@pytest.mark.skipif(os.geteuid() != 0, reason="giving a folder to another user needs root")
def test_a_commit_that_git_keeps_back_is_said_to_be(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    subprocess.run(["git", "-C", tiny.folder, "init", "-q"], check=True)
    os.chown(tiny.folder, 65534, 65534)
    os.chown(tiny.folder / ".git", 65534, 65534)
    log = Log()
    store = run(tiny, "plain", log=log)
    assert [one.what for one in store.manifest.skipped] == ["commit"]
    assert any("dubious ownership" in text and "safe.directory" in text for text in log.messages)


def test_resume_refuses_a_tree_that_has_moved_on(slow: Tiny) -> None:
    store = run(slow, "plain")
    shutil.rmtree(store.cell_dir(store.manifest.cells[0].id))
    (slow.folder / "src" / "library.c").write_text("int other;\n")
    with pytest.raises(StoreError, match="sources have changed") as raised:
        run(slow, resume=store.path)
    assert "new run" in (raised.value.remedy or "")


def test_resume_goes_by_the_projects_text_of_then(tiny: Tiny) -> None:
    store = run(tiny, "plain")
    shutil.rmtree(store.cell_dir(store.manifest.cells[0].id))
    tiny.edit('args = ["work", "20"]', 'args = ["fail"]')
    again = run(tiny, resume=store.path)
    assert {one.status for one in again.results()} == {CellStatus.OK}
    with pytest.raises(StoreError, match="is a run of study plain, not all"):
        run(tiny, "all", resume=store.path)


def test_without_tools_the_rest_is_measured_and_each_lack_is_said_once(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", path_with(tmp_path / "path", *MINIMAL_TOOLS))
    log = Log()
    store = run(tiny, quick=True, log=log)
    assert {one.cell.collector for one in store.results()} == {Collector.THROUGHPUT, Collector.COUNTERS}
    assert {one.status for one in store.results()} == {CellStatus.OK}
    said = [text for text in log.messages if text.startswith("not measured")]
    assert len(said) == 3
    assert "apt-get install linux-perf" in said[0]
    assert "apt-get install strace" in said[1]
    assert [one.what for one in store.manifest.skipped] == [
        "perf_stat, perf_record",
        "strace",
        "variant direct of other",
    ]


def test_forbidden_perf_is_said_once_with_the_sysctl(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = path_with(tmp_path / "path", *MINIMAL_TOOLS)
    script = (
        '[ "$1" = --version ] && echo perf && exit 0\necho "Access to performance monitoring is limited" >&2\nexit 255'
    )
    fake_tool(tmp_path / "path", "perf", script)
    monkeypatch.setenv("PATH", path)
    log = Log()
    run(tiny, quick=True, log=log)
    said = [text for text in log.messages if "perf" in text]
    assert len(said) == 1
    assert "sysctl kernel.perf_event_paranoid=1" in said[0]


def test_faults_of_the_project_are_named_before_anything_runs(tiny: Tiny) -> None:
    with pytest.raises(ProjectError, match="no study is called 'nonsense'"):
        run(tiny, "nonsense")
    tiny.add(workload("gone", "work").replace("bin/tiny", "bin/gone"))
    with pytest.raises(HakprofError, match=r"workloads\.gone\.program: no program 'bin/gone'") as raised:
        run(tiny, "gone")
    assert "bin/tiny" in (raised.value.remedy or "")
    tiny.edit('library = "lib/libtiny.so"', 'library = "lib/libgone.so"')
    with pytest.raises(HakprofError, match=r"project\.library: no file 'lib/libgone\.so'") as raised:
        run(tiny, "plain")
    assert "lib/libtiny.so" in (raised.value.remedy or "")
    assert latest_run(tiny.store) is None


def test_a_project_without_builds_measures_programs_that_are_there(tmp_path: Path) -> None:
    """GIVEN a program on PATH that prints no line and marks no region THEN its whole run is measured."""
    file = tmp_path / "hakprof.toml"
    file.write_text(
        '[project]\nname = "libc"\ndefault_study = "s"\n[workloads.w]\ntitle = "w"\nprogram = "ls"\nargs = ["/"]\n'
        '[studies.s]\nworkloads = ["w"]\nrepetitions = 2\n'
    )
    store = run(Tiny(tmp_path))
    assert store.results()
    assert {one.status for one in store.results()} == {CellStatus.OK}
    assert {one.cell.build for one in store.results()} == {"-"}


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_disk_that_fills_up_ends_the_run_with_its_finished_cells(tiny: Tiny, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "none", disk], check=False).returncode != 0:
        pytest.skip("mounting is not permitted here")
    try:
        tiny.add(workload("flood", "flood"))
        tiny.edit('workloads = ["flood"]', 'workloads = ["work", "flood"]')
        with pytest.raises(StoreError, match=r"full|No space") as raised:
            collect(tiny.load(), "flood", project_file=tiny.file, store_root=disk)
        assert "--resume" in (raised.value.remedy or "")
        path = latest_run(disk)
        assert path is not None
        assert [one.cell.workload for one in open_run(path).results()] == ["work"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_an_interrupt_before_the_first_cell(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    (tiny.folder / "src" / "build.py").write_text("import os, signal\nos.kill(os.getppid(), signal.SIGTERM)\n")
    with pytest.raises(RunInterruptedError, match="before the first cell"):
        run(tiny, "plain")


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
