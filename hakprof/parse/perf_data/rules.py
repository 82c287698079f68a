"""The rules for frames that a recording has met, as columns that all samples are looked up in at once."""

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from hakprof.parse.perf_data.frames import RBP, RETURN_ADDRESS, CallFrames, FrameRow, Kind
from hakprof.parse.perf_data.spaces import Mapping
from hakprof.parse.perf_data.walk import Indices, Words

# What functions must preserve and frames therefore save, and the return address, which must be last.
SAVED = [3, RBP, 12, 13, 14, 15, RETURN_ADDRESS]
KEPT = np.iinfo(np.int64).min
_OFFSET_BITS = 44
_LARGEST_OFFSET = 1 << 40


class RowKind(IntEnum):
    """How a row of the table is carried out."""

    UNKNOWN = 0
    OFFSETS = 1
    LAST = 2
    OTHER = 3


class RuleTable:
    """Rules by mapping and address; row 0 stands for code without rules. Grows with the functions that are met."""

    def __init__(self, mappings: Sequence[Mapping], frames: CallFrames | None) -> None:
        self._frames = frames
        numbers: dict[tuple[str, str | None], int] = {}
        self._object = np.array(
            [*(numbers.setdefault((m.path, m.build_id), len(numbers)) for m in mappings), -1], dtype=np.int64
        )
        self._objects = tuple(numbers)
        self._shift = np.array([*((m.file_offset - m.start) % 2**64 for m in mappings), 0], dtype=np.uint64)
        self._rows: list[FrameRow | None] = [None]
        self._starts, self._ends = np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.uint64)
        self._row_at = np.zeros(0, dtype=np.int64)
        self.kind = np.zeros(1, dtype=np.uint8)
        self.cfa_register = np.zeros(1, dtype=np.int64)
        self.cfa_offset = np.zeros(1, dtype=np.uint64)
        self.saved = np.full((1, len(SAVED)), KEPT, dtype=np.int64)
        self.is_signal = np.zeros(1, dtype=np.bool_)

    def row(self, index: int) -> FrameRow:
        """The rules of a row as they were given."""
        found = self._rows[index]
        if found is None:
            raise IndexError(f"row {index} has no rules")
        return found

    def find(self, mapping: npt.NDArray[np.int32], address: Words) -> Indices:
        """The row of each address in its mapping (-1: none)."""
        offset = address + self._shift[mapping]
        placed = (mapping >= 0) & (offset >> np.uint64(_OFFSET_BITS) == 0)
        if self._frames is None or not placed.any():
            return np.zeros(address.size, dtype=np.int64)
        key = (self._object[mapping].astype(np.uint64) << np.uint64(_OFFSET_BITS)) | offset
        slot, known = self._search(key)
        missing = placed & ~known
        if missing.any():
            keys = np.unique(key[missing])
            self._learn(self._frames, keys)
            hidden = keys[~self._search(keys)[1]]
            # Functions that overlap, which only damaged files have, hide each other.
            self._add(hidden.tolist(), (hidden + np.uint64(1)).tolist(), [0] * hidden.size)
            slot, known = self._search(key)
        found: Indices = np.where(placed & known, self._row_at[slot], 0)
        return found

    def _search(self, key: Words) -> tuple[Indices, npt.NDArray[np.bool_]]:
        if not self._starts.size:
            return np.zeros(key.size, dtype=np.int64), np.zeros(key.size, dtype=np.bool_)
        slot = np.searchsorted(self._starts, key, side="right") - 1
        return slot, (slot >= 0) & (key < self._ends[slot])

    def _learn(self, frames: CallFrames, keys: Words) -> None:
        """Asks for the rules at the keys, ascending."""
        spans: list[tuple[int, int, int]] = []
        for key in keys.tolist():
            if spans and key < spans[-1][1]:
                continue
            offset = key & ((1 << _OFFSET_BITS) - 1)
            base = key - offset
            path, build_id = self._objects[key >> _OFFSET_BITS]
            row = frames.row(path, build_id, offset)
            if row is None or not 0 <= row.start <= offset < row.end < 1 << _OFFSET_BITS:
                spans.append((key, key + 1, 0))
            else:
                spans.append((base + row.start, base + row.end, len(self._rows)))
                self._rows.append(row)
        starts, ends, rows = ([span[at] for span in spans] for at in range(3))
        self._add(starts, ends, rows)

    def _add(self, starts: list[int], ends: list[int], rows: list[int]) -> None:
        first = self.kind.size
        new = [row for row in self._rows[first:] if row is not None]
        columns = [_columns(row) for row in new]
        if columns:
            self.kind = np.append(self.kind, np.array([c[0] for c in columns], dtype=np.uint8))
            self.cfa_register = np.append(self.cfa_register, np.array([c[1] for c in columns], dtype=np.int64))
            self.cfa_offset = np.append(self.cfa_offset, np.array([c[2] % 2**64 for c in columns], dtype=np.uint64))
            self.saved = np.concatenate((self.saved, np.array([c[3] for c in columns], dtype=np.int64)))
            self.is_signal = np.append(self.is_signal, np.array([row.is_signal for row in new], dtype=np.bool_))
        all_starts = np.append(self._starts, np.array(starts, dtype=np.uint64))
        order = np.argsort(all_starts, kind="stable")
        self._starts = all_starts[order]
        self._ends = np.append(self._ends, np.array(ends, dtype=np.uint64))[order]
        self._row_at = np.append(self._row_at, np.array(rows, dtype=np.int64))[order]


def _columns(row: FrameRow) -> tuple[RowKind, int, int, list[int]]:
    """Kind, CFA register and offset, and where each of SAVED stands from the CFA."""
    saved = [KEPT] * len(SAVED)
    rule = row.rules.get(RETURN_ADDRESS)
    if rule is not None and rule.kind is Kind.UNDEFINED:
        return RowKind.LAST, 0, 0, saved
    other = RowKind.OTHER, 0, 0, saved
    if row.cfa_expression is not None or rule is None or abs(row.cfa_offset) > _LARGEST_OFFSET:
        return other
    for register, each in row.rules.items():
        if register not in SAVED:
            if register < RETURN_ADDRESS:
                return other
        elif each.kind is Kind.SAVED_AT and abs(each.offset) < _LARGEST_OFFSET:
            saved[SAVED.index(register)] = each.offset
        else:
            return other
    return RowKind.OFFSETS, row.cfa_register, row.cfa_offset, saved
