"""Layer bars and throughput bars as SVG text: pure functions of finished numbers.

Both are readable in light and dark surroundings, tell what they show by shape and text beside colour, and leave room
for every label, whose width is known because the font is monospaced.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from hakprof import units
from hakprof.report.svg import CHAR_WIDTH, environment, fit, text_width

FONT = 12.0
MARGIN = 16.0
MAX_LABEL_COLUMNS = 60
PLOT_WIDTH = 420.0
ROW_HEIGHT = 22.0
_GAP = 10.0
_HEADER = 72.0  # title, subtitle, legend
_TICKS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class LayerBar:
    """One layer's share of the samples (0–1), kernel and user part, and the 95 % interval of their sum."""

    title: str
    user_share: float
    kernel_share: float
    low: float
    high: float

    @property
    def share(self) -> float:
        return self.user_share + self.kernel_share


@dataclass(frozen=True, slots=True)
class ThroughputBar:
    """One allocator's median and its interval, in operations per second."""

    title: str
    median: float
    low: float
    high: float
    subject: bool = False  # the allocator that the report is about


@dataclass(frozen=True, slots=True)
class ThroughputGroup:
    """The bars of one workload; ``ceiling`` is what the benchmark reaches without any allocator work."""

    title: str
    bars: tuple[ThroughputBar, ...]
    ceiling: float | None = None


@dataclass(frozen=True, slots=True)
class _Tick:
    x: float
    text: str


@dataclass(frozen=True, slots=True)
class _Row:
    """One bar with its texts, in pixels. ``parts`` are (x, width, class)."""

    y: float
    label: str
    hover: str
    value: str
    parts: tuple[tuple[float, float, str], ...]
    low: float
    high: float
    strong: bool = False


