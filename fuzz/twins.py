"""Target: the compiled walker against numpy: the same profile, or the same refusal, for any recording."""

import os

import numpy as np
from memory_file import MemoryFile
from mutate import mutated

from hakprof.errors import HakprofError
from hakprof.parse.perf_data import PerfProfile, read_perf_data
from hakprof.parse.perf_data.compiled import CHOICE

mutator = mutated
_FILE = MemoryFile("perf.data")


def _read(walker: str) -> PerfProfile | str:
    before = os.environ.get(CHOICE)
    os.environ[CHOICE] = walker
    try:
        return read_perf_data(_FILE.path)
    except HakprofError as error:
        return error.message
    finally:
        os.environ.pop(CHOICE) if before is None else os.environ.update({CHOICE: before})


def check(data: bytes) -> None:
    """Reads a recording twice and compares."""
    _FILE.hold(data)
    compiled, plain = _read("compiled"), _read("numpy")
    if isinstance(compiled, str) or isinstance(plain, str):
        assert compiled == plain, f"{compiled} against {plain}"
        return
    assert compiled.samples.equals(plain.samples)
    assert compiled.events == plain.events
    assert compiled.mappings.equals(plain.mappings)
    assert compiled.record_counts == plain.record_counts
    assert compiled.warnings == plain.warnings
    for name in ("offsets", "address", "kernel", "exact", "mapping"):
        assert np.array_equal(getattr(compiled.stacks, name), getattr(plain.stacks, name)), name
