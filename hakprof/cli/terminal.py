"""A Markdown document laid out for the terminal."""

from typing import ClassVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown, MarkdownElement, TableElement
from rich.table import Table


class _WholeNames(TableElement):
    """A table that wraps its sentences, not its names (first column) and numbers (right-aligned ones)."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for table in super().__rich_console__(console, options):
            if isinstance(table, Table):
                for number, column in enumerate(table.columns):
                    heading = getattr(column.header, "justify", None)
                    column.no_wrap = number == 0 or heading == "right"
            yield table


class _Document(Markdown):
    elements: ClassVar[dict[str, type[MarkdownElement]]] = Markdown.elements | {"table_open": _WholeNames}


def show(markdown: str) -> None:
    """Prints the document as wide as the terminal is."""
    Console().print(_Document(markdown))
