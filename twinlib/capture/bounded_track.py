"""A track of rows over a stream of any length, in constant memory."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

MAX_ROWS = 1 << 16
"""Rows from which pairs of neighbours become one: 55 minutes of windows of 50 ms keep their resolution."""

MergePairs = Callable[[Array], Array]
"""Merges pairs of neighbouring rows: `(pairs, 2, columns)` to `(pairs, columns)`. The merge must be associative."""


def merge_maxima(pairs: Array) -> Array:
    """Return the maxima of pairs of rows."""
    return np.asarray(pairs.max(axis=1))


class BoundedTrack:
    """Rows `(rows, columns)` of a stream, each of which stands for `rows_per_row` rows that were added."""

    def __init__(self, columns: int, merge: MergePairs, max_rows: int = MAX_ROWS) -> None:
        self.rows_per_row = 1
        self._merge, self._max_rows = merge, max_rows
        self._parts: list[Array] = []
        self._count = 0
        self._pending = np.zeros((0, columns))
        """Added rows that are not yet a whole row."""

    def add(self, rows: Array) -> None:
        """Add the next rows."""
        rows = np.concatenate((self._pending, rows))
        whole = len(rows) // self.rows_per_row * self.rows_per_row
        self._pending = rows[whole:]
        self._append(self._merged(rows[:whole], self.rows_per_row))
        while self._count > self._max_rows:
            joined = np.concatenate(self._parts)
            even = len(joined) // 2 * 2
            # Merging a row with itself does not change it.
            self._pending = np.concatenate((np.repeat(joined[even:], self.rows_per_row, axis=0), self._pending))
            self.rows_per_row *= 2
            self._parts, self._count = [], 0
            self._append(self._merged(joined[:even], 2))

    def rows(self) -> Array:
        """Return all rows; the last one may stand for fewer added rows."""
        rest = self._pending
        size = 1 << max(0, len(rest) - 1).bit_length()
        padded = np.concatenate((rest, np.repeat(rest[-1:], size - len(rest), axis=0))) if len(rest) else rest
        return np.concatenate((*self._parts, self._merged(padded, size) if len(rest) else rest))

    def _append(self, rows: Array) -> None:
        if len(rows):
            self._parts.append(rows)
            self._count += len(rows)

    def _merged(self, rows: Array, size: int) -> Array:
        """Merge each `size` rows, a power of two, into one."""
        while size > 1:
            rows, size = self._merge(rows.reshape(-1, 2, rows.shape[1])), size // 2
        return rows
