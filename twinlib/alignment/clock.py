"""The clock model of a capture: one drift, a constant lag for each piece between dropouts, and an optional curve."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from twinlib.alignment.drift_curve import fit_drift_curve
from twinlib.alignment.lag_track import LAG_FLOOR, LagTrack, WindowPlan
from twinlib.resampling import Channel, Curve, Labels, Piece, TimeMap

Array = npt.NDArray[np.float64]

MAX_STEP_SIGMAS = 5.0
"""Standard errors by which the pieces may deviate from whole-sample steps."""


@dataclass(frozen=True)
class LagStep:
    """A step of the lag by `samples`, most likely at dry sample `position`: lost (-) or repeated (+) samples.

    The piece before it is valid up to `first` and the piece after it from `last`. In between, the lag is unknown.
    """

    position: int
    first: int
    last: int
    samples: float = 0.0

    def overlaps(self, other: "LagStep") -> bool:
        """Whether the two uncertain ranges overlap."""
        return self.first < other.last and other.first < self.last


@dataclass(frozen=True)
class Line:
    """wet index = lag + (1 + drift_ppm * 1e-6) * dry index, in samples; + = wet late, wet longer."""

    lag: float
    drift_ppm: float

    def at(self, position: float) -> float:
        """Return the lag in samples at a dry position."""
        return self.lag + self.drift_ppm * 1e-6 * position

    def wet(self, position: float) -> float:
        """Return the wet index of a dry position."""
        return position + self.at(position)


@dataclass(frozen=True)
class LineFit:
    """A fitted line and the standard error of its drift in ppm."""

    line: Line
    drift_error_ppm: float


@dataclass(frozen=True)
class PieceFit:
    """Parallel lines: one drift, because clocks continue during a dropout, and the lag of each piece at dry sample 0.

    `lag_errors` are the standard errors of the lags in samples, `drift_error_ppm` that of the drift.
    """

    lags: Array
    drift_ppm: float
    lag_errors: Array
    drift_error_ppm: float

    def at(self, positions: Array, labels: Labels) -> Array:
        """Return the lag in samples at each position, by the line of the piece with that number."""
        return np.asarray(self.lags[labels] + self.drift_ppm * 1e-6 * positions)


def theil_sen(positions: Array, lags: Array, max_points: int = 400) -> Line:
    """Fit a line with the median of all pairwise slopes (Sen 1968), of at most `max_points` evenly chosen points."""
    slope = _median_slope(positions, lags, np.zeros(len(positions), np.int64), max_points)
    return Line(float(np.median(lags - slope * positions)), slope * 1e6)


def _median_slope(positions: Array, lags: Array, labels: Labels, max_points: int = 400) -> float:
    # Unlike in `scipy.stats.theilslopes`, both points of a pair must be in the same piece.
    chosen = np.unique(np.linspace(0, len(positions) - 1, min(max_points, len(positions))).round().astype(int))
    x, y, piece = positions[chosen], lags[chosen], labels[chosen]
    i, j = np.triu_indices(len(x), 1)
    valid = (np.abs(x[j] - x[i]) > 0) & (piece[i] == piece[j])
    slopes = (y[j] - y[i])[valid] / (x[j] - x[i])[valid]
    return float(np.median(slopes)) if len(slopes) else 0.0


def fit_line(positions: Array, lags: Array, weights: Array) -> LineFit:
    """Fit a weighted line by Tukey's biweight, starting from Theil-Sen.

    `positions` and `lags` are in samples, `weights` are inverse variances. Needs two windows or more.
    """
    found = fit_pieces(positions, lags, weights, np.zeros(len(positions), np.int64), 1)
    return LineFit(Line(float(found.lags[0]), found.drift_ppm), found.drift_error_ppm)


def fit_pieces(
    positions: Array, lags: Array, weights: Array, labels: Labels, count: int, steps: Sequence[float] | None = None
) -> PieceFit:
    """Fit parallel lines to `count` pieces, as robustly as `fit_line`; `labels` are the windows' piece numbers from 0.

    A piece without windows gets the lag of the previous piece (the first pieces: of the next) plus the `steps` in
    samples between them, with an infinite standard error.
    """
    slope = _median_slope(positions, lags, labels)
    level = lags - slope * positions
    constants = np.full(count, float(np.median(level)))
    present = np.unique(labels)
    for number in present.tolist():
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
        # Pieces with one window, or with rejected windows only, do not determine the drift.
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
    nearest = present[np.maximum(np.searchsorted(present, np.arange(count), side="right") - 1, 0)]
    offsets = np.concatenate(([0.0], np.cumsum(steps if steps is not None else np.zeros(count - 1))))
    constants = constants[nearest] + offsets - offsets[nearest]
    return PieceFit(constants, slope * 1e6, constant_errors, error * 1e6)


def with_integer_steps(
    fit: PieceFit, positions: Array, lags: Array, weights: Array, labels: Labels, sample_period: float
) -> PieceFit | None:
    """Refit all pieces as one line with steps of whole wet samples; None if the windows contradict that.

    An interface loses whole samples of `sample_period` dry samples each. One constant instead of one for each piece
    gives a far more precise drift. The windows contradict it if separate constants fit much better.
    """
    count = len(fit.lags)
    if count < 2:
        return None
    whole = np.concatenate(([0.0], np.cumsum(np.round(np.diff(fit.lags) / sample_period) * sample_period)))
    line = fit_pieces(positions, lags - whole[labels], weights, np.zeros(len(positions), np.int64), 1)
    joint, separate = lags - whole[labels] - line.at(positions, np.zeros_like(labels)), lags - fit.at(positions, labels)
    # Clip outliers equally in both.
    limit = 6.0 * 1.4826 * float(np.median(np.abs(separate))) + LAG_FLOOR
    squares = [float(np.square(np.clip(left, -limit, limit)).mean()) + LAG_FLOOR**2 for left in (joint, separate)]
    # Windows overlap by half and share programme: count four as one independent sample.
    if 0.25 * len(lags) * np.log(squares[0] / squares[1]) > MAX_STEP_SIGMAS**2:
        return None
    return replace(line, lags=line.lags[0] + whole, lag_errors=np.full(count, line.lag_errors[0]))


@dataclass(frozen=True)
class ClockModel:
    """Parallel lines, a common curve about them (knots: positions, samples; or None), and the steps between the lines.

    `curve_errors` are the standard errors of the curve's knots in samples.
    """

    fit: PieceFit
    curve: tuple[Array, Array] | None
    steps: tuple[LagStep, ...]
    curve_errors: Array | None = None

    @classmethod
    def identity(cls) -> "ClockModel":
        """Return lag 0 without drift, the model of a refused capture."""
        return cls(PieceFit(np.zeros(1), 0.0, np.zeros(1), 0.0), None, ())

    def lags(self, positions: Array) -> Array:
        """Return the lag in samples at each dry position."""
        straight = self.fit.at(positions, self.labels(positions))
        return straight if self.curve is None else straight + Curve(*self.curve)(positions)

    def labels(self, positions: Array) -> Labels:
        """Return the piece number of each dry position."""
        return _labels(positions, self.steps)

    def time_map(self, start: int, stop: int) -> TimeMap:
        """Return the lag at every dry position of [start, stop)."""
        pieces = []
        borders = [(start, start), *((step.position, step.last) for step in self.steps), (stop, stop)]
        for number, ((_, low), (high, _)) in enumerate(pairwise(borders)):
            knots = np.array([float(start), float(max(stop, start + 1))])
            lags = self.fit.at(knots, np.full(2, number))
            if self.curve is not None:
                knots = self.curve[0]
                lags = self.fit.at(knots, np.full(len(knots), number)) + self.curve[1]
            pieces.append(Piece(low, max(high, low), tuple(knots.tolist()), tuple(lags.tolist())))
        return TimeMap(pieces)

    @property
    def total_step(self) -> float:
        """The sum of all steps in samples."""
        return float(self.fit.lags[-1] - self.fit.lags[0])

    def has_integer_steps(self, sample_period: float) -> bool:
        """Return whether all steps are whole wet samples of `sample_period` dry samples each."""
        steps = np.diff(self.fit.lags) / sample_period
        return bool((np.abs(steps - np.round(steps)) < 1e-6).all())

    def offset_by(self, samples: float) -> "ClockModel":
        """Return the clock with a constant added to all lags."""
        return replace(self, fit=replace(self.fit, lags=self.fit.lags + samples))

    def with_line(self, fit: LineFit) -> "ClockModel":
        """Return the clock with another line in its first piece and the same steps."""
        line = replace(self.fit, lags=fit.line.lag + self.fit.lags - self.fit.lags[0], drift_ppm=fit.line.drift_ppm)
        return replace(self, fit=replace(line, drift_error_ppm=fit.drift_error_ppm))

    @property
    def excluded(self) -> list[tuple[int, int]]:
        """The dry ranges in which the lag is unknown."""
        return [(step.first, step.last) for step in self.steps]


def _labels(positions: Array, steps: Sequence[LagStep]) -> Labels:
    return np.searchsorted([step.position for step in steps], positions, side="right").astype(np.int64)


def fit_clock(
    positions: Array, lags: Array, weights: Array, steps: Sequence[LagStep], curved: bool, sample_period: float = 1.0
) -> ClockModel:
    """Fit the clock to the lags of the windows; if `curved`, with a curve where that lowers the information criterion.

    Steps are whole wet samples of `sample_period` dry samples each, unless the windows contradict that.
    """
    count = len(steps) + 1
    labels = _labels(positions, steps)
    fit = fit_pieces(positions, lags, weights, labels, count, [step.samples for step in steps])
    whole = None if curved else with_integer_steps(fit, positions, lags, weights, labels, sample_period)
    fit = whole or fit
    found = fit_drift_curve(positions, lags - fit.at(positions, labels), weights, labels) if curved else None
    if found is None:
        return ClockModel(fit, None, tuple(steps))
    # A piece without windows has the lag of the previous piece.
    before = np.maximum(np.searchsorted(np.unique(labels), np.arange(count), side="right") - 1, 0)
    fit = replace(fit, lags=fit.lags + found.constants[before])
    return ClockModel(fit, found.knots, tuple(steps), found.errors)


def wet_sample_period(wet: Channel) -> float:
    """Return the period of the wet file's own samples, in samples at the dry rate."""
    return wet.rate / wet.reader.info.sample_rate


