"""Threads that change their name or their program while they run: which of their samples lie before and after."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hakprof.parse.perf_data.walk import Words

Boundaries = dict[int, Words]  # for each such thread the times of its changes, ascending


def set_epochs(
    epochs: npt.NDArray[np.uint32],
    boundaries: Mapping[int, Words | Sequence[int]],
    tid: npt.NDArray[np.int32],
    time: npt.NDArray[Any],
) -> None:
    """Sets how many changes of its thread lie before each sample, for those of the threads that have ``boundaries``."""
    if boundaries:
        for one in np.unique(tid).tolist():
            if one in boundaries:
                chosen = tid == one
                epochs[chosen] = np.searchsorted(boundaries[one], time[chosen], side="right")
