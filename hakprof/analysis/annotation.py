"""The hottest source lines and instructions of a layer: which they are, and what share of it each holds.

A sample belongs to the line of its innermost inlined function, so that the lines of a layer are lines of that layer's
own functions and not of the symbol that they were inlined into. Shares are counted as in
:mod:`hakprof.analysis.listing`.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hakprof.analysis.statistics import Share, wilson
from hakprof.symbols import Frame
from hakprof.symbols.disassembly import Instruction

_SKID = {
    "cpu-clock": "a timer interrupt is taken after the instruction that cost the time (skid)",
    "task-clock": "a timer interrupt is taken after the instruction that cost the time (skid)",
    "page-faults": None,
}
_SKID_OF_COUNTERS = "a counter's interrupt comes some instructions late unless sampled precisely (perf record -e …:pp)"


@dataclass(frozen=True, slots=True)
class HotPlace:
    """A sampled address: offset in its file (or kernel address), samples, and its frames, innermost first."""

    place: int
    samples: int
    frames: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class SourceLine:
    """``file`` and ``line`` are None where the object has no line table; ``text`` where the file was not found."""

    file: str | None
    line: int | None
    text: str | None
    of_layer: Share
    of_all: Share


@dataclass(frozen=True, slots=True)
class InstructionRow:
    """An instruction; ``samples`` of the layer, ``of_layer`` a fraction. ``where``: function and line of its code."""

    address: int
    text: str
    samples: int
    of_layer: float
    where: str


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """Consecutive instructions around hot ones; ``chain`` leads to the hottest, outermost function first."""

    chain: tuple[str, ...]
    samples: int
    rows: tuple[InstructionRow, ...]


@dataclass(frozen=True, slots=True)
class AnnotatedFunction:
    """A function of the layer in one object. ``no_code`` says why there are no instructions, where there are none."""

    function: str
    object: str
    build_id: str | None
    symbols: tuple[str, ...]  # that its code is part of
    of_layer: Share
    of_all: Share
    lines: tuple[SourceLine, ...]  # none where no line of it is known
    other_lines: int
    blocks: tuple[CodeBlock, ...]
    no_code: str | None


@dataclass(frozen=True, slots=True)
class Annotation:
    """A layer's hottest code. ``samples`` are the layer's, ``share`` that of all samples of the event."""

    name: str
    title: str
    layer: str
    meaning: str
    event: str
    share: Share
    functions: tuple[AnnotatedFunction, ...]
    other_functions: int
    skid: str | None
    notes: tuple[str, ...]
    schema_version: int = 1


def skid_of(event: str, *, is_time: bool) -> str | None:
    """Why a sample may stand behind the instruction it is about; None where it is exact."""
    plain = event.partition(":")[0]
    return _SKID.get(plain, _SKID_OF_COUNTERS if is_time else None)


def hottest_lines(
    places: Iterable[HotPlace], *, layer_samples: int, all_samples: int, most: int
) -> tuple[tuple[SourceLine, ...], int]:
    """The lines that hold most of the samples, largest first, without text; and how many more there are."""
    counts: Counter[tuple[str | None, int | None]] = Counter()
    for one in places:
        inner = one.frames[0] if one.frames else None
        counts[inner.file if inner else None, inner.line if inner else None] += one.samples
    if set(counts) == {(None, None)}:
        return (), 0
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0][0] or "", item[0][1] or 0))
    lines = tuple(
        SourceLine(file, line, None, wilson(count, layer_samples), wilson(count, all_samples))
        for (file, line), count in ranked[:most]
    )
    return lines, max(len(ranked) - most, 0)


def around(hot: Collection[int], code: Sequence[Instruction], *, context: int) -> list[list[Instruction]]:
    """The instructions at ``hot`` addresses with ``context`` ones on either side, in runs that do not touch.

    An address inside of an instruction (a damaged recording) is passed over.
    """
    index = {one.address: at for at, one in enumerate(code)}
    wanted: set[int] = set()
    for address in hot:
        at = index.get(address)
        if at is not None:
            wanted.update(range(max(at - context, 0), min(at + context + 1, len(code))))
    runs: list[list[Instruction]] = []
    previous = None
    for at in sorted(wanted):
        if previous is None or at != previous + 1:
            runs.append([])
        runs[-1].append(code[at])
        previous = at
    return runs


def code_block(
    run: Sequence[Instruction],
    *,
    hot: Mapping[int, int],
    frames: Mapping[int, tuple[Frame, ...]],
    layer_samples: int,
) -> CodeBlock:
    """A run of instructions with the shares of each; ``frames`` are those of every address in it."""
    rows = tuple(
        InstructionRow(
            one.address,
            one.text,
            hot.get(one.address, 0),
            hot.get(one.address, 0) / layer_samples,
            _where(frames.get(one.address, ())),
        )
        for one in run
    )
    hottest = max(rows, key=lambda row: (row.samples, -row.address))
    chain = tuple(frame.function or "[unknown]" for frame in reversed(frames.get(hottest.address, ())))
    return CodeBlock(chain, sum(row.samples for row in rows), rows)


def _where(frames: tuple[Frame, ...]) -> str:
    if not frames:
        return ""
    inner = frames[0]
    place = f"{inner.file.rpartition('/')[2]}:{inner.line}" if inner.file and inner.line else ""
    return f"{inner.function or '[unknown]'} {place}".rstrip()
