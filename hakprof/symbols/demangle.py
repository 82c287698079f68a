"""C++ names as people write them, without arguments, by way of the C++ runtime's own demangler."""

import ctypes
import re
from functools import lru_cache

from hakprof.names import masked, operators_masked
from hakprof.symbols.demangle_rust import demangle_rust

# Names come from files that nobody vouches for. The demangler recurses with the nesting of a name; and a name of 200
# characters whose parts refer to earlier parts can stand for gigabytes, at about a microsecond for each character.
_MAX_LENGTH = 1024
_MAX_EXPANDED = 1 << 18
_USUAL_EXPANSION = 16
_MAX_UNUSUAL = 1 << 22
_REFERENCE = re.compile(r"S([0-9A-Z]*)_")
_CLONE = " [clone "
_QUALIFIERS = (" const", " volatile", " &&", " &", " noexcept")
# Code that the compiler makes for a function or variable: perf, too, shows it with the arguments.
_MADE_FOR = re.compile(r"(?:(?:non-virtual|virtual|covariant return) thunk to|TLS (?:init|wrapper) function for) ")
# What is local to a function is named behind all of its signature.
_OF_FUNCTION = re.compile(r"(?<=\))(?: const| volatile| &&?)+(?=::)")


class Demangler:
    """The C++ runtime's demangler, with a limit to the characters that it may make of unusual names in all."""

    def __init__(self, *, max_unusual: int = _MAX_UNUSUAL) -> None:
        self._runtime = _runtime()
        self._left = max_unusual

    def signature(self, name: str) -> str | None:
        """What a mangled name stands for; None where that cannot be told, or would not end."""
        if self._runtime is None or len(name) > _MAX_LENGTH:
            return None
        most = most_expanded(name)
        if most > _MAX_EXPANDED or (most > _USUAL_EXPANSION * len(name) and self._left <= 0):
            return None
        text = _written(self._runtime, name)
        if text is not None:
            self._left -= max(len(text) - _USUAL_EXPANSION * len(name), 0)
        return text


@lru_cache(maxsize=1 << 16)
def demangle(name: str) -> str:
    """`ns::Class::method` for a mangled C++ or Rust name; any other name, or without a C++ runtime, as it is."""
    if not name.startswith(("_Z", "_R")):
        return name
    rust = demangle_rust(name) if len(name) <= _MAX_LENGTH else None
    if rust is not None or name.startswith("_R"):
        return rust or name
    signature = _demangler().signature(name)
    return name if signature is None else without_arguments(signature)


def most_expanded(name: str) -> int:
    """A bound on what a mangled name stands for, in characters of the name.

    A reference `S<k>_` repeats the k-th part met so far (Itanium C++ ABI, 5.1.10). That part was complete when it, or
    any later one, was first referred to, so it is no longer than all that stood before that place.
    """
    total, behind = 0, 0
    sizes: dict[int, int] = {}
    for reference in _REFERENCE.finditer(name):
        total += reference.start() - behind
        behind = reference.end()
        number = int(reference[1], 36) + 1 if reference[1] else 0
        if number not in sizes:
            sizes[number] = min((size for later, size in sizes.items() if later > number), default=total)
        total += sizes[number]
    return total + len(name) - behind


def without_arguments(signature: str) -> str:
    """The qualified name in a demangled signature: no return type, arguments, qualifiers or clone suffix.

    Thunks and the like keep their arguments, and what they are.
    """
    text = signature.partition(_CLONE)[0]
    if _MADE_FOR.match(text):
        return text
    while text.endswith(_QUALIFIERS):
        text = text[: max(text.rfind(each) for each in _QUALIFIERS if text.endswith(each))]
    if text.endswith(")"):
        text = text[: _opening(text)]
    start = _start_of_name(text)
    return text[start:] or signature


def _start_of_name(text: str) -> int:
    """Where the name begins in a signature without arguments: behind the last space that is not in brackets."""
    plain = _OF_FUNCTION.sub(masked, operators_masked(text))
    # The type that an operator converts to may be of several words.
    conversion = text.rfind("operator ")
    depth = 0
    for position in range(len(plain) - 1, -1, -1):
        character = plain[position]
        depth += (character in ">)]}") - (character in "<([{")
        if character == " " and depth == 0 and (position < conversion or conversion < 0):
            return position + 1
    return 0


def _opening(text: str) -> int:
    """Position of the bracket that the last one closes."""
    depth = 0
    for position in range(len(text) - 1, -1, -1):
        depth += (text[position] == ")") - (text[position] == "(")
        if depth == 0:
            return position
    return len(text)


def _written(runtime: ctypes.CDLL, name: str) -> str | None:
    pointer = runtime.__cxa_demangle(name.encode("utf-8", "replace"), None, None, ctypes.byref(ctypes.c_int()))
    if not pointer:
        return None
    try:
        return ctypes.string_at(pointer).decode("utf-8", "replace")
    finally:
        runtime.free(pointer)


@lru_cache(maxsize=1)
def _demangler() -> Demangler:
    return Demangler()


@lru_cache(maxsize=1)
def _runtime() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL("libstdc++.so.6")
        library.__cxa_demangle.restype = ctypes.c_void_p
        library.__cxa_demangle.argtypes = [
            ctypes.c_char_p,
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.POINTER(ctypes.c_int),
        ]
        library.free.argtypes = [ctypes.c_void_p]
    except (OSError, AttributeError):
        return None
    return library
