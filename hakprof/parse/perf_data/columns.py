"""The samples of a block as columns: what decoding gives and adding up takes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hakprof.parse.perf_data.walk import Indices, Words

PERIOD_LIMIT = np.uint64(1 << 48)  # no counter gains that much between two samples


@dataclass(frozen=True, slots=True)
class SampleColumns:
    """Samples of one block, one row each, in the order of the file within an event.

    ``start`` is the word at which the record begins. ``chain_start`` and ``chain_length`` are ranges of ``words``;
    ``stack`` is the hash of the chain, 0 without one.
    """

    words: Words
    start: Indices
    event: npt.NDArray[np.uint16]
    cpumode: npt.NDArray[np.uint8]
    pid: npt.NDArray[np.int32]
    tid: npt.NDArray[np.int32]
    ip: Words
    time: Words
    period: Words
    stack: Words
    chain_start: Indices
    chain_length: Indices
