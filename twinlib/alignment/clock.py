"""What is known of both clocks: one drift, perhaps a slow curve about it, and a constant for every piece of a take."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from twinlib.alignment.bend import bend
from twinlib.alignment.breaks import Break
from twinlib.alignment.line import Array, Fit, Labels, PieceFit, fit_pieces, with_whole_steps
from twinlib.alignment.timemap import Curve, Piece, TimeMap


@dataclass(frozen=True)
class Clock:
    """Parallel lines with a common curve (knots: positions, samples) about them, and the losses between them.

    `curve_errors` are the standard errors of the curve's knots in samples.
    """

    fit: PieceFit
    curve: tuple[Array, Array] | None
    breaks: tuple[Break, ...]
    curve_errors: Array | None = None

    @classmethod
    def at_rest(cls) -> "Clock":
        """Lag 0 and no drift: of a capture that was refused."""
        return cls(PieceFit(np.zeros(1), 0.0, np.zeros(1), 0.0), None, ())

    def lags(self, positions: Array) -> Array:
        """The lag in samples at each dry position."""
        straight = self.fit.at(positions, self.labels(positions))
        return straight if self.curve is None else straight + Curve(*self.curve)(positions)

    def labels(self, positions: Array) -> Labels:
        """The number of the piece of each dry position."""
        return np.searchsorted([one.place for one in self.breaks], positions, side="right").astype(np.int64)

    def timemap(self, start: int, stop: int) -> TimeMap:
        """The lag at every dry position of [start, stop)."""
        pieces = []
        borders = [(start, start), *((one.place, one.last) for one in self.breaks), (stop, stop)]
        for number, ((_, low), (high, _)) in enumerate(pairwise(borders)):
            knots = np.array([float(start), float(max(stop, start + 1))])
            lags = self.fit.at(knots, np.full(2, number))
            if self.curve is not None:
                knots = self.curve[0]
                lags = self.fit.at(knots, np.full(len(knots), number)) + self.curve[1]
            pieces.append(Piece(low, max(high, low), tuple(knots.tolist()), tuple(lags.tolist())))
        return TimeMap(pieces)

    @property
    def lost(self) -> float:
        """The samples by which the lag changes from the first piece to the last, drift and curve apart."""
        return float(self.fit.lags[-1] - self.fit.lags[0])

    def whole(self, unit: float) -> bool:
        """Whether all that was lost is whole samples of a wet file, each `unit` samples long."""
        steps = np.diff(self.fit.lags) / unit
        return bool((np.abs(steps - np.round(steps)) < 1e-6).all())

    def shifted(self, samples: float) -> "Clock":
        """The clock with a constant added to all lags."""
        return replace(self, fit=replace(self.fit, lags=self.fit.lags + samples))

    def with_line(self, fit: Fit) -> "Clock":
        """The clock with another line in its first piece, and as many samples lost after it."""
        line = replace(self.fit, lags=fit.line.lag + self.fit.lags - self.fit.lags[0], drift_ppm=fit.line.drift_ppm)
        return replace(self, fit=replace(line, drift_error_ppm=fit.drift_error_ppm))

    @property
    def excluded(self) -> list[tuple[int, int]]:
        """The dry ranges in which the lag is not known."""
        return [(one.first, one.last) for one in self.breaks]


def fitted(
    positions: Array, lags: Array, weights: Array, breaks: Sequence[Break], curved: bool, unit: float = 1.0
) -> Clock:
    """The clock that explains the lags of the windows heard, with a curve if `curved` and if one pays.

    What was lost is whole samples of the wet file, each `unit` samples long, unless the windows deny it.
    """
    count = len(breaks) + 1
    labels = np.searchsorted([one.place for one in breaks], positions, side="right").astype(np.int64)
    fit = fit_pieces(positions, lags, weights, labels, count, [one.step for one in breaks])
    fit = (with_whole_steps(fit, positions, lags, weights, labels, unit) if not curved else None) or fit
    found = bend(positions, lags - fit.at(positions, labels), weights, labels) if curved else None
    if found is None:
        return Clock(fit, None, tuple(breaks))
    # A piece without windows has the lag of the one before it.
    before = np.maximum(np.searchsorted(np.unique(labels), np.arange(count), side="right") - 1, 0)
    fit = replace(fit, lags=fit.lags + found.constants[before])
    return Clock(fit, found.knots, tuple(breaks), found.errors)
