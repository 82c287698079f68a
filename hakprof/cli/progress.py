"""The progress of `hakprof collect` on stderr: a bar in a terminal, a line now and then in a log."""

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from hakprof.model.run import Cell, CellResult, CellStatus

_LOG_SECONDS = 15.0


class RichProgress:
    """A context manager; outside of it the terminal is as it was."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not sys.stderr.isatty(),
            # A bar that is drawn all the time would run on the CPUs that are being measured.
            refresh_per_second=1,
        )
        self._task = self._bar.add_task("preparing", total=None)
        self._done = 0
        self._total = 0
        self._last_line = 0.0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def message(self, text: str) -> None:
        """One line above the bar."""
        self._console.print(escape(text), soft_wrap=True)

    def start(self, total: int) -> None:
        """Begin to count."""
        self._total = total
        self._bar.update(self._task, total=total)

    def cell_started(self, cell: Cell) -> None:
        """Name the cell that runs."""
        self._bar.update(self._task, description=escape(f"{cell.collector.value} {cell.workload} · {cell.allocator}"))

    def cell_done(self, result: CellResult) -> None:
        """Move the bar; a cell that went wrong gets a line."""
        self._done += 1
        self._bar.advance(self._task)
        if result.status is not CellStatus.OK:
            how = result.signal or (f"status {result.exit_code}" if result.exit_code else "")
            self.message(f"{result.cell.id}: {result.status.value} {how}".rstrip())
        now = time.monotonic()
        if self._bar.disable and (now - self._last_line >= _LOG_SECONDS or self._done == self._total):
            self._last_line = now
            self.message(f"{self._done} of {self._total} cells")
