"""Half-open ranges [start, stop) of samples: runs of a mask, union, difference, overlap queries."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

Range = tuple[int, int]


def overlap(one: Range, other: Range) -> bool:
    """Return whether two ranges share a sample."""
    return one[0] < other[1] and other[0] < one[1]


def contains(one: Range, other: Range) -> bool:
    """Return whether a range holds all samples of another."""
    return one[0] <= other[0] and other[1] <= one[1]


def find_runs(mask: npt.NDArray[np.bool_]) -> list[Range]:
    """Return the runs of true values, in order."""
    padded = np.concatenate(([False], mask, [False]))
    edges = np.flatnonzero(padded[1:] != padded[:-1]).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def merge_ranges(ranges: Iterable[Range]) -> list[Range]:
    """Return the union of some ranges in order; overlapping and adjacent ranges become one."""
    out: list[Range] = []
    for start, stop in sorted(ranges):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(stop, out[-1][1]))
        else:
            out.append((start, stop))
    return out


def subtract_ranges(start: int, stop: int, holes: Iterable[Range]) -> Iterator[Range]:
    """Yield the parts of [start, stop) outside the `holes`, which must be sorted."""
    for first, last in holes:
        if start < min(first, stop):
            yield start, min(first, stop)
        start = max(start, last)
    if start < stop:
        yield start, stop


class RangeIndex:
    """Ranges in any order, overlaps allowed, for overlap queries."""

    def __init__(self, ranges: Iterable[Range]) -> None:
        ordered = sorted(enumerate(ranges), key=lambda item: item[1])
        self._index = [index for index, _ in ordered]
        self._starts = np.array([start for _, (start, _) in ordered], dtype=np.int64)
        self._stops = np.array([stop for _, (_, stop) in ordered], dtype=np.int64)
        self._reach = np.maximum.accumulate(self._stops)

    def overlapping(self, start: int, stop: int) -> list[int]:
        """Return the input positions of the ranges that share a sample with [start, stop), sorted by range start."""
        low = int(np.searchsorted(self._reach, start, side="right"))
        high = int(np.searchsorted(self._starts, stop, side="left"))
        return [self._index[k] for k in range(low, high) if self._stops[k] > start]

    def free_from(self, position: int) -> int:
        """Return the smallest p <= position for which no range holds a sample of [p, position)."""
        before = int(np.searchsorted(self._starts, position, side="left"))
        return min(int(self._reach[before - 1]), position) if before else 0
