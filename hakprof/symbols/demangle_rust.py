"""Rust names as people write them.

Legacy names are C++ names with escapes and a hash at the end. Formats: RFC 2603 (v0), and for the legacy escapes
library/backtrace and rustc-demangle of the Rust project. As `rustc-demangle` prints it with `{:#}`: without hashes.
"""

import re
from collections.abc import Callable

_LEGACY_HASH = re.compile(r"17h[0-9a-f]{16}E")
_ESCAPES = {"SP": "@", "BP": "*", "RF": "&", "LT": "<", "GT": ">", "LP": "(", "RP": ")", "C": ","}
_ESCAPE = re.compile(r"\$(SP|BP|RF|LT|GT|LP|RP|C|u[0-9a-f]{1,6})\$")
_MOST_DEPTH = 100
_MOST_TEXT = 1 << 14
_BASIC = {
    "a": "i8", "b": "bool", "c": "char", "d": "f64", "e": "str", "f": "f32", "h": "u8", "i": "isize", "j": "usize",
    "l": "i32", "m": "u32", "n": "i128", "o": "u128", "p": "_", "s": "i16", "t": "u16", "u": "()", "v": "...",
    "x": "i64", "y": "u64", "z": "!",
}  # fmt: skip


class _NotRustError(Exception):
    """The name is of another form, or stands for more than anybody would read."""


def demangle_rust(name: str) -> str | None:
    """The path that a Rust name stands for; None for what is no Rust name."""
    body = name.partition(".llvm.")[0]
    try:
        if body.startswith("_R"):
            return _V0(body[2:].partition(".")[0]).whole()
        return _legacy(body) if body.startswith("_ZN") else None
    except (_NotRustError, IndexError, ValueError):
        return None


def _legacy(name: str) -> str | None:
    found = _LEGACY_HASH.search(name)
    if found is None:
        return None
    at, parts = 3, []
    while at < found.start():
        end = at
        while name[end].isdigit():
            end += 1
        size = int(name[at:end] or "0")
        if not size:
            return None
        parts.append(_unescaped(name[end : end + size]))
        at = end + size
    return "::".join(parts) if at == found.start() and parts else None


def _unescaped(part: str) -> str:
    if part.startswith("_$"):
        part = part[1:]
    text = _ESCAPE.sub(lambda m: _ESCAPES.get(m[1]) or chr(int(m[1][1:], 16)), part)
    return text.replace("..", "::")


