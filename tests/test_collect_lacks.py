"""Runs on machines and of projects that lack something: each lack is said once, before anything is spent on it."""

import os
import subprocess
from pathlib import Path

import pytest
from collect_runs import Log, run
from tiny_project import MINIMAL_TOOLS, Tiny, fake_tool, make_tiny, path_with, workload

from hakprof.cli.main import main
from hakprof.errors import HakprofError, NotMeasuredError, ProjectError
from hakprof.model.run import CellStatus, Collector
from hakprof.store import latest_run

pytestmark = pytest.mark.live


@pytest.fixture
def tiny(tmp_path: Path) -> Tiny:
    return make_tiny(tmp_path / "tiny")


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


def test_runs_lists_the_unreadable_and_goes_on(tiny: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    good = run(tiny, "plain", quick=True).path
    bad = tiny.store / "runs" / "00000000T000000Z-nogit-plain"
    bad.mkdir()
    (bad / "manifest.json").write_text("{")
    assert main(["runs", "--project", str(tiny.file)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{bad.name}  unreadable: ")
    assert second.startswith(f"{good.name}  finished")
