"""Call stacks → a flame graph: one self-contained SVG that zooms and searches by a small script, from a file too.

Width is the number of samples, root at the bottom, siblings by name. A frame has the colour of a layer where that is
true of it: the layer that most of its own samples have; else the one layer of everything above it; else the layer
that the function has where it is at the top of other stacks. A frame that none of this holds for is grey, as most
of ``main`` is.
"""

import zlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from hakprof import units
from hakprof.layers.frames import INLINED_MARK
from hakprof.report.svg import CHAR_WIDTH, environment, fit, text_width

WIDTH = 1200.0
MARGIN = 10.0
ROW_HEIGHT = 17.0
FONT = 11.0
MIN_WIDTH = 0.1  # pixels; narrower frames are left out
MAX_DEPTH = 64  # a chain that ran away must not make the picture as tall as itself
UNATTRIBUTED = "unattributed"
INLINED_MARKS = (INLINED_MARK, "_[i]")
KERNEL_MARK = "_[k]"
NEUTRAL = "#dcdfe3"
_GREY = "#b4b9c0"
_HEADER = 46.0
_FOOTER = 24.0

# Light enough for black text, in light and dark surroundings alike; neighbours differ in hue.
# fmt: off
_PALETTE = (
    "#f2a65a", "#7fb7e8", "#8fd18b", "#e88fb0", "#c5a3e6", "#e6d36a", "#6fcfc3", "#f28b7d",
    "#a9b8f5", "#b9d95f", "#d9a878", "#7fd6f0", "#f0b8d8", "#9fd6b0", "#d6b1f0", "#f5c27a",
    "#8aa8e0", "#c8e08a", "#e59a9a", "#87c9b0", "#e0c1a0", "#b0a0e8", "#f0a0c8", "#a0d0e0",
)
# fmt: on


@dataclass(slots=True)
class _Node:
    """A frame in the tree: samples at or above it, by layer, and those that end in it."""

    name: str
    inlined: bool = False
    layers: Counter[str] = field(default_factory=Counter)
    own: Counter[str] = field(default_factory=Counter)
    children: dict[str, "_Node"] = field(default_factory=dict)
    total: int = 0


@dataclass(frozen=True, slots=True)
class _Box:
    """A drawn frame, in pixels."""

    x: float
    y: float
    width: float
    name: str
    label: str
    hover: str
    colour: str
    inlined: bool


@dataclass(frozen=True, slots=True)
class _Key:
    """One entry of the legend."""

    x: float
    y: float
    colour: str
    text: str


@dataclass(frozen=True, slots=True)
class _Omitted:
    """Frames that are not drawn, and the samples whose stacks end in them."""

    frames: int = 0
    samples: int = 0


def flame_graph(
    stacks: pl.DataFrame,
    *,
    event: str,
    title: str,
    subtitle: str = "",
) -> str:
    """The flame graph of one event.

    Args:
        stacks: columns ``event`` str, ``frames`` list[str] root → leaf, ``layer`` str (the leaf's), ``count`` int.
            A frame that ends in " (inlined)" or "_[i]" is drawn as inlined.
        event: the rows to take.
        title: the document's title.
        subtitle: one more line; the number of samples and the event are always told.
    """
    root = _tree(stacks.filter(pl.col("event") == event))
    colours = layer_colours(tuple(root.layers))
    boxes, omitted = _boxes(root, colours)
    depth = max((round(box.y) for box in boxes), default=0)
    keys = _legend(root, colours, any(box.inlined for box in boxes))
    top = _HEADER + (keys[-1].y + ROW_HEIGHT if keys else 0.0)
    bottom = top + (depth + 1) * ROW_HEIGHT
    return (
        environment()
        .get_template("flamegraph.svg.j2")
        .render(
            width=WIDTH,
            height=bottom + _FOOTER + 8,
            margin=MARGIN,
            row=ROW_HEIGHT,
            font=FONT,
            char=FONT * CHAR_WIDTH,
            title=fit(title, WIDTH - 2 * MARGIN - 260, 15.0),
            subtitle=_subtitle(subtitle, root.total, event),
            keys=keys,
            legend_y=_HEADER,
            boxes=boxes,
            bottom=bottom,
            total=root.total,
            note=_note(omitted, root.total),
        )
    )


def layer_colours(layers: Sequence[str]) -> dict[str, str]:
    """A colour for each layer, by its name, so that most keep theirs between graphs; up to 24 are all different."""
    colours: dict[str, str] = {}
    for layer in sorted(set(layers)):
        if layer == UNATTRIBUTED:
            colours[layer] = _GREY
            continue
        start = zlib.crc32(layer.encode("utf-8", "surrogatepass"))
        wanted = [_PALETTE[(start + step) % len(_PALETTE)] for step in range(len(_PALETTE))]
        colours[layer] = next((colour for colour in wanted if colour not in colours.values()), wanted[0])
    return colours


def _subtitle(subtitle: str, total: int, event: str) -> str:
    told = f"{_counted(total, 'sample')} of {event}" if total else f"no samples of {event}"
    text = f"{subtitle}; {told}" if subtitle else told
    return fit(text, WIDTH - 2 * MARGIN, 12.0)


