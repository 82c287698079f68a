"""Target: an ELF file with DWARF → names, stubs and inlined functions at addresses."""

import numpy as np
from memory_file import MemoryFile
from objects import mutated

from hakprof.elf import build_string
from hakprof.symbols import Symbolizer

mutator = mutated
_FILE = MemoryFile("object")
_OFFSETS = np.concatenate((np.arange(0, 1 << 14, 401), 1 << np.arange(15, 64, 8, dtype=np.uint64))).astype(np.uint64)


def check(data: bytes) -> None:
    """Names addresses by a file. What cannot be read is a warning of the symbolizer, and names nothing."""
    path = str(_FILE.hold(data))
    symbolizer = Symbolizer()
    frames = symbolizer.user_frames(path, None, _OFFSETS)
    assert len(frames) == _OFFSETS.size
    for chain in frames:
        assert all(each.inlined for each in chain[:-1])
        assert not chain or not chain[-1].inlined
    assert symbolizer.symbol_names(path, None) or symbolizer.warnings
    frames_of_calls = symbolizer.call_frames
    for offset in _OFFSETS.tolist():
        frames_of_calls.row(path, None, offset)
    build_string(_FILE.path)
