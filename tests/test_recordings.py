"""Recordings of a run: what cannot be read is a warning with its remedy, and the cache knows what it was made of."""

import os
from pathlib import Path

import pytest

from hakprof.model.run import Cell, CellResult, CellStatus, Collector
from hakprof.project.load import parse_project
from hakprof.recordings import Recordings, _fingerprint, read_recordings

PROJECT = """
[project]
name = "demo"

[workloads.w]
title = "w"
program = "/bin/true"

[studies.bottleneck]
workloads = ["w"]
"""


def read(folder: Path, *, name: str = "perf.data") -> Recordings:
    result = CellResult(
        cell=Cell(workload="w", allocator="demo", collector=Collector.PERF_RECORD),
        status=CellStatus.OK,
        command=("w",),
        program=("w",),
        started_utc="2025-01-01T00:00:00Z",
        wall_ns=1,
        files={"perf_data": name},
    )
    project = parse_project(PROJECT, source="test")
    return read_recordings(
        [(result, folder)], project=project, objects=folder / "objects", kallsyms=None, cache=folder / "tables"
    )


def test_a_recording_that_is_a_fifo_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "perf.data")
    (warning,) = read(tmp_path).warnings
    assert "cannot read perf.data: not a regular file; left out — remedy: " in warning


@pytest.mark.parametrize("name", ["perf\0.data", "nowhere"])
def test_a_name_without_a_file_is_a_warning(tmp_path: Path, name: str) -> None:
    (warning,) = read(tmp_path, name=name).warnings
    assert "left out — remedy: collect the cell again" in warning


def test_an_exchanged_object_makes_another_cache_key(tmp_path: Path) -> None:
    """The same size and the same time stamp: only the content tells."""
    elf = tmp_path / "objects" / "aa" / "lib.so"
    elf.parent.mkdir(parents=True)
    project = parse_project(PROJECT, source="test")
    keys = set()
    for content in (b"one", b"two"):
        elf.write_bytes(content)
        os.utime(elf, (0, 0))
        keys.add(_fingerprint(project, tmp_path / "objects", None))
    assert len(keys) == 2


def test_kernel_symbols_that_cannot_be_read_are_no_traceback(tmp_path: Path) -> None:
    project = parse_project(PROJECT, source="test")
    assert b"unreadable: Is a directory" in _fingerprint(project, tmp_path / "objects", tmp_path)
