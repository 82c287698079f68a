"""Runs that are cut short: what survives, what is said, and how they go on."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from collect_runs import Log, run, start_hakprof, wait_for_cells
from tiny_project import Tiny, fake_tool, make_tiny, workload

from hakprof.collect.run import collect
from hakprof.errors import RunInterruptedError, StoreError
from hakprof.model.run import CellStatus, Collector
from hakprof.store import latest_run, open_run

pytestmark = pytest.mark.live


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return make_tiny(tmp_path / "tiny")


@pytest.fixture
def slow(tiny: Tiny) -> Tiny:
    """A study of eight cells, the last of which wait until its gate is opened."""
    text = workload("slow", "gate", "20", str(tiny.folder / "gate"), "5", extra="timeout_seconds = 300")
    tiny.add(text.replace("repetitions = 3", "repetitions = 8"))
    return tiny


def open_gate(tiny: Tiny) -> None:
    (tiny.folder / "gate.open").touch()


def test_kill_9_loses_no_finished_cell_and_resume_repeats_none(slow: Tiny) -> None:
    child = start_hakprof(slow, "slow")
    store = wait_for_cells(slow, 3)
    child.kill()
    child.communicate(timeout=60)
    open_gate(slow)
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
    _, told = child.communicate(timeout=60)
    assert child.returncode == 130
    assert f"`hakprof collect --resume {store.path.name} --project {slow.file}`" in told
    assert "Traceback" not in told
    assert 2 <= len(store.results()) < 8
    assert not list(store.raw_dir.glob(".tmp-*"))


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="valgrind is missing here")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_programs_that_run_at_once_end_together_and_go_on_later(tiny: Tiny, number: signal.Signals) -> None:
    """GIVEN two cells of callgrind at once WHEN hakprof is stopped THEN neither program nor cell is left."""
    gate = tiny.folder / "gate"
    text = workload("counted", "gate", "1", str(gate), "0", extra="timeout_seconds = 300")
    tiny.add(text.replace('["throughput"]', '["callgrind"]') + 'peers = ["system"]\n')
    child = start_hakprof(tiny, "counted")
    at_once = min(2, len(os.sched_getaffinity(0)))
    wait_until(lambda: gate.exists() and gate.stat().st_size == at_once)
    child.send_signal(number)
    _, told = child.communicate(timeout=60)
    assert child.returncode == (130 if number is signal.SIGINT else -number)
    assert "Traceback" not in told
    wait_until(lambda: not running(str(gate)))
    path = latest_run(tiny.store)
    assert path is not None
    assert open_run(path).results() == ()
    open_gate(tiny)
    results = run(tiny, resume=path).results()
    assert [(one.cell.allocator, one.status) for one in results] == [
        ("system", CellStatus.OK),
        ("tiny", CellStatus.OK),
    ]
    assert not list((path / "raw").glob(".tmp-*"))


def wait_until(happens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def running(word: str) -> bool:
    """Whether a process has such an argument."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if word.encode() in path.read_bytes().split(b"\0"):
                return True
    return False


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
