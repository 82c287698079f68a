"""Instructions as aligned lines: share of the layer, address, instruction, and the code that it belongs to."""

from collections.abc import Sequence

from hakprof import units
from hakprof.analysis.annotation import InstructionRow
from hakprof.names import folded

_WIDEST = 56  # columns for an instruction; a longer one pushes what follows
_NOTHING = ""


def assembly(rows: Sequence[InstructionRow]) -> str:
    """A block of text. The function and line of an instruction are told where they change."""
    texts = [folded(row.text) for row in rows]
    width = min(max(map(len, texts)), _WIDEST)
    lines, last = [], _NOTHING
    for row, text in zip(rows, texts, strict=True):
        share = units.share(row.of_layer) if row.samples else _NOTHING
        where = folded(row.where) if row.where != last else _NOTHING
        last = row.where
        lines.append(f"{share:>8}  {row.address:8x}  {text.ljust(width)}  {where}".rstrip())
    return "\n".join(lines)


def place(file: str) -> str:
    """A source file by its last two parts: what is above them is another machine's affair."""
    return "/".join(file.rsplit("/", 2)[-2:])
