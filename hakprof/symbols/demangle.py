"""C++ names as people write them, without arguments, by way of the C++ runtime's own demangler."""

import ctypes
from functools import lru_cache

# The demangler recurses with the nesting of the name, and names come from files that nobody vouches for.
_MAX_LENGTH = 1024
_QUALIFIERS = (" const", " volatile", " &&", " &", " noexcept")


@lru_cache(maxsize=1 << 16)
def demangle(name: str) -> str:
    """`ns::Class::method` for an Itanium-mangled name; any other name, or without a C++ runtime, as it is."""
    if not name.startswith("_Z") or len(name) > _MAX_LENGTH:
        return name
    runtime = _runtime()
    if runtime is None:
        return name
    status = ctypes.c_int()
    pointer = runtime.__cxa_demangle(name.encode("utf-8", "replace"), None, None, ctypes.byref(status))
    if not pointer:
        return name
    try:
        return without_arguments(ctypes.string_at(pointer).decode("utf-8", "replace"))
    finally:
        runtime.free(pointer)


def without_arguments(signature: str) -> str:
    """The qualified name in a demangled signature: no return type, arguments or qualifiers."""
    text = signature
    while text.endswith(_QUALIFIERS):
        text = text[: max(text.rfind(each) for each in _QUALIFIERS if text.endswith(each))]
    if text.endswith(")"):
        text = text[: _opening(text)]
    depth = 0
    for position in range(len(text) - 1, -1, -1):
        character = text[position]
        depth += (character in ">)]}") - (character in "<([{")
        if character == " " and depth == 0 and not text[:position].endswith("operator"):
            return text[position + 1 :] or signature
    return text or signature


def _opening(text: str) -> int:
    """Position of the bracket that the last one closes."""
    depth = 0
    for position in range(len(text) - 1, -1, -1):
        depth += (text[position] == ")") - (text[position] == "(")
        if depth == 0:
            return position
    return len(text)


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
