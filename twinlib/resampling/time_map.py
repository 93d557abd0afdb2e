"""The time map: the lag of every dry sample on the wet file, in pieces between dropouts."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Piece:
    """The lag in samples over dry samples [start, stop): knots of a natural cubic spline, or two of a line.

    wet index = dry index + lag, both in samples at the dry rate. Beyond its knots the curve is straight.
    """

    start: int
    stop: int
    positions: tuple[float, ...]
    lags: tuple[float, ...]


class TimeMap:
    """The lags of all pieces, in order. Positions between two pieces belong to the earlier one.

    The first and last piece extend to both sides.
    """

    def __init__(self, pieces: Sequence[Piece]) -> None:
        self.pieces = tuple(pieces)
        self._starts = np.array([piece.start for piece in pieces[1:]], np.int64)
        self._curves = [Curve(np.array(piece.positions), np.array(piece.lags)) for piece in pieces]

    @classmethod
    def straight(cls, lag: float, drift_ppm: float, start: int, stop: int) -> "TimeMap":
        """Return one piece over dry samples [start, stop) with `lag + drift_ppm * 1e-6 * position`."""
        knots = (float(start), float(max(stop, start + 1)))
        return cls([Piece(start, stop, knots, tuple(lag + drift_ppm * 1e-6 * knot for knot in knots))])

    def piece(self, position: float) -> int:
        """Return the number of the piece at a dry position."""
        return int(np.searchsorted(self._starts, position, side="right"))

    def lags(self, positions: Array) -> Array:
        """Return the lag in samples at each dry position, float64."""
        if len(self._curves) == 1:
            return self._curves[0](positions)
        numbers = np.searchsorted(self._starts, positions, side="right")
        out = np.empty(len(positions))
        for number in np.unique(numbers).tolist():
            here = numbers == number
            out[here] = self._curves[number](positions[here])
        return out

    def curve(self, number: int, positions: Array) -> Array:
        """Return the lags of piece `number`, also outside of it."""
        return self._curves[number](positions)

    def wet(self, position: float, number: int | None = None) -> float:
        """Return the wet index of a dry position by its piece, or by piece `number`."""
        number = self.piece(position) if number is None else number
        return position + float(self._curves[number](np.array([position]))[0])

    def dry(self, wet: float) -> float:
        """Return the dry position of a wet index; within a dropout, the end of the piece before it."""
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

    def inverse(self) -> "TimeMap":
        """Return the map from wet to dry positions; between the knots of a curve, it is approximate."""
        out = []
        for number, piece in enumerate(self.pieces):
            start, stop = (round(self.wet(end, number)) for end in (piece.start, piece.stop))
            knots = np.array(piece.positions)
            lags = self.curve(number, knots)
            out.append(Piece(start, stop, tuple((knots + lags).tolist()), tuple((-lags).tolist())))
        return TimeMap(out)

    def shifted(self, samples: float) -> "TimeMap":
        """Return the map with a constant added to every lag."""
        return TimeMap(
            [Piece(p.start, p.stop, p.positions, tuple(lag + samples for lag in p.lags)) for p in self.pieces]
        )


class Curve:
    """Interpolation of knots: a constant, a line, or a natural cubic spline with straight ends."""

    def __init__(self, positions: Array, values: Array) -> None:
        self._x, self._y, self._spline = positions, values, None
        if len(positions) > 2:
            from scipy.interpolate import CubicSpline  # Imported here: few takes need it, and it takes long.

            self._spline = CubicSpline(positions, values, bc_type="natural")
            self._end_slopes = self._spline(positions[[0, -1]], 1)

    def __call__(self, positions: Array) -> Array:
        """Return the value at each position."""
        x, y = self._x, self._y
        if len(x) == 1:
            return np.full(len(positions), y[0])
        if self._spline is None:
            return np.asarray(y[0] + (positions - x[0]) * ((y[1] - y[0]) / (x[1] - x[0])))
        inside = np.clip(positions, x[0], x[-1])
        first, last = self._end_slopes
        beyond = np.minimum(positions - x[0], 0.0) * first + np.maximum(positions - x[-1], 0.0) * last
        return np.asarray(self._spline(inside) + beyond)
