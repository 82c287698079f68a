"""Runs of a small project for the tests of collect: a progress that remembers, a run, what a cell wrote."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tiny_project import Tiny

from hakprof.collect.run import collect
from hakprof.model.run import CellResult, Collector
from hakprof.store import RunStore, latest_run, open_run

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
