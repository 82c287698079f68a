"""What samples stand for where that differs: of events other than time a share of samples is no share of events."""

from typing import Any

import numpy as np
import numpy.typing as npt

from hakprof import units

_LEAST_DIFFERENCE = 0.5  # between means of periods, which are whole numbers


def unequal_periods(event: str, counts: npt.NDArray[Any], periods: npt.NDArray[Any]) -> str | None:
    """A sentence for readers of shares of such an event; None where each sample stands for as much.

    ``counts`` and ``periods`` are sums over samples that agree in all else.
    """
    if not counts.size or np.ptp(periods / counts) < _LEAST_DIFFERENCE:
        return None
    return (
        f"the {units.count(int(counts.sum()))} samples of {event} stand for {units.count(int(periods.sum()))} events,"
        " and not each for as many: shares are of samples, not of events; record with a fixed period (-c 1), or see"
        " the periods in `hakprof layers --by`"
    )
