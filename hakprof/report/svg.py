"""What the SVG templates share: their environment, the width of text, and names made harmless.

Names from binaries are data. The environment escapes every value, and before that takes out what XML cannot hold
(control characters) and what would reorder the text around it (bidirectional controls).
"""

import re
import unicodedata
from functools import cache

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from hakprof.resources import templates_dir

CHAR_WIDTH = 0.602  # em of one column in the common monospaced fonts (DejaVu Sans Mono, Menlo, Consolas are narrower)

# XML 1.0 §2.2 allows TAB, LF, CR and everything from U+0020 on but surrogates, U+FFFE and U+FFFF.
_FORBIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]")


def clean(text: str) -> str:
    """The text on one line, with U+FFFD for each character that XML forbids or that would reorder its surroundings."""
    return _FORBIDDEN.sub("\ufffd", text)


def columns(text: str) -> int:
    """Width in columns of a monospaced font: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def text_width(text: str, size: float) -> float:
    """Width in pixels of monospaced text of a font size."""
    return columns(text) * size * CHAR_WIDTH


def fit(text: str, width: float, size: float) -> str:
    """The text, cut with "…" so that it fits into ``width`` pixels; empty if not even three columns do."""
    text = clean(text)
    room = int(width / (size * CHAR_WIDTH))
    if columns(text) <= room:
        return text
    if room < 3:
        return ""
    kept, used = "", 0
    for char in text:
        used += columns(char)
        if used > room - 1:
            break
        kept += char
    return f"{kept}…"


def _value(value: object) -> object:
    """Values as they go into the document: text cleaned, coordinates with two decimals at most."""
    if isinstance(value, float):
        text = f"{value:.2f}".rstrip("0").rstrip(".")
        return "0" if text == "-0" else text
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def environment() -> Environment:
    """The jinja2 environment of the SVG templates."""
    return Environment(
        loader=FileSystemLoader(templates_dir()),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_value,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
