"""Markdown by jinja2: filters and environment. Templates lay out; numbers and sentences come from the model."""

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hakprof import units
from hakprof.analysis import wording
from hakprof.names import folded
from hakprof.report import markdown
from hakprof.report.assembly import assembly, place
from hakprof.resources import templates_dir

if TYPE_CHECKING:  # each command renders one of them, and needs no other
    from hakprof.analysis.annotation import Annotation
    from hakprof.analysis.statistics import Estimate, Share
    from hakprof.report.doctor import DoctorReport
    from hakprof.report.files import FileReport
    from hakprof.report.layer_report import LayerReport
    from hakprof.report.model import DiffReport, Report

# Few marks, and each with a word beside it.
_MARKS = {
    "pass": "✅ pass",
    "warn": "⚠️ warn",
    "fail": "🔥 fail",
    "unknown": "unknown",
    "yes": "✅ yes",
    "missing": "⚠️ missing",
    "critical": "🔥 critical",
    "better": "✅ better",
    "worse": "⚠️ worse",
}


def render_markdown(report: "Report") -> str:
    """The report as one Markdown document."""
    return _tidy(_environment().get_template("report.md.j2").render(report=report))


def render_diff_markdown(report: "DiffReport") -> str:
    """The comparison as one Markdown document."""
    return _tidy(_environment().get_template("diff.md.j2").render(diff=report, comparison=report.comparison))


def render_doctor_markdown(report: "DoctorReport") -> str:
    """What the machine can measure as one Markdown document."""
    return _tidy(_environment().get_template("doctor.md.j2").render(doctor=report))


def render_layers_markdown(report: "LayerReport") -> str:
    """The layers of recordings as one Markdown document."""
    return _tidy(_environment().get_template("layer_report.md.j2").render(report=report))


def render_files_markdown(report: "FileReport") -> str:
    """The report of files without a run as one Markdown document."""
    return _tidy(_environment().get_template("file_report.md.j2").render(report=report))


def render_annotation_markdown(annotation: "Annotation") -> str:
    """A layer's hottest lines and instructions as one Markdown document."""
    return _tidy(_environment().get_template("annotation.md.j2").render(note=annotation))


@cache
def _environment() -> Environment:
    # Markdown has its own escaping (filters md and code); HTML's would corrupt it.
    environment = Environment(
        loader=FileSystemLoader(templates_dir()),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701
    )
    environment.filters |= {
        "md": markdown.escape,
        "prose": markdown.prose,
        "moment": moment,
        "code": markdown.code,
        "folded": folded,
        "block": markdown.block,
        "assembly": assembly,
        "place": place,
        "mark": lambda word: _MARKS.get(str(word), str(word)),
        "count": units.count,
        "si": units.si,
        "rate": units.rate,
        "thousandfold": lambda value: wording.per_1000(value * 1000),
        "per_1000": _or_dash(wording.per_1000),
        "millions": lambda value: units.significant(value / 1e6, digits=4),
        "size": units.byte_size,
        "ns": _or_dash(units.nanoseconds),
        "pct": _or_dash(units.share),
        "share": share,
        "points": points,
        "ratio": ratio,
        "times": _or_dash(units.ratio),
        "change": units.signed_percent,
        "figure": _or_dash(units.significant),
        "p_value": p_value,
    }
    return environment


def _tidy(text: str) -> str:
    """No blank line twice, none at the end, no trailing blanks: what conditional blocks leave behind."""
    lines: list[str] = []
    fenced = False
    for line in (raw.rstrip() for raw in text.splitlines()):
        fenced ^= line.startswith("```")
        if line or fenced or (lines and lines[-1]):
            lines.append(line)
    return "\n".join(lines).strip("\n") + "\n"


def _or_dash(formatter: Callable[[float], str]) -> Callable[[float | None], str]:
    """The formatter, with a dash for what is not known."""
    return lambda value: "—" if value is None else formatter(value)


def share(value: "Share") -> str:
    """``12.3 % ±0.4``; ``1.5 % (0.4–5.4)`` where the interval is too lopsided for one number (next to 0 and 100 %)."""
    half = max(value.value - value.low, value.high - value.value)
    if value.value - half >= 0 and value.value + half <= 1:
        return units.share_interval(value.value, value.low, value.high)
    low, high = (units.share(bound).removesuffix(" %") for bound in (value.low, value.high))
    return f"{units.share(value.value)} ({low}–{high})"


def ratio(value: "Estimate | None") -> str:
    """``1.23× (1.20–1.26)``; a dash where there is nothing to compare with."""
    if value is None:
        return "—"
    if value.low == value.high:
        return units.ratio(value.value)
    low, high = (units.ratio(bound).removesuffix("×") for bound in (value.low, value.high))
    return f"{units.ratio(value.value)} ({low}–{high})"


def moment(utc: str) -> str:
    """``2025-11-14T09:30:00.123Z`` → ``2025-11-14 09:30:00 UTC``."""
    return f"{utc[:10]} {utc[11:19]} UTC"


def points(delta: float) -> str:
    """A difference of shares in percentage points: ``+1.2``."""
    return units.signed_percent(delta).removesuffix(" %")


def p_value(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"
