"""One perf.data file on its own, without a run around it: its flat profile, and its profile by layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hakprof.parse.perf_data import read_perf_data
from hakprof.resources import CATALOGUES

if TYPE_CHECKING:
    from hakprof.layers import Attribution
    from hakprof.parse.perf_data import PerfProfile
    from hakprof.project.schema import LayerRule


class FlatRow(NamedTuple):
    """Samples of one event in one function, as `perf report --no-children --sort comm,dso,sym` counts them."""

    event: str
    comm: str
    dso: str
    symbol: str
    samples: int
    period: int


@dataclass(frozen=True, slots=True)
class FlatProfile:
    """``rows``: the events in the recording's order, most samples first; their counts sum to all samples."""

    rows: tuple[FlatRow, ...]
    warnings: tuple[str, ...]
    truncated: bool


@dataclass(frozen=True, slots=True)
class LayerProfile:
    """A recording and its samples by layers."""

    profile: "PerfProfile"
    attribution: "Attribution"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the numbers must know, of the recording first."""
        return (*self.profile.warnings, *self.attribution.warnings)


def load_recording(
    path: Path,
    *,
    catalogues: Sequence[str] = CATALOGUES,
    layers: Sequence["LayerRule"] = (),
    objects: Sequence[Path] = (),
    kallsyms: Path | None = None,
) -> LayerProfile:
    """Reads a recording and gives each sample its layer.

    ``layers`` come before the bundled ``catalogues``, which stand in order of precedence. ``objects`` are folders
    laid out `<folder>/<build id>/<file name>` to search for the recorded files; ``kallsyms`` is a copy of the recorded
    machine's /proc/kallsyms. ParseError for a file that cannot be read, ProjectError for an unknown catalogue.
    """
    from hakprof.layers import attribute, load_rules
    from hakprof.symbols import Symbolizer

    rules = load_rules(catalogues, layers)
    symbolizer = Symbolizer(objects, kallsyms=kallsyms)
    profile = read_perf_data(path, frames=symbolizer.call_frames)
    return LayerProfile(profile, attribute(profile, symbolizer, rules))


def flat_profile(path: Path, *, objects: Sequence[Path] = (), kallsyms: Path | None = None) -> FlatProfile:
    """Reads a recording and counts its samples by (event, comm, dso, symbol), symbols being the outermost functions.

    ParseError for a file that cannot be read; ``objects`` and ``kallsyms`` as for :func:`load_recording`.
    """
    loaded = load_recording(path, objects=objects, kallsyms=kallsyms)
    order = {event.name: event.index for event in loaded.profile.events}
    key = ["event", "comm", "dso", "symbol"]
    table = loaded.attribution.samples.group_by(key).sum().select(*key, "count", "period")
    rows = sorted((FlatRow(*row) for row in table.iter_rows()), key=lambda row: (order[row.event], -row.samples, row))
    return FlatProfile(tuple(rows), loaded.warnings, loaded.profile.truncated)