class _V0:
    """Reads one v0 name, whose first two characters are gone: positions in it count from there."""

    def __init__(self, text: str) -> None:
        self._text, self._at, self._depth, self._written = text, 0, 0, 0
        self._bound = 0

    def whole(self) -> str:
        if self._text[:1].isdigit():
            raise _NotRustError("a version that is not known")
        return self._path(in_value=True)

    def _next(self) -> str:
        self._at += 1
        return self._text[self._at - 1]

    def _eat(self, character: str) -> bool:
        found = self._text[self._at : self._at + 1] == character
        self._at += found
        return found

    def _enter(self, text: str = "") -> None:
        self._depth += 1
        self._written += len(text) + 1
        if self._depth > _MOST_DEPTH or self._written > _MOST_TEXT:
            raise _NotRustError("nested too deep")

    def _base_62(self) -> int:
        """`_` is 0, `0_` is 1 and so on."""
        if self._eat("_"):
            return 0
        value = 0
        while not self._eat("_"):
            character = self._next()
            if not character.isalnum() or not character.isascii():
                raise _NotRustError("no number")
            value = value * 62 + int(character, 36) + (26 if character.isupper() else 0)
            if value > _MOST_TEXT:
                value = _MOST_TEXT  # disambiguators are hashes, which nobody prints
        return value + 1

    def _optional(self, tag: str) -> int:
        return self._base_62() + 1 if self._eat(tag) else 0

    def _identifier(self) -> tuple[int, str]:
        """Disambiguator and name."""
        number = self._optional("s")
        is_punycode = self._eat("u")
        start = self._at
        while self._text[self._at].isdigit() and self._text[start] != "0":
            self._at += 1
        if self._text[start] == "0":
            self._at += 1
        size = int(self._text[start : self._at])
        self._eat("_")
        name = self._text[self._at : self._at + size]
        if len(name) < size:
            raise _NotRustError("a name is cut off")
        self._at += size
        if is_punycode:
            # Rust separates the letters by `_`, RFC 3492 by `-`.
            basic, found, rest = name.rpartition("_")
            name = (f"{basic}-{rest}" if found else rest).encode("ascii").decode("punycode")
        return number, name

    def _reference(self) -> int:
        """The place that a back reference stands for; it must lie before itself."""
        here = self._at - 1
        place = self._base_62()
        if place >= here:
            raise _NotRustError("a reference forward")
        return place

    def _path(self, *, in_value: bool) -> str:
        self._enter()
        text = self._path_of(self._next(), in_value=in_value)
        self._enter(text)
        self._depth -= 2
        return text

    def _path_of(self, tag: str, *, in_value: bool) -> str:
        if tag == "C":
            return self._identifier()[1]
        if tag == "N":
            return self._nested(in_value=in_value)
        if tag in "MX":
            self._optional("s")
            self._path(in_value=False)
        if tag == "M":
            return f"<{self._type()}>"
        if tag in "XY":
            own = self._type()
            return f"<{own} as {self._path(in_value=False)}>"
        if tag == "I":
            head = self._path(in_value=in_value)
            arguments = []
            while not self._eat("E"):
                arguments.append(self._argument())
            return f"{head}{'::' if in_value else ''}<{', '.join(arguments)}>"
        if tag == "B":
            return self._elsewhere(lambda: self._path(in_value=in_value))
        raise _NotRustError(f"path {tag}")

    def _nested(self, *, in_value: bool) -> str:
        space = self._next()
        parent = self._path(in_value=in_value)
        number, name = self._identifier()
        if space.isupper():
            kind = {"C": "closure", "S": "shim"}.get(space, space)
            return f"{parent}::{{{kind}{f':{name}' if name else ''}#{number}}}"
        return f"{parent}::{name}" if name else parent

    def _elsewhere(self, read: Callable[[], str]) -> str:
        place, here = self._reference(), self._at
        self._at = place
        text = read()
        self._at = here
        return text

    def _argument(self) -> str:
        if self._eat("L"):
            return self._lifetime(self._base_62())
        return self._constant() if self._eat("K") else self._type()

    def _lifetime(self, number: int) -> str:
        if number == 0:
            return "'_"
        depth = self._bound - number
        return f"'{chr(ord('a') + depth)}" if 0 <= depth < 26 else "'_"

    def _type(self) -> str:
        self._enter()
        text = self._type_of(self._next())
        self._enter(text)
        self._depth -= 2
        return text

    def _type_of(self, tag: str) -> str:
        if tag in _BASIC:
            return _BASIC[tag]
        if tag in "RQ":
            number = self._base_62() if self._eat("L") else 0
            lifetime = f"{self._lifetime(number)} " if number else ""
            return f"&{lifetime}{'mut ' if tag == 'Q' else ''}{self._type()}"
        if tag in "PO":
            return f"*{'const' if tag == 'P' else 'mut'} {self._type()}"
        if tag == "A":
            element = self._type()
            return f"[{element}; {self._constant()}]"
        if tag == "S":
            return f"[{self._type()}]"
        if tag == "T":
            return self._tuple()
        if tag == "F":
            return self._function()
        if tag == "D":
            return self._dynamic()
        if tag == "B":
            return self._elsewhere(self._type)
        self._at -= 1
        return self._path(in_value=False)

    def _tuple(self) -> str:
        parts = []
        while not self._eat("E"):
            parts.append(self._type())
        return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"

    def _binder(self) -> tuple[str, int]:
        """`for<'a, …>` and how many lifetimes it binds."""
        count = self._optional("G")
        if count > 26:
            raise _NotRustError("more lifetimes than letters")
        self._bound += count
        names = ", ".join(self._lifetime(number) for number in range(count, 0, -1))
        return (f"for<{names}> " if count else ""), count

    def _function(self) -> str:
        binder, count = self._binder()
        text = f"{binder}{'unsafe ' if self._eat('U') else ''}"
        if self._eat("K"):
            abi = "C" if self._eat("C") else self._identifier()[1].replace("_", "-")
            text += f'extern "{abi}" '
        parts = []
        while not self._eat("E"):
            parts.append(self._type())
        given = self._type()
        self._bound -= count
        return f"{text}fn({', '.join(parts)}){'' if given == '()' else f' -> {given}'}"

    def _dynamic(self) -> str:
        binder, count = self._binder()
        traits = []
        while not self._eat("E"):
            traits.append(self._trait())
        self._bound -= count
        if not self._eat("L"):
            raise _NotRustError("a trait object without lifetime")
        number = self._base_62()
        return f"dyn {binder}{' + '.join(traits)}{f' + {self._lifetime(number)}' if number else ''}"

    def _trait(self) -> str:
        path = self._path(in_value=False)
        bindings = []
        while self._eat("p"):
            _, name = self._identifier()
            bindings.append(f"{name} = {self._type()}")
        if not bindings:
            return path
        if path.endswith(">"):
            return f"{path[:-1]}, {', '.join(bindings)}>"
        return f"{path}<{', '.join(bindings)}>"

    def _constant(self) -> str:
        self._enter()
        tag = self._next()
        if tag == "B":
            text = self._elsewhere(self._constant)
        elif tag == "p":
            text = "_"
        elif tag in "abhijlmnostxy":
            negative = self._eat("n")
            end = self._text.index("_", self._at)
            digits = self._text[self._at : end]
            self._at = end + 1
            value = int(digits or "0", 16)
            text = f"{'-' if negative else ''}{value}" if tag != "b" else ("true" if value else "false")
        elif tag == "c":
            end = self._text.index("_", self._at)
            text, self._at = repr(chr(int(self._text[self._at : end], 16))), end + 1
        else:
            raise _NotRustError(f"constant {tag}")
        self._depth -= 1
        return text
