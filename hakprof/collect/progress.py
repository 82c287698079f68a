"""What collect tells of its progress. The command line shows it; tests and programs may ignore it."""

from typing import Protocol

from hakprof.model.run import Cell, CellResult


class Progress(Protocol):
    """Called in this order: messages at any time, start once, then started and done for each cell."""

    def message(self, text: str) -> None:
        """One line that a person should read."""

    def start(self, total: int) -> None:
        """The number of cells that are left to run."""

    def cell_started(self, cell: Cell) -> None:
        """A cell begins."""

    def cell_done(self, result: CellResult) -> None:
        """A cell is stored, however it ended."""


class SilentProgress:
    """Tells nobody."""

    def message(self, text: str) -> None:
        """Does nothing."""

    def start(self, total: int) -> None:
        """Does nothing."""

    def cell_started(self, cell: Cell) -> None:
        """Does nothing."""

    def cell_done(self, result: CellResult) -> None:
        """Does nothing."""
