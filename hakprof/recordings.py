"""A run's perf recordings → attributed samples, with a cache of the result inside the run.

The cache is keyed by content: the recording's bytes, the rules, the ELF files at hand and the code that attributes.
Whatever changes makes another key, so a stale entry is never read; one that cannot be read or written is not used.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache as cache_once
from pathlib import Path
from typing import Any

import polars as pl

from hakprof.analysis.inputs import LINES, STACKS, ProfileFacts
from hakprof.cache import user_cache
from hakprof.errors import HakprofError
from hakprof.layers import RuleSet, attribute, load_rules
from hakprof.layers.rules import catalogue
from hakprof.model.frames import CELL_KEY, SAMPLES, Schema
from hakprof.model.run import CellResult, CellStatus
from hakprof.parse.perf_data import PerfProfile, read_perf_data
from hakprof.parse.text import left_out, open_stored
from hakprof.project.schema import Project
from hakprof.symbols import Symbolizer

ROLE = "perf_data"
FORMAT = 1  # of the cached tables
_ATTRIBUTING_CODE = ("layers", "parse", "symbols", "elf.py", "recordings.py")  # below the package
_FRAMES: dict[str, Schema] = {"samples": SAMPLES, "stacks": STACKS, "lines": LINES}


@dataclass(frozen=True, slots=True)
class Recordings:
    """All recordings of a run, attributed. A cell whose recording cannot be read is a warning."""

    samples: pl.DataFrame
    stacks: pl.DataFrame
    lines: pl.DataFrame
    profiles: tuple[ProfileFacts, ...]
    layer_titles: dict[str, str]
    unmatched_layers: tuple[str, ...]  # layers whose rules matched in no recording
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Attributed:
    """One cell's share of :class:`Recordings`."""

    frames: dict[str, pl.DataFrame]
    facts: ProfileFacts
    unmatched: tuple[str, ...]


def read_recordings(
    cells: Sequence[tuple[CellResult, Path]],
    *,
    project: Project,
    objects: Path,
    kallsyms: Path | None,
    cache: Path | None,
) -> Recordings:
    """Reads and attributes every recording among ``cells``. ``cache`` None: nothing is kept."""
    symbolizer: Symbolizer | None = None
    found: list[_Attributed] = []
    warnings: list[str] = []
    rules = load_rules(project.catalogues, project.layers)
    environment = _fingerprint(project, objects, kallsyms)
    for result, folder in cells:
        name = result.files.get(ROLE)
        if name is None or result.status == CellStatus.TOOL_FAILED:
            continue
        path = folder / Path(name).name  # a stored name is data: it must not lead out of the folder
        try:
            entry = cache / f"{result.cell.id}-{_key(path, environment)}" if cache else None
            cached = _load(entry) if entry else None
            if cached is None:
                symbolizer = symbolizer or Symbolizer((objects,), kallsyms=kallsyms, cache=user_cache())
                cached = _attribute(result, path, symbolizer, rules)
                _save(entry, cached)
            found.append(cached)
        except HakprofError as error:
            warnings.append(f"{result.cell.id}: {left_out(error).replace(f'{folder}/', '')}")
    warnings += _said_once(found)
    unmatched = set.intersection(*(set(one.unmatched) for one in found)) if found else set()
    frames = {name: _concat([one.frames[name] for one in found], schema) for name, schema in _FRAMES.items()}
    return Recordings(
        **frames,
        profiles=tuple(one.facts for one in found),
        layer_titles=rules.titles,
        unmatched_layers=tuple(sorted(unmatched)),
        warnings=tuple(warnings),
    )


def _said_once(found: Sequence[_Attributed]) -> list[str]:
    """Warnings of all recordings; what several have in common is one line that names the first."""
    cells: dict[str, list[str]] = {}
    for one in found:
        for text in one.facts.warnings:
            cells.setdefault(text, []).append(one.facts.cell)
    return [
        f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {text}" for text, names in cells.items()
    ]


def _concat(parts: Sequence[pl.DataFrame], schema: Schema) -> pl.DataFrame:
    return pl.concat(parts) if parts else pl.DataFrame(schema=schema)


def _attribute(result: CellResult, path: Path, symbolizer: Symbolizer, rules: RuleSet) -> _Attributed:
    profile = read_perf_data(path, frames=symbolizer.call_frames)
    attribution = attribute(profile, symbolizer, rules)
    tables = {"samples": attribution.samples, "stacks": attribution.stacks, "lines": attribution.lines}
    frames = {name: _keyed(result, table, _FRAMES[name]) for name, table in tables.items()}
    facts = _facts(result, profile, attribution.samples, attribution.warnings)
    return _Attributed(frames, facts, attribution.unmatched_rules)


