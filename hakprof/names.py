"""Names of functions as text: what in them is no bracket, and how long ones are read."""

import re

_LONGEST_NAME = 80
_LONGEST_ARGUMENTS = 16
# Brackets and spaces that are part of the name of an operator.
_OPERATOR = re.compile(r'\boperator(?:"" |(?:<=>|<<=|>>=|->\*|<<|>>|<=|>=|->|<|>)(?: (?=<))?|\(\)|\[\]| )')


def operators_masked(text: str) -> str:
    """The text, as long as before, in which every bracket that is left encloses something."""
    return _OPERATOR.sub(masked, text) if "operator" in text else text


def masked(found: re.Match[str]) -> str:
    """As many letters as were found."""
    return "_" * len(found[0])


def folded(name: str) -> str:
    """A name, or text that holds some, for reading: where it is long, without what templates are made with.

    `std::map<int, std::string, …>::find` becomes `std::map<…>::find`; what Rust has in brackets as a part of a path,
    as in `<T as Iterator>::next`, stays.
    """
    if len(name) <= _LONGEST_NAME:
        return name
    plain = operators_masked(name)
    pieces, behind, opened, depth = [], 0, 0, 0
    for position, character in enumerate(plain):
        if character == "<":
            is_arguments = plain[position - 1 : position].isalnum() or plain[position - 1 : position] == "_"
            if depth == 0 and is_arguments:
                opened = position
            depth += depth > 0 or is_arguments
        elif character == ">" and depth > 0:
            depth -= 1
            if depth == 0 and position - opened - 1 > _LONGEST_ARGUMENTS:
                pieces.append(f"{name[behind:opened]}<…")
                behind = position
    return "".join((*pieces, name[behind:]))
