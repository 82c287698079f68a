"""Rules that say which layer a function belongs to: the bundled catalogues, and the project's own before them.

A rule's ``functions`` and ``files`` name code; ``dsos`` narrows them to some objects, or, alone, takes whatever in
those objects no other rule names. ``entries`` are the kernel functions through which the kernel is entered. Two words
stand for objects whose names are not known beforehand: ``@executable``, the measured program, and ``@kernel``.
"""

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache

from hakprof.errors import ProjectError
from hakprof.project.schema import LayerRule
from hakprof.resources import catalogues_dir
from hakprof.symbols.demangle import demangle

UNATTRIBUTED = "unattributed"
PROGRAM = "benchmark"  # what of the program itself no other rule names
LIBRARY = "libc"  # what calls the system for others
SYSTEM_CALL = "other_syscall"  # has the functions that every system call passes through on its way into the kernel
PROJECT_RULES = "project"
EXECUTABLE = "@executable"
KERNEL = "@kernel"

_CLONE_SUFFIX = re.compile(
    r"(\.(constprop|isra|part|cold|lto_priv|llvm|localalias)(\.\d+)*)+$|\.\d+$|@@?[A-Z]\w*_[\w.]+$"
)


@dataclass(frozen=True, slots=True)
class Code:
    """What rules look at: a function without clone suffix, its source file, and the object that holds it."""

    function: str | None
    file: str | None
    dso: str
    is_kernel: bool
    is_executable: bool


@dataclass(frozen=True, slots=True)
class Match:
    """Indices into RuleSet.layers, -1 for none: by kernel entry, by function or file, by object alone.

    ``others_named``: whether a rule names functions or files in the object, this one or others.
    """

    entry: int
    named: int
    object: int
    others_named: bool


@dataclass(frozen=True, slots=True)
class _Rule:
    layer: int
    functions: re.Pattern[str] | None
    files: re.Pattern[str] | None
    dsos: re.Pattern[str] | None
    entries: re.Pattern[str] | None
    of_executable: bool
    of_kernel: bool

    def is_in_scope(self, code: Code) -> bool:
        """Whether the rule speaks of the object that holds the code."""
        if code.is_kernel != (self.of_kernel or self.entries is not None):
            return False
        if self.dsos is None and not self.of_executable:
            return True
        return (self.of_executable and code.is_executable) or (
            self.dsos is not None and self.dsos.match(code.dso) is not None
        )

    def names(self, code: Code) -> bool:
        """Whether the rule names the code's function or file."""
        by_function = self.functions and code.function and self.functions.match(code.function)
        return bool(by_function or (self.files and code.file and self.files.match(code.file)))


class RuleSet:
    """Rules in order of precedence. ``layers`` holds each layer once, in the order of its first rule.

    ``catch_all``: user layers whose rules name objects alone, no code in them.
    """

    def __init__(self, groups: Sequence[tuple[str, Sequence[LayerRule]]]) -> None:
        rules = [(group, rule) for group, of_group in groups for rule in of_group]
        self.layers: tuple[str, ...] = tuple(dict.fromkeys(rule.layer for _, rule in rules))
        self.titles: dict[str, str] = {r.layer: r.title or r.layer for _, r in reversed(rules)}
        self._group_of = {rule.layer: group for group, rule in reversed(rules)}
        self._kernel_layers = {rule.layer for _, rule in rules if rule.entries or KERNEL in rule.dsos}
        named = {rule.layer for _, rule in rules if rule.functions or rule.files or rule.entries}
        self.catch_all = frozenset(self.layers) - named - self._kernel_layers
        index = {layer: number for number, layer in enumerate(self.layers)}
        self._rules = [_compile(rule, index[rule.layer]) for _, rule in rules]
        self.match = lru_cache(maxsize=None)(self._match)

    def number(self, layer: str) -> int:
        """The index of a layer; -2, which is no layer's, where no rule has it."""
        return self.layers.index(layer) if layer in self.layers else -2

    def _match(self, code: Code) -> Match:
        """The layers of a piece of code; the first rule that fits wins."""
        entry = named = whole = -1
        others_named = False
        for rule in self._rules:
            if not rule.is_in_scope(code):
                continue
            others_named |= bool(rule.functions or rule.files)
            if entry < 0 and rule.entries and code.function and rule.entries.match(code.function):
                entry = rule.layer
            if named < 0 and rule.names(code):
                named = rule.layer
            if whole < 0 and not (rule.functions or rule.files or rule.entries):
                whole = rule.layer
        return Match(entry, named, whole, others_named)

    def unmatched(self, seen: Iterable[str], objects: Sequence[tuple[str, bool, Sequence[str]]]) -> tuple[str, ...]:
        """Layers that own no frame, of catalogues that own some, and that no symbol of the objects belongs to either.

        Such code is not in the build, or no longer bears that name. ``objects`` are (path, is the executable, symbol
        names). Kernel layers are left out: not to enter the kernel somewhere is no surprise.
        """
        present = set(seen)
        groups = {self._group_of[layer] for layer in present}
        absent = [
            layer
            for layer in self.layers
            if layer not in present and layer not in self._kernel_layers and self._group_of[layer] in groups
        ]
        return tuple(layer for layer in absent if not self._is_in_any(layer, objects))

    def _is_in_any(self, layer: str, objects: Sequence[tuple[str, bool, Sequence[str]]]) -> bool:
        number = self.layers.index(layer)
        for rule in self._rules:
            if rule.layer != number:
                continue
            for path, is_executable, names in objects:
                if not rule.is_in_scope(Code(None, None, path, False, is_executable)):
                    continue
                if rule.functions is None or any(rule.functions.match(plain_name(name)) for name in names):
                    return True
        return False


def load_rules(names: Sequence[str], extra: Sequence[LayerRule] = ()) -> RuleSet:
    """The rules of the named catalogues, in that order, after the project's own; ProjectError for an unknown name."""
    return RuleSet([(PROJECT_RULES, tuple(extra)), *((name, catalogue(name)) for name in names)])


def catalogue(name: str) -> tuple[LayerRule, ...]:
    """The rules of one bundled catalogue."""
    path = catalogues_dir() / f"{name}.toml"
    known = sorted(each.stem for each in catalogues_dir().glob("*.toml"))
    if name not in known:
        raise ProjectError(f"there is no layer catalogue {name!r}", remedy=f"use one of {', '.join(known)}")
    with path.open("rb") as stream:
        return tuple(LayerRule.model_validate(rule) for rule in tomllib.load(stream)["layers"])


@lru_cache(maxsize=1 << 16)
def plain_name(function: str) -> str:
    """A function's name as people know it: demangled, without clone suffix and symbol version; a stub keeps "@plt"."""
    name, stub, _ = function.partition("@plt")
    stripped = _CLONE_SUFFIX.sub("", name) or name
    return demangle(stripped) + stub


def _compile(rule: LayerRule, layer: int) -> _Rule:
    return _Rule(
        layer=layer,
        functions=_any_of(rule.functions),
        files=_any_of([pattern if pattern.startswith(("/", "*")) else f"*/{pattern}" for pattern in rule.files]),
        dsos=_any_of(
            [p if p.startswith(("/", "*", "[")) else f"*/{p}" for p in rule.dsos if p not in (EXECUTABLE, KERNEL)]
        ),
        entries=_any_of(rule.entries),
        of_executable=EXECUTABLE in rule.dsos,
        of_kernel=KERNEL in rule.dsos,
    )


def _any_of(patterns: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(translate(pattern) for pattern in patterns)) if patterns else None
