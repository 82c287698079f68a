"""Markdown from untrusted text: names out of binaries and traces must not become markup."""

import re

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200b-\u200f\u202a-\u202e\u2066-\u2069]+")
_SPECIAL = re.compile(r"([\\`*\[\]|~>])")
_TAG = re.compile(r"<(?![\d ])")  # "<0.1 %" cannot open a tag and stays readable
_ENTITY = re.compile(r"&(?=#?\w+;)")
_EDGE_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")  # inside a word it is no emphasis (CommonMark 6.2)
_BLOCK_START = re.compile(r"^(#|[-+=](?=[\s-])|\d+(?=[.)]\s))")
_OWN_CODE = re.compile(r"^[\w ./:@=,+*$%()\[\]{}\"'-]+$")
_BACKTICKS = re.compile(r"`+")


def one_line(text: object) -> str:
    """Text without control characters, line breaks and direction marks."""
    return _CONTROL.sub(" ", str(text)).strip()


def escape(text: object) -> str:
    """Text that renders as itself, in running text and in a table cell."""
    plain = _SPECIAL.sub(r"\\\1", one_line(text))
    plain = _ENTITY.sub(r"\\&", _TAG.sub(r"\\<", plain))
    plain = _EDGE_UNDERSCORE.sub(r"\\_", plain)
    return _BLOCK_START.sub(r"\\\1", plain)


def prose(text: object) -> str:
    """A sentence of ours with names in it: its `code` stays code, everything else is escaped."""
    pieces = one_line(text).split("`")
    if len(pieces) % 2 == 0 or not all(_OWN_CODE.match(piece) for piece in pieces[1::2]):
        return escape(text)  # a backtick that came with a name
    return "".join(code(piece) if index % 2 else _inner(piece) for index, piece in enumerate(pieces))


def _inner(piece: str) -> str:
    """Escaped, with the blanks at its ends kept: it stands between two code spans."""
    if not piece.strip():
        return piece
    lead, trail = piece[: len(piece) - len(piece.lstrip())], piece[len(piece.rstrip()) :]
    return f"{lead}{escape(piece)}{trail}"


def code(text: object, *, cell: bool = True) -> str:
    """A code span that holds any text. In a table ``cell`` even a span must not hold a bare ``|`` (GFM tables)."""
    plain = one_line(text) or " "
    if cell:
        plain = plain.replace("|", "\\|")
    longest = max((len(run) for run in _BACKTICKS.findall(plain)), default=0)
    fence = "`" * (longest + 1)
    space = " " if plain.startswith("`") or plain.endswith("`") else ""
    return f"{fence}{space}{plain}{space}{fence}"


def block(text: object) -> str:
    """A fenced block that holds any text; its lines stay lines."""
    lines = [_CONTROL.sub(" ", line).rstrip() for line in str(text).splitlines()]
    longest = max((len(run) for line in lines for run in _BACKTICKS.findall(line)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([f"{fence}text", *lines, fence])
