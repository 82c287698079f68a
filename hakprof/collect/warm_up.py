"""Runs before the first measurement whose results nobody sees."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

from hakprof.collect.execute import OUTPUT_LIMIT_BYTES, clean_environment, execute
from hakprof.collect.target import Setting, Target, resolve
from hakprof.model.run import Cell, Collector


def warm_up(setting: Setting, cells: Iterable[Cell]) -> None:
    """Run each program once under each allocator, with its short arguments.

    It brings binaries into the page cache and guest memory into the virtual machine: the first process after a pause
    can be 20 times slower there. How it ends does not matter here; a crash will show again when it is measured.
    """
    targets: dict[tuple[str, str], Target] = {}
    for cell in cells:
        if cell.collector is Collector.THROUGHPUT:
            target = resolve(setting, cell, short=True)
            preload = target.preload.path if target.preload is not None else ""
            targets.setdefault((target.binary.path, preload), target)
    with tempfile.TemporaryDirectory(prefix="hakprof-") as name:
        folder = Path(name)
        for target in targets.values():
            execute(
                target.pinned,
                environment=clean_environment() | target.environment,
                cwd=target.cwd,
                stdout=folder / "stdout.txt",
                stderr=folder / "stderr.txt",
                timeout_seconds=target.timeout_seconds,
                watched=folder,
                output_limit_bytes=OUTPUT_LIMIT_BYTES,
            )
