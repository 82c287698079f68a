"""One perf.data file on its own, without a run around it: its flat profile, and its profile by layers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hakprof.cache import user_cache
from hakprof.grouping import grouped
from hakprof.parse.perf_data import read_flat, read_perf_data, short_name
from hakprof.periods import unequal_periods
from hakprof.resources import CATALOGUES

if TYPE_CHECKING:
    from hakprof.layers import Attribution
    from hakprof.parse.perf_data import PerfProfile
    from hakprof.parse.perf_data.flat import FlatSamples
    from hakprof.project.schema import LayerRule
    from hakprof.symbols import Symbolizer

UNKNOWN = "[unknown]"


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
    of_time: Mapping[str, bool]  # of each event, whether its samples fall in proportion to time
    unequal: Mapping[str, str]  # what to say of events whose samples stand for unequal numbers of them


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
    symbolizer = Symbolizer(objects, kallsyms=kallsyms, cache=user_cache())
    profile = read_perf_data(path, frames=symbolizer.call_frames)
    return LayerProfile(profile, attribute(profile, symbolizer, rules))


def flat_profile(path: Path, *, objects: Sequence[Path] = (), kallsyms: Path | None = None) -> FlatProfile:
    """Reads a recording and counts its samples by (event, comm, dso, symbol), symbols being the outermost functions.

    ParseError for a file that cannot be read; ``objects`` and ``kallsyms`` as for :func:`load_recording`.
    """
    from hakprof.symbols import Symbolizer

    samples = read_flat(path)
    symbolizer = Symbolizer(objects, kallsyms=kallsyms, cache=user_cache())
    names = _functions(samples, symbolizer)
    dsos = [*(short_name(each.path) for each in samples.objects), UNKNOWN]
    sums: dict[tuple[int, str, str, str], list[int]] = {}
    columns = (samples.event, samples.comm, samples.object, samples.count, samples.period)
    for name, event, comm, number, count, period in zip(names, *(each.tolist() for each in columns), strict=True):
        total = sums.setdefault((event, samples.comms[comm], dsos[number], name), [0, 0])
        total[0] += count
        total[1] += period
    ordered = sorted(sums.items(), key=lambda item: (item[0][0], -item[1][0], item[0]))
    rows = tuple(FlatRow(samples.events[key[0]], *key[1:], *total) for key, total in ordered)
    of_time = dict(zip(samples.events, samples.is_time, strict=True))
    warnings = (*samples.warnings, *symbolizer.warnings)
    return FlatProfile(rows, warnings, samples.truncated, of_time, _unequal(samples))


def _unequal(samples: "FlatSamples") -> dict[str, str]:
    said: dict[str, str] = {}
    columns = zip(samples.events, samples.is_time, samples.periods, strict=True)
    for number, (event, is_time, extremes) in enumerate(columns):
        own = samples.event == number
        stands_for = int(samples.period[own].sum())
        sentence = None if is_time else unequal_periods(event, int(samples.count[own].sum()), stands_for, extremes)
        if sentence is not None:
            said[event] = sentence
    return said


def _functions(samples: "FlatSamples", symbolizer: "Symbolizer") -> list[str]:
    """The function of each row; each address of an object is looked up once."""
    site, heads = grouped([samples.object, samples.kernel, samples.place])
    names: list[str] = [UNKNOWN] * heads.size
    number, kernel, place = samples.object[heads], samples.kernel[heads], samples.place[heads]
    for one, each in enumerate(samples.objects):
        for is_kernel in (True, False):
            chosen = np.flatnonzero((number == one) & (kernel == is_kernel))
            if chosen.size:
                if is_kernel:
                    found = symbolizer.kernel_functions(each.path, samples.recorded_kernel, place[chosen])
                else:
                    found = symbolizer.functions(each.path, each.build_id, place[chosen])
                for index, name in zip(chosen.tolist(), found, strict=True):
                    names[index] = name or UNKNOWN
    return [names[index] for index in site.tolist()]
