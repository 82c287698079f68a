"""Reader of perf.data files: streamed, vectorised, added up as it goes.

header.py      where the records are, which events, what perf noted about the machine
parts.py       the files of a directory           zstd.py        compressed records, inflated
walk.py        record boundaries in a block        adding.py     samples added up, by one of:
compiled.py    walker.c, where it is built         samples.py    columns of a block, with numpy
aggregate.py   rows of equal samples, merged       records.py    all other records
processes.py   names and mappings over time        place.py      rows → PerfProfile
spaces.py      mappings, found by time and address timeline.py   times between changes, numbered
readings.py    group leader samples, split         unwind.py     stack bytes → call chains, by
dumps.py       where those bytes are               frames.py     rules for getting to a caller, and
kernel.py      the kernel: build, place, modules   rules.py      a table of the rules that were met
"""

from typing import TYPE_CHECKING, Any

from hakprof.parse.perf_data.reader import read_flat, read_perf_data
from hakprof.parse.perf_data.records import short_name

if TYPE_CHECKING:
    from hakprof.parse.perf_data.profile import PerfEvent, PerfProfile, Stacks

__all__ = ("PerfEvent", "PerfProfile", "Stacks", "read_flat", "read_perf_data", "short_name")


def __getattr__(name: str) -> Any:
    """The classes that hold frames, when asked for: importing polars takes longer than reading most recordings."""
    if name in __all__:
        from hakprof.parse.perf_data import profile

        return getattr(profile, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