@dataclass(frozen=True, slots=True)
class _Panel:
    """A heading with its rows; ``ceiling`` is an x, ``ceiling_text`` what stands beside the heading."""

    y: float
    bottom: float
    title: str
    rows: tuple[_Row, ...]
    ceiling: float | None = None
    ceiling_text: str = ""


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where things are: labels end at ``x0``, bars lie between ``x0`` and ``x1``, values start at ``value_x``."""

    x0: float
    x1: float
    value_x: float
    width: float
    fonts: dict[str, float] = field(default_factory=lambda: {"text": FONT, "title": 15.0})


def _frame(labels: Sequence[str], values: Sequence[str], head: Sequence[str]) -> _Frame:
    """Room for the longest label and value; wider where a heading needs it."""
    widest = max((text_width(label, FONT) for label in labels), default=0.0)
    x0 = MARGIN + max(widest, 60.0) + _GAP
    value_x = x0 + PLOT_WIDTH + _GAP
    width = value_x + max((text_width(value, FONT) for value in values), default=0.0) + MARGIN
    for text, size in zip(head, (15.0, FONT), strict=True):
        width = max(width, text_width(text, size) + 2 * MARGIN)
    return _Frame(x0, x0 + PLOT_WIDTH, value_x, math.ceil(width))


def _label(text: str) -> str:
    return fit(text, (MAX_LABEL_COLUMNS + 0.5) * FONT * CHAR_WIDTH, FONT)


_LEAST_SHOWN = 1e-9  # below it an axis would have to be magnified beyond what a float holds


def _scale(largest: float) -> tuple[float, float]:
    """A round step and the end of an axis that holds ``largest`` in four to eight steps."""
    if not largest > _LEAST_SHOWN:
        return 0.25, 1.0
    raw = largest / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(mark * power for mark in _TICKS if mark * power >= raw * 0.999999)
    return step, step * math.ceil(largest / step - 1e-9)


def layer_chart(bars: Sequence[LayerBar], *, title: str, subtitle: str = "") -> str:
    """Horizontal bars, one per layer in the given order: user and kernel stacked, whiskers for the interval."""
    labels = [_label(bar.title) for bar in bars]
    texts = [units.share_interval(bar.share, bar.low, bar.high) for bar in bars]
    values = [text.rjust(max(map(len, texts))) for text in texts]
    frame = _frame(labels, values, (title, subtitle))
    step, end = _scale(max((max(bar.high, bar.share) for bar in bars), default=0.0))
    end = min(end, 1.0)
    per_share = (frame.x1 - frame.x0) / end
    rows = [
        _layer_row(bar, label, value, _HEADER + index * ROW_HEIGHT, frame, per_share)
        for index, (bar, label, value) in enumerate(zip(bars, labels, values, strict=True))
    ]
    ticks = [
        _Tick(frame.x0 + index * step * per_share, _percent_tick(index * step, step))
        for index in range(round(end / step) + 1)
        if index * step <= end + 1e-9
    ]
    bottom = _HEADER + max(len(rows), 1) * ROW_HEIGHT
    template = environment().get_template("layers.svg.j2")
    return template.render(
        frame=frame, title=title, subtitle=subtitle, rows=rows, ticks=ticks, top=_HEADER, bottom=bottom, margin=MARGIN
    )


def _percent_tick(share: float, step: float) -> str:
    digits = 0 if step >= 0.01 and round(step * 100, 9).is_integer() else max(0, 1 - math.floor(math.log10(step * 100)))
    return f"{share * 100:.{digits}f} %"


def _layer_row(bar: LayerBar, label: str, value: str, y: float, frame: _Frame, per_share: float) -> _Row:
    user, kernel = bar.user_share * per_share, bar.kernel_share * per_share
    split = f"user {units.share(bar.user_share)}, kernel {units.share(bar.kernel_share)}"
    return _Row(
        y=y,
        label=label,
        hover=f"{bar.title}: {value.strip()} ({split})",
        value=value,
        parts=((frame.x0, user, "user"), (frame.x0 + user, kernel, "kernel")),
        low=frame.x0 + bar.low * per_share,
        high=frame.x0 + bar.high * per_share,
    )


def throughput_chart(groups: Sequence[ThroughputGroup], *, title: str, subtitle: str = "") -> str:
    """Horizontal bars of medians with whiskers, one panel per workload, each with its own scale from zero."""
    bars = [bar for group in groups for bar in group.bars]
    values = [_rate_text(bar) for bar in bars]
    frame = _frame([_label(bar.title) for bar in bars], values, (title, subtitle))
    panels: list[_Panel] = []
    y = _HEADER
    for group in groups:
        panel = _panel(group, y, frame)
        panels.append(panel)
        y = panel.bottom + 14.0
    template = environment().get_template("throughput.svg.j2")
    return template.render(
        frame=frame, title=title, subtitle=subtitle, panels=panels, bottom=max(y, _HEADER + 30.0), margin=MARGIN
    )


def _rate_text(bar: ThroughputBar) -> str:
    return f"{units.si(bar.median):>6} ({units.si(bar.low)} – {units.si(bar.high)})"


def _panel(group: ThroughputGroup, y: float, frame: _Frame) -> _Panel:
    largest = max((max(bar.high, bar.median) for bar in group.bars), default=0.0)
    shown = group.ceiling if group.ceiling is not None and group.ceiling <= 2 * largest else None
    span = max(largest, shown or 0.0)
    per_op = (frame.x1 - frame.x0) / span if span > 0 else 0.0
    top = y + 24.0
    rows = tuple(_rate_row(bar, top + index * ROW_HEIGHT, frame, per_op) for index, bar in enumerate(group.bars))
    text = "" if group.ceiling is None else f"ceiling {units.rate(group.ceiling)}"
    if group.ceiling is not None and shown is None:
        text += " (beyond the scale)"
    return _Panel(
        y=y,
        bottom=top + len(rows) * ROW_HEIGHT,
        title=fit(group.title, frame.width - 2 * MARGIN - text_width(text, FONT) - 2 * _GAP, FONT),
        rows=rows,
        ceiling=None if shown is None else frame.x0 + shown * per_op,
        ceiling_text=text,
    )


def _rate_row(bar: ThroughputBar, y: float, frame: _Frame, per_op: float) -> _Row:
    return _Row(
        y=y,
        label=_label(bar.title),
        hover=f"{bar.title}: {units.rate(bar.median)} ({units.rate(bar.low)} to {units.rate(bar.high)})",
        value=_rate_text(bar),
        parts=((frame.x0, bar.median * per_op, "subject" if bar.subject else "peer"),),
        low=frame.x0 + bar.low * per_op,
        high=frame.x0 + bar.high * per_op,
        strong=bar.subject,
    )
