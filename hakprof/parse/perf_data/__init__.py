"""Reader of perf.data files: streamed, vectorised, added up as it goes.

header.py      where the records are, which events, what perf noted about the machine
walk.py        record boundaries in a block        samples.py    the samples of a block as columns
aggregate.py   rows of equal samples, merged       records.py    all other records
processes.py   names and mappings over time        place.py      rows → PerfProfile
"""

from hakprof.parse.perf_data.profile import PerfEvent, PerfProfile, Stacks
from hakprof.parse.perf_data.reader import read_perf_data
from hakprof.parse.perf_data.records import short_name

__all__ = ("PerfEvent", "PerfProfile", "Stacks", "read_perf_data", "short_name")
