"""Target: a recording → PerfProfile."""

import numpy as np
from memory_file import MemoryFile
from mutate import mutated

from hakprof.parse.perf_data import read_perf_data

mutator = mutated
_FILE = MemoryFile("perf.data")


def check(data: bytes) -> None:
    """Reads a recording; what it yields must agree with itself."""
    profile = read_perf_data(_FILE.hold(data))
    samples, stacks = profile.samples, profile.stacks
    assert profile.sample_count > 0
    assert samples["stack_id"].max() <= len(stacks)
    assert samples["event"].max() < len(profile.events)
    for mapping in (samples["mapping"].to_numpy(), stacks.mapping):
        assert not mapping.size or (mapping.min() >= -1 and mapping.max() < profile.mappings.height)
    assert (np.diff(stacks.offsets) >= 0).all()
    assert stacks.offsets[-1] == stacks.address.size == stacks.mapping.size
    assert (samples["first_ns"] <= samples["last_ns"]).all()
    lost = profile.record_counts["SAMPLE"] - profile.sample_count
    assert lost <= 0 or profile.warnings, f"{lost} samples are missing without a word"
