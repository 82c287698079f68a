"""Run directories: what is written is read again, half-written things are not, and faults say what to do."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from hakprof.errors import StoreError
from hakprof.model.run import Cell, CellResult, CellStatus, Collector, Host, Manifest
from hakprof.store import RunStore, create_run, latest_run, list_runs, open_run

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
PROJECT = """
[project]
name = "demo"
default_study = "bottleneck"
[workloads.small]
title = "small"
program = "demo"
[studies.bottleneck]
workloads = ["small"]
"""


def manifest(**changes: object) -> Manifest:
    values: dict[str, object] = {
        "hakprof_version": "0",
        "project": "demo",
        "subject": "demo",
        "study": "bottleneck",
        "created_utc": "2026-01-02T03:04:05.678Z",
        "commit": "0123456789abcdef",
        "dirty": False,
        "command_line": ("hakprof", "collect"),
        "quick": False,
        "host": HOST,
        "capabilities": (),
        "builds": (),
        "cells": tuple(cell(number) for number in range(3)),
        "project_file": PROJECT,
    }
    return Manifest.model_validate(values | changes)


def cell(repetition: int = 0) -> Cell:
    return Cell(workload="small", allocator="demo", collector=Collector.THROUGHPUT, repetition=repetition)


def result(of: Cell) -> CellResult:
    return CellResult(
        cell=of,
        status=CellStatus.OK,
        exit_code=0,
        command=("demo",),
        program=("demo",),
        started_utc="2026-01-02T03:04:06.000Z",
        wall_ns=5,
        files={"stdout": "stdout.txt"},
    )


def store_cell(run: RunStore, of: Cell) -> None:
    with run.begin(of) as folder:
        (folder / "stdout.txt").write_text("out")
        run.commit(result(of))


def test_a_run_is_named_for_its_time_commit_and_study(tmp_path: Path) -> None:
    assert create_run(tmp_path, manifest()).path.name == "20260102T030405Z-01234567-bottleneck"
    assert create_run(tmp_path, manifest(commit=None)).path.name == "20260102T030405Z-nogit-bottleneck"


def test_two_runs_of_one_second_do_not_share_a_folder(tmp_path: Path) -> None:
    first, second = create_run(tmp_path, manifest()), create_run(tmp_path, manifest())
    assert first.path != second.path
    assert list_runs(tmp_path) == (first.path, second.path)


def test_manifest_and_cells_are_read_as_they_were_written(tmp_path: Path) -> None:
    run = create_run(tmp_path, manifest())
    store_cell(run, cell(1))
    store_cell(run, cell(0))
    again = open_run(run.path)
    assert again.manifest == manifest()
    assert again.results() == (result(cell(0)), result(cell(1)))
    assert (again.cell_dir(cell(0).id) / "stdout.txt").read_text() == "out"
    assert again.has(cell(1))
    assert not again.has(cell(2))
    assert again.warnings == []


def test_a_cell_that_is_not_committed_leaves_nothing(tmp_path: Path) -> None:
    run = create_run(tmp_path, manifest())
    with run.begin(cell()) as folder:
        (folder / "stdout.txt").write_text("half")
    assert list(run.raw_dir.iterdir()) == []


def test_the_rest_of_a_killed_cell_is_no_result_and_goes_with_the_next_try(tmp_path: Path) -> None:
    run = create_run(tmp_path, manifest())
    half = run.raw_dir / f".tmp-{cell().id}"
    half.mkdir()
    (half / "cell.json").write_text(result(cell()).model_dump_json())
    assert run.results() == ()
    store_cell(run, cell())
    assert not half.exists()
    assert len(run.results()) == 1


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"cell": 3}', "\udcff", "[" * 100_000],
    ids=["empty", "cut", "list", "wrong", "bytes", "deep"],
)
def test_a_broken_cell_is_a_warning_and_is_run_again(tmp_path: Path, content: str) -> None:
    run = create_run(tmp_path, manifest())
    store_cell(run, cell(0))
    store_cell(run, cell(1))
    (run.cell_dir(cell(0).id) / "cell.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    again = open_run(run.path)
    assert [one.cell.repetition for one in again.results()] == [1]
    again.results()
    assert len(again.warnings) == 1
    assert cell(0).id in again.warnings[0]
    assert not again.has(cell(0))


@pytest.mark.parametrize("number", [-1, 1 << 63, 10**30])
@pytest.mark.parametrize("key", ["wall_ns", "exit_code", "vm_hwm_bytes", "role_wall_ns"])
def test_a_cell_with_a_number_that_no_table_holds_is_left_out(tmp_path: Path, key: str, number: int) -> None:
    run = create_run(tmp_path, manifest())
    store_cell(run, cell(0))
    file = run.cell_dir(cell(0).id) / "cell.json"
    value: object = {"strace_wall": number} if key == "role_wall_ns" else number
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    assert run.results() == ()
    assert key in run.warnings[0]


def test_a_cell_under_another_cells_name_is_left_out(tmp_path: Path) -> None:
    run = create_run(tmp_path, manifest())
    store_cell(run, cell(0))
    run.cell_dir(cell(0).id).rename(run.cell_dir(cell(2).id))
    assert run.results() == ()
    assert "describes cell" in run.warnings[0]


def test_latest_run_by_study_and_state(tmp_path: Path) -> None:
    old = create_run(tmp_path, manifest(finished_utc="2026-01-02T03:05:00.000Z"))
    other = create_run(
        tmp_path,
        manifest(
            created_utc="2026-01-03T00:00:00.000Z", study="other", project_file=PROJECT.replace("bottleneck", "other")
        ),
    )
    assert latest_run(tmp_path) == other.path
    assert latest_run(tmp_path, study="bottleneck") == old.path
    assert latest_run(tmp_path, finished=True) == old.path
    assert latest_run(tmp_path, finished=False) == other.path
    assert latest_run(tmp_path, study="none") is None
    assert latest_run(tmp_path / "nowhere") is None


def test_a_run_with_a_broken_manifest_does_not_hide_the_others(tmp_path: Path) -> None:
    good = create_run(tmp_path, manifest())
    bad = create_run(tmp_path, manifest(created_utc="2026-01-03T00:00:00.000Z"))
    (bad.path / "manifest.json").write_text("{")
    assert latest_run(tmp_path) == good.path
    with pytest.raises(StoreError, match="not a valid manifest") as raised:
        open_run(bad.path)
    assert raised.value.remedy


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"cells": ()}, "the run has no cells"),
        ({"cells": (cell().model_copy(update={"workload": "big"}),)}, r"cells\.0\.workload: 'big' is not in"),
        ({"cells": (cell().model_copy(update={"allocator": "else"}),)}, r"cells\.0\.allocator: 'else' is not in"),
        ({"cells": (cell(), cell(1).model_copy(update={"variant": "v"}))}, r"cells\.1\.variant: 'v' is not in"),
        ({"subject": "else"}, "has no subject 'else'"),
        ({"study": "gone"}, "has no study 'gone'"),
        ({"project_file": "[project"}, "project_file: not valid TOML"),
    ],
    ids=["no-cells", "workload", "allocator", "variant", "subject", "study", "project"],
)
def test_a_manifest_that_contradicts_itself_is_refused(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    run = create_run(tmp_path, manifest(**changes))
    with pytest.raises(StoreError, match=told) as raised:
        open_run(run.path)
    assert raised.value.remedy


def test_a_manifest_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    run = create_run(tmp_path, manifest())
    (run.path / "manifest.json").write_text('{"a":' * 100_000)
    with pytest.raises(StoreError, match="not a valid manifest"):
        open_run(run.path)


def test_a_folder_that_may_not_be_looked_into_hides_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = create_run(tmp_path, manifest()), create_run(tmp_path, manifest())
    is_file = Path.is_file

    def guarded(path: Path) -> bool:
        if path.parent == bad.path:
            raise PermissionError(13, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", guarded)
    assert list_runs(tmp_path) == (good.path, bad.path)


def test_folders_that_are_no_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such run") as raised:
        open_run(tmp_path / "my store" / "runs" / "gone")
    assert f"`hakprof runs --store '{tmp_path}/my store'`" in (raised.value.remedy or "")
    with pytest.raises(StoreError, match="no such run directory"):
        open_run(tmp_path / "nothing")
    with pytest.raises(StoreError, match="no run directory: it has no manifest"):
        open_run(tmp_path)


def test_a_newer_schema_is_named_with_the_remedy(tmp_path: Path) -> None:
    run = create_run(tmp_path, manifest())
    document = json.loads((run.path / "manifest.json").read_text()) | {"schema_version": 2, "news": 1}
    (run.path / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(StoreError, match="written by a newer hakprof") as raised:
        open_run(run.path)
    assert "upgrade" in (raised.value.remedy or "")


def test_objects_are_copied_once(tmp_path: Path) -> None:
    run = create_run(tmp_path, manifest())
    run.keep_object("abc", Path("/bin/true"))
    kept = run.object_dir / "abc" / "true"
    before = kept.stat().st_mtime_ns
    run.keep_object("abc", Path("/bin/true"))
    assert kept.stat().st_mtime_ns == before
    assert kept.read_bytes() == Path("/bin/true").read_bytes()


def test_a_file_in_the_way_of_the_store(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(StoreError, match="cannot be written") as raised:
        create_run(tmp_path / "store", manifest())
    assert "--store" in (raised.value.remedy or "")


def _mount(target: Path, *options: str) -> None:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small file system needs root")
    target.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", *options, "none", str(target)], check=False).returncode != 0:
        pytest.skip("mounting is not permitted here")


@pytest.fixture
def small_disk(tmp_path: Path):
    target = tmp_path / "disk"
    _mount(target, "-o", "size=256k")
    yield target
    subprocess.run(["umount", str(target)], check=True)


def test_a_full_disk_keeps_what_is_finished(small_disk: Path) -> None:
    run = create_run(small_disk, manifest())
    store_cell(run, cell(0))
    with pytest.raises(StoreError, match="No space left") as raised, run.begin(cell(1)) as folder:
        (folder / "stdout.txt").write_bytes(b"x" * (1 << 20))
    assert "--resume" in (raised.value.remedy or "")
    with pytest.raises(StoreError, match="No space left"):
        run.write_file("host/kallsyms.gz", b"x" * (1 << 20))
    with pytest.raises(StoreError, match="No space left"):
        run.write_manifest(manifest(project_file="x" * (1 << 20)))
    again = open_run(run.path)
    assert again.manifest == manifest()
    assert [one.cell for one in again.results()] == [cell(0)]
    assert sorted(path.name for path in run.raw_dir.iterdir()) == [cell(0).id]
    # And with space again, it goes on.
    store_cell(again, cell(1))
    assert len(again.results()) == 2


def test_a_full_disk_names_the_copy_and_not_what_was_to_be_copied(small_disk: Path, tmp_path: Path) -> None:
    source = tmp_path / "program"
    source.write_bytes(b"x" * (1 << 20))
    run = create_run(small_disk, manifest())
    with pytest.raises(StoreError, match="No space left") as raised:
        run.keep_object("abc", source)
    assert raised.value.message.startswith(str(run.object_dir / "abc" / "program"))
    assert list((run.object_dir / "abc").iterdir()) == []


def test_a_run_that_cannot_be_begun_leaves_no_folder(small_disk: Path) -> None:
    with pytest.raises(StoreError, match="No space left") as raised:
        create_run(small_disk, manifest(command_line=("x" * (1 << 20),)))
    assert "--resume" not in (raised.value.remedy or "")
    assert list((small_disk / "runs").iterdir()) == []


def test_a_read_only_store_is_read_and_not_written(small_disk: Path) -> None:
    run = create_run(small_disk, manifest())
    store_cell(run, cell(0))
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    again = open_run(run.path)
    assert len(again.results()) == 1
    with pytest.raises(StoreError, match="Read-only") as raised, again.begin(cell(1)):
        pass
    assert "--store" in (raised.value.remedy or "")
    with pytest.raises(StoreError, match="Read-only"):
        create_run(small_disk, manifest())
