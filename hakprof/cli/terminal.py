"""A Markdown document laid out for the terminal."""

from typing import ClassVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown, MarkdownElement, TableElement
from rich.table import Table

_ROOM_FOR_INTERVALS = 110  # columns of a terminal; in a narrower one they take the room of the names


class _WholeNames(TableElement):
    """A table that wraps its sentences, not its names (first column) and numbers (right-aligned ones).

    What does not fit goes on in the next line and is not cut: functions are known by the ends of their names. An
    interval may stand below its number, where there is little room.
    """

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for table in super().__rich_console__(console, options):
            if isinstance(table, Table):
                for number, column in enumerate(table.columns):
                    is_number = getattr(column.header, "justify", None) == "right"
                    is_interval = is_number and any(" " in str(cell) for cell in column.cells)
                    column.no_wrap = number == 0 or (
                        is_number and not (is_interval and options.max_width < _ROOM_FOR_INTERVALS)
                    )
                    column.overflow = "fold"
            yield table


class _Document(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = Markdown.elements | {"table_open": _WholeNames}


def show(markdown: str) -> None:
    """Prints the document as wide as the terminal is."""
    Console().print(_Document(markdown))
