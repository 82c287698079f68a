"""Distinct rows of several columns, with numpy alone. Ground floor: everybody may import it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]


def grouped(columns: Sequence[npt.NDArray[Any]]) -> tuple[Indices, Indices]:
    """Numbers the distinct rows of some columns, ascending: the number of each row, and a row for each number."""
    order = np.lexsort(tuple(reversed(columns)))
    differs = np.ones(order.size, dtype=np.bool_)
    if order.size:
        differs[1:] = False
        for column in columns:
            ordered = column[order]
            differs[1:] |= ordered[1:] != ordered[:-1]
    group = np.empty(order.size, dtype=np.int64)
    group[order] = np.cumsum(differs) - 1
    return group, order[differs]
