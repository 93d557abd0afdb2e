"""Ranges [start, stop): of a mask, and joined."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt


def runs(where: npt.NDArray[np.bool_]) -> list[tuple[int, int]]:
    """The runs of true values, in order."""
    padded = np.concatenate(([False], where, [False]))
    edges = np.flatnonzero(padded[1:] != padded[:-1]).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


def joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same places in order, what overlaps or touches being one range."""
    out: list[tuple[int, int]] = []
    for start, stop in sorted(ranges):
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(stop, out[-1][1]))
        else:
            out.append((start, stop))
    return out
