"""Where each dry sample lies on the wet file: a lag for every dry position, in pieces between losses of samples."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]


Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Piece:
    """The lag in samples over dry samples [start, stop): knots of a natural cubic spline, two of them being a line.

    wet index = dry index + lag, both in samples at the dry rate. Beyond its knots the curve goes on straight.
    """

    start: int
    stop: int
    positions: tuple[float, ...]
    lags: tuple[float, ...]


class TimeMap:
    """The lags of all pieces, in order; what lies between two pieces is heard by the one before it.

    Before the first and after the last piece its neighbour goes on.
    """

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = tuple(pieces)
        self._starts = np.array([piece.start for piece in pieces[1:]], np.int64)
        self._curves = [Curve(np.array(piece.positions), np.array(piece.lags)) for piece in pieces]

    @classmethod
    def straight(cls, lag: float, drift_ppm: float, start: int, stop: int) -> "TimeMap":
        """One piece over dry samples [start, stop) along `lag + drift_ppm * 1e-6 * position`."""
        knots = (float(start), float(max(stop, start + 1)))
        return cls([Piece(start, stop, knots, tuple(lag + drift_ppm * 1e-6 * knot for knot in knots))])

    def piece(self, position: float) -> int:
        """The number of the piece that a dry position belongs to."""
        return int(np.searchsorted(self._starts, position, side="right"))

    def lags(self, positions: Array) -> Array:
        """The lag in samples at each dry position, float64."""
        if len(self._curves) == 1:
            return self._curves[0](positions)
        numbers = np.searchsorted(self._starts, positions, side="right")
        out = np.empty(len(positions))
        for number in np.unique(numbers).tolist():
            here = numbers == number
            out[here] = self._curves[number](positions[here])
        return out

    def curve(self, number: int, positions: Array) -> Array:
        """The lags that piece `number` alone would give, also outside of it."""
        return self._curves[number](positions)

    def wet(self, position: float, number: int | None = None) -> float:
        """The wet index of a dry position, by the piece it belongs to or the one named."""
        number = self.piece(position) if number is None else number
        return position + float(self._curves[number](np.array([position]))[0])

    def dry(self, wet: float) -> float:
        """The dry position of a wet index; within a loss, where the piece before it ends."""
        number = 0
        for piece, after in pairwise(self.pieces):
            if wet < self.wet(piece.stop, number):
                break
            if wet < self.wet(after.start, number + 1):
                return float(piece.stop)
            number += 1
        position = wet
        for _ in range(50):
            before, position = position, wet - float(self._curves[number](np.array([position]))[0])
            if abs(position - before) < 1e-7:
                break
        return max(position, float(self.pieces[number].start)) if number else position

    def shifted(self, samples: float) -> "TimeMap":
        """The map with a constant added to every lag."""
        return TimeMap(
            [Piece(p.start, p.stop, p.positions, tuple(lag + samples for lag in p.lags)) for p in self.pieces]
        )


class Curve:
    """Values at any position from knots: a constant, a line, or a natural cubic spline with straight ends."""

    def __init__(self, positions: Array, values: Array) -> None:
        self._x, self._y, self._spline = positions, values, None
        if len(positions) > 2:
            # Most clocks are lines, and the import takes longer than to align a minute.
            from scipy.interpolate import CubicSpline

            self._spline = CubicSpline(positions, values, bc_type="natural")

    def __call__(self, positions: Array) -> Array:
        """The value at each position."""
        x, y = self._x, self._y
        if len(x) == 1:
            return np.full(len(positions), y[0])
        if self._spline is None:
            return np.asarray(y[0] + (positions - x[0]) * ((y[1] - y[0]) / (x[1] - x[0])))
        inside = np.clip(positions, x[0], x[-1])
        slopes = self._spline(np.array([x[0], x[-1]]), 1)
        beyond = np.minimum(positions - x[0], 0.0) * slopes[0] + np.maximum(positions - x[-1], 0.0) * slopes[1]
        return np.asarray(self._spline(inside) + beyond)