def _keyed(result: CellResult, table: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    cell = result.cell
    values: dict[str, Any] = {"cell": cell.id, **{name: getattr(cell, name) for name in CELL_KEY if name != "cell"}}
    key = [pl.lit(values[name], dtype=dtype).alias(name) for name, dtype in CELL_KEY.items()]
    return table.with_columns(key).select(schema.keys()).cast(pl.Schema(schema))


def _facts(result: CellResult, profile: PerfProfile, samples: pl.DataFrame, warnings: Sequence[str]) -> ProfileFacts:
    event = next((one.name for one in profile.events if one.is_time), None)
    return ProfileFacts(
        cell=result.cell.id,
        time_event=event,
        samples=int(samples.filter(pl.col("event") == event)["count"].sum()) if event else 0,
        lost_samples=profile.lost_samples,
        throttled=profile.throttled,
        truncated=profile.truncated,
        build_ids=_build_ids(profile),
        warnings=(*profile.warnings, *warnings),
    )


def _build_ids(profile: PerfProfile) -> dict[str, str]:
    """Path → build id, from the recording's table and from the mappings, which carry them in newer recordings."""
    mapped = profile.mappings.filter(pl.col("build_id").is_not_null()).select("path", "build_id")
    return dict(sorted((profile.build_ids | dict(mapped.iter_rows())).items()))


def _fingerprint(project: Project, objects: Path, kallsyms: Path | None) -> bytes:
    """Everything beside the recording that decides how its samples are attributed."""
    rules = [*project.layers, *(rule for name in project.catalogues for rule in catalogue(name))]
    parts = {
        "format": FORMAT,
        "code": _code_digest(),
        "rules": [rule.model_dump() for rule in rules],
        "objects": _content(objects),
        "kernel": _digest(kallsyms) if kallsyms else None,
    }
    return json.dumps(parts, sort_keys=True).encode()


def _content(objects: Path) -> dict[str, str]:
    """Path and digest of every ELF file at hand: one that is exchanged under its name gives other functions."""
    files = sorted(path for path in objects.glob("*/*") if path.is_file()) if objects.is_dir() else []
    return {path.relative_to(objects).as_posix(): _digest(path) for path in files}


def _digest(path: Path) -> str:
    """Of a file's content; of one that cannot be read, why: whoever needs it will say so."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"unreadable: {error.strerror}"


@cache_once
def _code_digest() -> str:
    """Of every source file that has a say in the attribution, so that an edited rule of ours is a new key too."""
    package = Path(__file__).resolve().parent
    files = [path for name in _ATTRIBUTING_CODE for path in (package / name, *(package / name).rglob("*.py"))]
    digest = hashlib.sha256()
    for path in sorted(path for path in files if path.is_file()):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _key(path: Path, environment: bytes) -> str:
    digest = hashlib.sha256(environment)
    with open_stored(path, remedy="collect the cell again") as file:
        digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _load(entry: Path) -> _Attributed | None:
    """A cache entry; None if it is not there or not whole."""
    try:
        stored = json.loads((entry / "facts.json").read_text(encoding="utf-8"))
        frames = {name: pl.read_parquet(entry / f"{name}.parquet") for name in _FRAMES}
        if any(dict(frames[name].schema) != dict(pl.Schema(schema)) for name, schema in _FRAMES.items()):
            return None
        unmatched = tuple(stored.pop("unmatched"))
        return _Attributed(frames, ProfileFacts(**stored | {"warnings": tuple(stored["warnings"])}), unmatched)
    except (OSError, ValueError, KeyError, TypeError, pl.exceptions.PolarsError):
        return None


def _save(entry: Path | None, attributed: _Attributed) -> None:
    """Writes to a temporary folder and renames it, so that a reader sees a whole entry or none."""
    if entry is None:
        return
    temporary: Path | None = None
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".tmp-", dir=entry.parent))
        for name, frame in attributed.frames.items():
            frame.write_parquet(temporary / f"{name}.parquet")
        facts = asdict(attributed.facts) | {"unmatched": attributed.unmatched}
        (temporary / "facts.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")
        temporary.rename(entry)
    except (OSError, pl.exceptions.PolarsError):
        # A read-only or full store, or another process that was faster: the report does not need the cache.
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