@dataclass(frozen=True)
class LagFit:
    """The fitted clock, the lag track measured against it, the gain and polarity of the device, and the windows.

    `flutter` is the rms in samples of the lag's fluctuation within seconds about the clock. `pooled` marks a constant
    lag that the clicks, or the correlation pooled over all windows, confirm whatever single windows show.
    """

    clock: ClockModel
    track: LagTrack
    gain_db: float
    polarity: int
    windows: WindowPlan
    flutter: float = 0.0
    pooled: bool = False

    def lags(self) -> tuple[Array, Array, Array]:
        """Return dry position, lag in samples and weight of the windows detected with the right polarity."""
        valid = self.track.detected & (self.track.sign > 0)
        position = self.track.position[valid]
        return position, self.clock.lags(position) + self.track.residual[valid], self.track.weight[valid]

    def with_steps(self, steps: Sequence[LagStep], sample_period: float) -> "LagFit":
        """Refit a clock without a curve with other steps to the same windows, without those that may contain a step."""
        half = self.windows.size / 2.0
        clear = np.ones(len(self.track.position), np.bool_)
        for step in steps:
            clear &= (self.track.position + half <= step.first) | (self.track.position - half >= step.last)
        track = LagTrack(*(getattr(self.track, name)[clear] for name in LagTrack.__dataclass_fields__))
        position, lag, weight = replace(self, track=track).lags()
        if len(position) < 2:
            return self
        clock = fit_clock(position, lag, weight, steps, False, sample_period)
        residual = self.clock.lags(track.position) + track.residual - clock.lags(track.position)
        residual = np.where(track.detected, residual, 0.0)
        return replace(self, clock=clock, track=replace(track, residual=residual))
