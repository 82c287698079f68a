"""Instructions as aligned lines: share of the layer, address, instruction, and the code that it belongs to."""

from collections.abc import Sequence

from hakprof import units
from hakprof.analysis.annotation import InstructionRow

_WIDEST = 56  # columns for an instruction; a longer one pushes what follows
_NOTHING = ""


def assembly(rows: Sequence[InstructionRow]) -> str:
    """A block of text. The function and line of an instruction are told where they change."""
    width = min(max(len(row.text) for row in rows), _WIDEST)
    lines, last = [], _NOTHING
    for row in rows:
        share = units.share(row.of_layer) if row.samples else _NOTHING
        where = row.where if row.where != last else _NOTHING
        last = row.where
        lines.append(f"{share:>8}  {row.address:8x}  {row.text.ljust(width)}  {where}".rstrip())
    return "\n".join(lines)


def place(file: str) -> str:
    """A source file by its last two parts: what is above them is another machine's affair."""
    return "/".join(file.rsplit("/", 2)[-2:])