def _counted(number: int, noun: str) -> str:
    return f"{units.count(number)} {noun}{'' if number == 1 else 's'}"


def _note(omitted: _Omitted, total: int) -> str:
    if not omitted.frames:
        return ""
    part = units.share(omitted.samples / total)
    what = f"{_counted(omitted.frames, 'frame')} narrower than {MIN_WIDTH} px or deeper than {MAX_DEPTH}"
    return f"left out: {what} ({part} of the samples)"


def _plain(frame: str) -> tuple[str, bool]:
    """A frame's name without its mark, and whether it was inlined."""
    for mark in INLINED_MARKS:
        if frame.endswith(mark):
            return frame.removesuffix(mark), True
    return frame.removesuffix(KERNEL_MARK), False


def _tree(stacks: pl.DataFrame) -> _Node:
    """Stacks merged by common callers. A row without frames or samples is no stack."""
    root = _Node("all")
    for frames, layer, count in stacks.select("frames", "layer", "count").iter_rows():
        if not count or count < 0:
            continue
        layer = layer or UNATTRIBUTED
        node = root
        node.total += count
        node.layers[layer] += count
        for frame in frames or ():
            child = node.children.get(frame)
            if child is None:
                child = node.children[frame] = _Node(*_plain(frame))
            node = child
            node.total += count
            node.layers[layer] += count
        node.own[layer] += count
    return root


def _largest(layers: Mapping[str, int]) -> str:
    return min(layers, key=lambda layer: (-layers[layer], layer))


def _boxes(root: _Node, colours: Mapping[str, str]) -> tuple[list[_Box], _Omitted]:
    """Drawn frames in order of depth and place; ``y`` counts from the root, 0."""
    if not root.total:
        return [], _Omitted()
    usual = _usual_layers(root)
    per_sample = (WIDTH - 2 * MARGIN) / root.total
    boxes: list[_Box] = []
    left_out = Counter[str]()
    level = [(MARGIN, root)]
    for depth in range(MAX_DEPTH):
        following: list[tuple[float, _Node]] = []
        for x, node in level:
            boxes.append(_box(node, x, depth, root, per_sample, _colour(node, usual, colours)))
            for child in sorted(node.children.values(), key=lambda child: (child.name, child.inlined)):
                if child.total * per_sample >= MIN_WIDTH and depth + 1 < MAX_DEPTH:
                    following.append((x, child))
                else:
                    left_out["frames"] += _size(child)
                    left_out["samples"] += child.total
                x += child.total * per_sample
        level = following
    return boxes, _Omitted(left_out["frames"], left_out["samples"])


def _size(node: _Node) -> int:
    """Frames in a subtree."""
    found, waiting = 0, [node]
    while waiting:
        found += 1
        waiting.extend(waiting.pop().children.values())
    return found


def _usual_layers(root: _Node) -> dict[str, str]:
    """The layer of each function that is at the top of some stack."""
    own: dict[str, Counter[str]] = defaultdict(Counter)
    waiting = [root]
    while waiting:
        node = waiting.pop()
        own[node.name].update(node.own)
        waiting.extend(node.children.values())
    return {name: _largest(layers) for name, layers in own.items() if layers}


def _colour(node: _Node, usual: Mapping[str, str], colours: Mapping[str, str]) -> str:
    if node.own:
        return colours[_largest(node.own)]
    if len(node.layers) == 1:
        return colours[next(iter(node.layers))]
    return colours[usual[node.name]] if node.name in usual else NEUTRAL


def _box(node: _Node, x: float, depth: int, root: _Node, per_sample: float, colour: str) -> _Box:
    width = node.total * per_sample
    mark = INLINED_MARK if node.inlined else ""
    own = node.own.total()
    parts = [f"{_counted(node.total, 'sample')}, {units.share(node.total / root.total, digits=2)}"]
    if own and own != node.total:
        parts.append(f"{units.count(own)} in itself, {units.share(own / root.total, digits=2)}")
    if own:
        parts.append(_largest(node.own))
    return _Box(
        x=x,
        y=float(depth),
        width=width,
        name=node.name,
        label=fit(node.name, width - 5, FONT),
        hover=f"{node.name}{mark}: {'; '.join(parts)}",
        colour=colour,
        inlined=node.inlined,
    )


def _legend(root: _Node, colours: Mapping[str, str], inlined: bool) -> list[_Key]:
    """Layers by share, in lines as wide as the graph; then what grey and italics mean."""
    ordered = sorted(root.layers.items(), key=lambda item: (-item[1], item[0]))
    entries = [
        (colours[layer], f"{fit(layer, 260, FONT)} {units.share(count / root.total)}") for layer, count in ordered
    ]
    if entries:
        entries.append((NEUTRAL, "callers of several layers"))
    if inlined:
        entries.append(("none", "dotted, italic: inlined"))
    keys: list[_Key] = []
    x, y = MARGIN, 0.0
    for colour, text in entries:
        needed = text_width(text, FONT) + 32
        if x > MARGIN and x + needed > WIDTH - MARGIN:
            x, y = MARGIN, y + ROW_HEIGHT
        keys.append(_Key(x, y, colour, text))
        x += needed
    return keys
