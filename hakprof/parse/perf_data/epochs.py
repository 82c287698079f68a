"""Threads that change their name or their program while they run: which of their samples lie before and after."""

import numpy as np
import numpy.typing as npt

from hakprof.parse.perf_data.walk import Words

Boundaries = dict[int, Words]  # for each such thread the times of its changes, ascending


def epochs_of(boundaries: Boundaries, tid: npt.NDArray[np.int32], time: Words) -> npt.NDArray[np.uint32]:
    """How many changes of its thread lie before each sample; zero for threads that need no distinction."""
    epochs = np.zeros(tid.size, dtype=np.uint32)
    if boundaries:
        for one in np.unique(tid).tolist():
            if one in boundaries:
                chosen = tid == one
                epochs[chosen] = np.searchsorted(boundaries[one], time[chosen], side="right")
    return epochs
