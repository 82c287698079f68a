"""Reading hakprof.toml: find it, decode it, validate it, and say what is wrong in its own words."""

import tomllib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from hakprof.errors import ProjectError
from hakprof.project.schema import LayerFile, LayerRule, Project
from hakprof.resources import default_project_file

FILE_NAME = "hakprof.toml"
_MOST_PROBLEMS = 8
_SHOWN_LETTERS = 80

_Model = TypeVar("_Model", bound=BaseModel)


def find_project_file(start: Path) -> Path:
    """The hakprof.toml of ``start`` or of the nearest folder above it; the bundled one where there is none."""
    for folder in (start, *start.parents):
        candidate = folder / FILE_NAME
        if candidate.is_file():
            return candidate
    return default_project_file()


def load_project(path: Path) -> Project:
    """Read and validate ``path``. Raises :class:`ProjectError` that names the file, the key and the remedy."""
    text = _read(path, remedy="name an existing one with --project, or leave the option out for the bundled project")
    return parse_project(text, source=str(path))


def load_layer_rules(path: Path) -> tuple[LayerRule, ...]:
    """The [[layers]] of a file: of a whole hakprof.toml, or of one that holds nothing else. Raises ProjectError."""
    text = _read(path, remedy="name an existing file with [[layers]] tables")
    data = _decode(text, source=str(path))
    if "project" in data:
        return _validated(Project, data, source=str(path)).layers
    return _validated(LayerFile, data, source=str(path)).layers


def parse_project(text: str, *, source: str) -> Project:
    """Validate the text of a hakprof.toml. ``source`` is what errors call it."""
    return _validated(Project, _decode(text, source=source), source=source)


def _read(path: Path, *, remedy: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ProjectError(f"{path}: no such file", remedy=remedy) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ProjectError(f"{path}: cannot be read: {error}", remedy="make it a readable UTF-8 file") from error


def _decode(text: str, *, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProjectError(f"{source}: not valid TOML: {error}", remedy="correct the line that is named") from error
    except RecursionError as error:
        raise ProjectError(
            f"{source}: lists or tables are nested too deeply",
            remedy="no key of hakprof.toml needs more than four levels",
        ) from error
    except ValueError as error:  # a number of thousands of digits
        raise ProjectError(f"{source}: not valid TOML: {error}", remedy="correct the number") from error


def _validated(model: type[_Model], data: dict[str, Any], *, source: str) -> _Model:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = "\n".join(f"  {line}" for line in _problem_lines(error))
        raise ProjectError(
            f"{source}: {error.error_count()} problem(s)\n{problems}",
            remedy="correct the keys that are named; `hakprof project --example` prints a complete file",
        ) from error


def _problem_lines(error: ValidationError) -> list[str]:
    problems = error.errors(include_url=False, include_context=False)
    lines = []
    for problem in problems[:_MOST_PROBLEMS]:
        what = problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "extra_forbidden":
            what = "unknown key"
        elif problem["type"] == "missing":
            what = "this key is required"
        key = _cut(".".join(str(part) for part in problem["loc"]))
        # What concerns several keys is found by the whole project's validator, which names the key itself.
        lines.append(f"{key}: {what}{_shown(problem.get('input'))}" if key else what)
    if len(problems) > _MOST_PROBLEMS:
        lines.append(f"… and {len(problems) - _MOST_PROBLEMS} more")
    return lines


def _shown(value: object) -> str:
    if not isinstance(value, str | int | float | bool):
        return ""
    try:
        return f" (got {_cut(repr(value))})"
    except ValueError:  # Python refuses to write out an integer of thousands of digits
        return " (got a very large number)"


def _cut(text: str) -> str:
    """A text of the file's, short and without control characters, for a line of an error."""
    plain = "".join(letter if letter.isprintable() else "\ufffd" for letter in text[: _SHOWN_LETTERS + 1])
    return plain if len(plain) <= _SHOWN_LETTERS else plain[: _SHOWN_LETTERS - 1] + "…"
