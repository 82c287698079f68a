"""Numbers for stretches of time: those between the changes of one owner after another (a process, a thread)."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hakprof.parse.perf_data.walk import Indices, Words

_RANK_BITS = 32


class Timeline:
    """The stretches of all owners, ascending by owner and time, numbered from 0: an owner has one more than changes."""

    def __init__(self, changes: Mapping[int, Sequence[int]]) -> None:
        """``changes``: for each owner the times, ascending and distinct."""
        owners = sorted(changes)
        self._owners = np.array(owners, dtype=np.int32)
        owner = np.repeat(np.arange(len(owners)), [len(changes[one]) for one in owners])
        times = np.array([time for one in owners for time in changes[one]], dtype=np.uint64)
        self._times = np.unique(times)
        self._changes: Indices = owner << _RANK_BITS | np.searchsorted(self._times, times, side="right")

    def at(self, owner: npt.NDArray[np.int32], time: Words) -> Indices:
        """The stretch of each owner that a time falls in, a change belonging to what follows it; -1: no such owner."""
        if not self._owners.size:
            return np.full(owner.size, -1, dtype=np.int64)
        number: Indices = np.minimum(np.searchsorted(self._owners, owner), self._owners.size - 1)
        stretch = number
        if self._changes.size:
            rank = np.searchsorted(self._times, time, side="right")
            stretch = number + np.searchsorted(self._changes, number << _RANK_BITS | rank, side="right")
        return np.where(self._owners[number] == owner, stretch, -1)

    def last(self, stretch: Indices) -> Indices:
        """The last stretch of the owner of each stretch."""
        number = np.arange(self._owners.size)
        lasts: Indices = number + np.searchsorted(self._changes, (number + 1) << _RANK_BITS)
        return lasts[np.searchsorted(lasts, stretch)]
