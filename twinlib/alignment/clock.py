"""The clock model of a capture: one drift, a constant lag for each piece between dropouts, and an optional curve."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from twinlib.alignment.lag_track import LAG_FLOOR, LagTrack, WindowPlan
from twinlib.estimation import LineFit, PieceFit, fit_pieces, fit_smoothing_spline, with_integer_steps
from twinlib.resampling import Channel, Curve, Labels, Piece, TimeMap

Array = npt.NDArray[np.float64]


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
    whole = None if curved else with_integer_steps(fit, positions, lags, weights, labels, sample_period, LAG_FLOOR)
    fit = whole or fit
    found = fit_smoothing_spline(positions, lags - fit.at(positions, labels), weights, labels) if curved else None
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
