"""What is known of a capture's clock, and by which windows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from twinlib.alignment.drift_curve import fit_drift_curve
from twinlib.alignment.lag_track import LAG_FLOOR, LagTrack, Response, WindowPlan
from twinlib.alignment.time_map import Curve, Labels, Piece, TimeMap


@dataclass(frozen=True)
class LagStep:
    """A loss on the dry clock: the piece before it is right until `first`, the one after it from `last` on.

    `place` is where the loss most likely is; between the two lies what cannot be told, and what was lost. The lag is
    seen to change by `step` samples.
    """

    place: int
    first: int
    last: int
    step: float = 0.0


Array = npt.NDArray[np.float64]

MAX_STEP_SIGMAS = 5.0
"""Standard errors by which pieces may lie off where whole samples say they should."""


@dataclass(frozen=True)
class Line:
    """wet index = lag + (1 + drift_ppm * 1e-6) * dry index, in samples; + = wet late, wet longer."""

    lag: float
    drift_ppm: float

    def at(self, position: float) -> float:
        """The lag in samples at a position on the dry clock."""
        return self.lag + self.drift_ppm * 1e-6 * position

    def wet(self, position: float) -> float:
        """The wet index that belongs to a dry index."""
        return position + self.at(position)


@dataclass(frozen=True)
class LineFit:
    """A fitted line and the standard error of its drift in ppm."""

    line: Line
    drift_error_ppm: float


@dataclass(frozen=True)
class PieceFit:
    """Parallel lines: one drift, for the clocks go on whatever is lost, and the lag at 0 of every piece.

    `lag_errors` are their standard errors in samples, `drift_error_ppm` that of the drift.
    """

    lags: Array
    drift_ppm: float
    lag_errors: Array
    drift_error_ppm: float

    def at(self, positions: Array, labels: Labels) -> Array:
        """The lag in samples at each position, in the piece of that number."""
        return np.asarray(self.lags[labels] + self.drift_ppm * 1e-6 * positions)


def theil_sen(positions: Array, lags: Array, most: int = 400) -> Line:
    """The line through the median of all pairwise slopes (Sen 1968); of `most` evenly chosen points at most."""
    slope = _median_slope(positions, lags, np.zeros(len(positions), np.int64), most)
    return Line(float(np.median(lags - slope * positions)), slope * 1e6)


def _median_slope(positions: Array, lags: Array, labels: Labels, most: int = 400) -> float:
    chosen = np.unique(np.linspace(0, len(positions) - 1, min(most, len(positions))).round().astype(int))
    x, y, piece = positions[chosen], lags[chosen], labels[chosen]
    i, j = np.triu_indices(len(x), 1)
    apart = (np.abs(x[j] - x[i]) > 0) & (piece[i] == piece[j])
    slopes = (y[j] - y[i])[apart] / (x[j] - x[i])[apart]
    return float(np.median(slopes)) if len(slopes) else 0.0


def fit_line(positions: Array, lags: Array, weights: Array) -> LineFit:
    """A weighted line that outliers do not bend: Tukey's biweight, started from Theil-Sen.

    `positions` in samples, `lags` in samples, `weights` inverse variances. Two windows are the least.
    """
    found = fit_pieces(positions, lags, weights, np.zeros(len(positions), np.int64), 1)
    return LineFit(Line(float(found.lags[0]), found.drift_ppm), found.drift_error_ppm)


def fit_pieces(
    positions: Array, lags: Array, weights: Array, labels: Labels, count: int, steps: Sequence[float] | None = None
) -> PieceFit:
    """Parallel lines through the windows of each piece, as robust as `fit_line`; `labels` number them from 0.

    A piece without windows lies where the one before it (the first ones: behind it) does, and as many samples farther
    as the `steps` between one piece and the next say, with an infinite error.
    """
    slope = _median_slope(positions, lags, labels)
    level = lags - slope * positions
    constants = np.full(count, float(np.median(level)))
    told = np.unique(labels)
    for number in told.tolist():
        constants[number] = np.median(level[labels == number])
    error, constant_errors = np.inf, np.full(count, np.inf)
    for _ in range(20):
        residuals = lags - (constants[labels] + slope * positions)
        scale = max(1.4826 * float(np.median(np.abs(residuals))), 1e-5)
        w = weights * np.clip(1.0 - (residuals / (6.0 * scale)) ** 2, 0.0, None) ** 2
        total = np.maximum(np.bincount(labels, w, count), 1e-30)
        middle = np.bincount(labels, w * positions, count) / total
        height = np.bincount(labels, w * lags, count) / total
        x, y = positions - middle[labels], lags - height[labels]
        inertia = float((w * x * x).sum())
        # A piece of one window, or none that is trusted, tells no drift.
        if inertia <= 1e-12 or float(w.sum()) <= 1e-12:
            break
        before = slope, constants
        slope = float((w * x * y).sum()) / inertia
        constants = np.where(total > 1e-30, height - slope * middle, constants)
        left = lags - (constants[labels] + slope * positions)
        variance = float((w * left * left).sum()) / max(len(lags) - count - 1, 1) * len(lags) / float(w.sum())
        mean_weight = float(w.sum()) / len(lags)
        error = float(np.sqrt(variance * mean_weight / inertia))
        constant_errors = np.sqrt(variance * mean_weight / total + (error * middle) ** 2)
        constant_errors = np.where(total > 1e-30, constant_errors, np.inf)
        if abs(before[0] - slope) < 1e-15 and float(np.abs(before[1] - constants).max()) < 1e-9:
            break
    nearest = told[np.maximum(np.searchsorted(told, np.arange(count), side="right") - 1, 0)]
    farther = np.concatenate(([0.0], np.cumsum(steps if steps is not None else np.zeros(count - 1))))
    constants = constants[nearest] + farther - farther[nearest]
    return PieceFit(constants, slope * 1e6, constant_errors, error * 1e6)


def with_integer_steps(
    fit: PieceFit, positions: Array, lags: Array, weights: Array, labels: Labels, unit: float
) -> PieceFit | None:
    """One line through all pieces, `unit` times whole numbers of samples between them; None where windows deny it.

    An interface loses whole samples of its own, so that a piece needs no constant of its own, which would cost most of
    what is known of the drift. They deny it if pieces with constants of their own leave far less of them.
    """
    count = len(fit.lags)
    if count < 2:
        return None
    whole = np.concatenate(([0.0], np.cumsum(np.round(np.diff(fit.lags) / unit) * unit)))
    line = fit_pieces(positions, lags - whole[labels], weights, np.zeros(len(positions), np.int64), 1)
    one, own = lags - whole[labels] - line.at(positions, np.zeros_like(labels)), lags - fit.at(positions, labels)
    # What windows are mistaken in counts for neither.
    most = 6.0 * 1.4826 * float(np.median(np.abs(own))) + LAG_FLOOR
    squares = [float(np.square(np.clip(left, -most, most)).mean()) + LAG_FLOOR**2 for left in (one, own)]
    # Windows overlap by half and hold programme alike: of four, one is another witness.
    if 0.25 * len(lags) * np.log(squares[0] / squares[1]) > MAX_STEP_SIGMAS**2:
        return None
    return replace(line, lags=line.lags[0] + whole, lag_errors=np.full(count, line.lag_errors[0]))


@dataclass(frozen=True)
class ClockModel:
    """Parallel lines with a common curve (knots: positions, samples) about them, and the losses between them.

    `curve_errors` are the standard errors of the curve's knots in samples.
    """

    fit: PieceFit
    curve: tuple[Array, Array] | None
    steps: tuple[LagStep, ...]
    curve_errors: Array | None = None

    @classmethod
    def identity(cls) -> "ClockModel":
        """Lag 0 and no drift: of a capture that was refused."""
        return cls(PieceFit(np.zeros(1), 0.0, np.zeros(1), 0.0), None, ())

    def lags(self, positions: Array) -> Array:
        """The lag in samples at each dry position."""
        straight = self.fit.at(positions, self.labels(positions))
        return straight if self.curve is None else straight + Curve(*self.curve)(positions)

    def labels(self, positions: Array) -> Labels:
        """The number of the piece of each dry position."""
        return np.searchsorted([one.place for one in self.steps], positions, side="right").astype(np.int64)

    def time_map(self, start: int, stop: int) -> TimeMap:
        """The lag at every dry position of [start, stop)."""
        pieces = []
        borders = [(start, start), *((one.place, one.last) for one in self.steps), (stop, stop)]
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

    def has_integer_steps(self, unit: float) -> bool:
        """Whether all that was lost is whole samples of a wet file, each `unit` samples long."""
        steps = np.diff(self.fit.lags) / unit
        return bool((np.abs(steps - np.round(steps)) < 1e-6).all())

    def shifted(self, samples: float) -> "ClockModel":
        """The clock with a constant added to all lags."""
        return replace(self, fit=replace(self.fit, lags=self.fit.lags + samples))

    def with_line(self, fit: LineFit) -> "ClockModel":
        """The clock with another line in its first piece, and as many samples lost after it."""
        line = replace(self.fit, lags=fit.line.lag + self.fit.lags - self.fit.lags[0], drift_ppm=fit.line.drift_ppm)
        return replace(self, fit=replace(line, drift_error_ppm=fit.drift_error_ppm))

    @property
    def excluded(self) -> list[tuple[int, int]]:
        """The dry ranges in which the lag is not known."""
        return [(one.first, one.last) for one in self.steps]


def fit_clock(
    positions: Array, lags: Array, weights: Array, breaks: Sequence[LagStep], curved: bool, unit: float = 1.0
) -> ClockModel:
    """The clock that explains the lags of the windows heard, with a curve if `curved` and if one pays.

    What was lost is whole samples of the wet file, each `unit` samples long, unless the windows deny it.
    """
    count = len(breaks) + 1
    labels = np.searchsorted([one.place for one in breaks], positions, side="right").astype(np.int64)
    fit = fit_pieces(positions, lags, weights, labels, count, [one.step for one in breaks])
    fit = (with_integer_steps(fit, positions, lags, weights, labels, unit) if not curved else None) or fit
    found = fit_drift_curve(positions, lags - fit.at(positions, labels), weights, labels) if curved else None
    if found is None:
        return ClockModel(fit, None, tuple(breaks))
    # A piece without windows has the lag of the one before it.
    before = np.maximum(np.searchsorted(np.unique(labels), np.arange(count), side="right") - 1, 0)
    fit = replace(fit, lags=fit.lags + found.constants[before])
    return ClockModel(fit, found.knots, tuple(breaks), found.errors)


@dataclass(frozen=True)
class LagFit:
    """The clock, the windows measured against it, gain and polarity of the device, and what windows they were.

    `response` is what the windows told of the device in the end, if the clock does not wander; `flutter` is the rms in
    samples by which the clocks swing within seconds about what is known of them.
    """

    clock: ClockModel
    track: LagTrack
    gain_db: float
    polarity: int
    windows: WindowPlan
    response: Response | None = None
    flutter: float = 0.0

    def lags(self) -> tuple[Array, Array, Array]:
        """Position on the dry clock, lag in samples and weight of the windows heard."""
        heard = self.track.detected & (self.track.sign > 0)
        position = self.track.position[heard]
        return position, self.clock.lags(position) + self.track.residual[heard], self.track.weight[heard]
