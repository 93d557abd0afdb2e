"""The clock model of a capture: one drift, a constant lag for each piece between dropouts, and an optional curve.

The two clicks of a reel refine the drift. A device delays both equally, so that the difference of their lags is the
drift alone, and the constant has the same bias in every reel of a device. The lag of the programme depends on the
device's phase, which changes with the programme.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from twinlib.alignment.lag_track import LAG_FLOOR, MAX_FIRST_RESIDUAL, LagTrack, WindowPlan, inliers
from twinlib.estimation import (
    Complex,
    Line,
    LineFit,
    PieceFit,
    detect_click,
    fit_pieces,
    fit_smoothing_spline,
    mad_sigma,
    with_integer_steps,
)
from twinlib.resampling import Channel, Curve, Labels, Piece, TimeMap

Array = npt.NDArray[np.float64]

CLICK_FLOOR = 1e-4
"""Samples rms: the limit of the difference of two clicks, due to jitter and the device's memory of the programme."""

MAX_CLICK_ERROR = 0.02
"""Samples rms of that difference above which the clicks are ignored, unless the programme is less precise."""

MAX_CLICK_OFFSET = 0.5
"""Samples by which the clicks may contradict the programme between them; beyond that, a sample was lost."""

MAX_CURVE_ERROR = 0.1
"""Maximum standard error of a curve at a click, in samples, for a comparison."""

MAX_DRIFT_SIGMAS = 5.0
"""Standard errors by which the two drifts may differ."""

_PASSES = 2


@dataclass(frozen=True)
class LagStep:
    """A step of the lag by `samples`, most likely at dry sample `position`: lost (-) or repeated (+) samples.

    The piece before it is valid up to `first` and the piece after it from `last`. In between, the lag is unknown.
    `is_confirmed` if the residual shows it, within a small part of a window.
    """

    position: int
    first: int
    last: int
    samples: float = 0.0
    is_confirmed: bool = False

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
        valid = self.track.valid
        position = self.track.position[valid]
        return position, self.clock.lags(position) + self.track.residual[valid], self.track.weight[valid]

    @property
    def confirmed_steps(self) -> tuple[LagStep, ...]:
        """The steps that the residual confirms."""
        return tuple(step for step in self.clock.steps if step.is_confirmed)

    def with_steps(self, steps: Sequence[LagStep], sample_period: float) -> "LagFit":
        """Refit a clock without a curve with other steps to the same windows, without those that may contain a step."""
        half = self.windows.size / 2.0
        clear = np.ones(len(self.track.position), np.bool_)
        for step in steps:
            clear &= (self.track.position + half <= step.first) | (self.track.position - half >= step.last)
        track = self.track.select(clear)
        position, lag, weight = replace(self, track=track).lags()
        if len(position) < 2:
            return self
        clock = fit_clock(position, lag, weight, steps, False, sample_period)
        residual = self.clock.lags(track.position) + track.residual - clock.lags(track.position)
        residual = np.where(track.detected, residual, 0.0)
        return replace(self, clock=clock, track=replace(track, residual=residual))


@dataclass(frozen=True)
class ClickLine:
    """The line through both clicks, valid in the first piece, and their dry samples.

    `error` is the standard error of the difference of their lags in samples.
    """

    line: Line
    clicks: tuple[int, int]
    error: float

    @property
    def span(self) -> float:
        """The distance of the clicks in samples."""
        return float(self.clicks[1] - self.clicks[0])

    @property
    def drift_error_ppm(self) -> float:
        """The standard error of the drift in ppm."""
        return self.error / self.span * 1e6


def fit_click_line(
    dry: Channel, wet: Channel, clicks: tuple[int, int], clock: ClockModel, polarity: int
) -> ClickLine | None:
    """Measure the lag at both clicks, given a `clock` that is correct within some samples; None if a click is missing.

    Each lag is the peak of the band-limited correlation of the dry and the wet click. The error follows from the
    difference of the two wet clicks (noise or damage), with random phase.
    """
    lags = clock.lags(np.array(clicks, float))
    span = float(clicks[1] - clicks[0])
    # Dropouts change the lag between the clicks; within a click there is only drift.
    drift = clock.fit.drift_ppm if clock.steps else float(lags[1] - lags[0]) / span * 1e6
    error = np.inf
    for _ in range(_PASSES):
        aligned: list[Complex] = []
        signs: set[int] = set()
        for number, click in enumerate(clicks):
            click_fit = detect_click(dry, wet, click, float(lags[number]), drift, polarity)
            if click_fit is None:
                return None
            signs.add(click_fit.sign)
            omega = click_fit.omega
            aligned.append(np.asarray(click_fit.cross * np.exp(1j * omega * click_fit.delay)))
            lags[number] += click_fit.delay
        curve = float((omega**2 * (aligned[0] + aligned[1]).real).sum()) / 2.0
        if curve <= 0.0 or len(signs) > 1:
            return None
        error = float(np.sqrt((np.abs(omega * (aligned[1] - aligned[0])) ** 2).sum() / 2.0)) / curve
        drift = drift if clock.steps else float(lags[1] - lags[0]) / span * 1e6
    drift = (float(lags[1] - lags[0]) - clock.total_step) / span
    line = Line(float(lags[0]) - drift * clicks[0], drift * 1e6)
    return ClickLine(line, clicks, float(np.hypot(error, CLICK_FLOOR)))


def clicks_contradict(clicks: ClickLine, clock: ClockModel) -> bool:
    """Return whether the lags of the clicks relative to the clock differ by over `MAX_CLICK_OFFSET` samples."""
    places = np.array(clicks.clicks, float)
    if clock.curve is not None and clock.curve_errors is not None:
        # Beyond its knots a curve is extrapolated.
        knots = clock.curve[0]
        beyond = max(knots[0] - places[0], places[1] - knots[-1])
        if beyond > knots[1] - knots[0] or np.interp(places, knots, clock.curve_errors).max() > MAX_CURVE_ERROR:
            return False
    offset = np.array([clicks.line.at(place) for place in clicks.clicks]) - clock.lags(places) + [0.0, clock.total_step]
    return clicks.error < MAX_CLICK_OFFSET / 2.0 and abs(float(offset[1] - offset[0])) > MAX_CLICK_OFFSET


def clicks_in_range(wet: Channel, clock: ClockModel, clicks: tuple[int, int], length: int) -> bool:
    """Return whether the wet file covers both clicks of `length` samples."""
    first, last = (click + float(clock.lags(np.array([float(click)]))[0]) for click in clicks)
    return first >= wet.start and last + length <= wet.stop


def anchor_to_clicks(fit: LineFit, measured: LagTrack, clicks: ClickLine) -> tuple[LineFit, LagTrack] | None:
    """Return the line of the clicks with the precision-weighted mean of both drifts, and the lag track about it.

    The residuals lose one constant, the difference between the device's delay of the programme and of the click. None
    if the clicks are too imprecise, or if the programme's line differs by more than both errors and its scatter allow.
    """
    fits = inliers(measured)
    errors = np.array([fit.drift_error_ppm, clicks.drift_error_ppm])
    if fits.sum() < 3 or not np.isfinite(errors).all():
        return None
    if clicks.error > max(MAX_CLICK_ERROR, errors[0] * 1e-6 * clicks.span):
        return None
    programme, click = fit.line, clicks.line
    inside = measured.residual[fits]
    scatter = mad_sigma(inside - np.median(inside))
    allowed = MAX_DRIFT_SIGMAS * float(np.hypot(*errors)) + max(scatter, LAG_FLOOR) / clicks.span * 1e6
    centre = sum(clicks.clicks) / 2.0
    offset = abs(click.at(centre) - programme.at(centre))
    if abs(click.drift_ppm - programme.drift_ppm) > allowed or offset > MAX_FIRST_RESIDUAL:
        return None
    # A programme without scatter has error 0.
    precision = 1.0 / np.maximum(errors, 1e-12) ** 2
    drift = float(np.average([programme.drift_ppm, click.drift_ppm], weights=precision))
    line = Line(click.at(centre) - drift * 1e-6 * centre, drift)
    change = Line(programme.lag - line.lag, programme.drift_ppm - line.drift_ppm)
    residual = measured.residual + change.lag + change.drift_ppm * 1e-6 * measured.position
    residual = np.where(measured.detected, residual - np.median(residual[fits]), 0.0)
    return LineFit(line, float(precision.sum()) ** -0.5), replace(measured, residual=residual)


def clicks_prove_one_clock(clicks: ClickLine, clock: ClockModel) -> bool:
    """Return whether both clicks have the same lag although the clock has a drift or steps between them."""
    change = clicks.line.drift_ppm * 1e-6 * clicks.span + clock.total_step
    ends = clock.lags(np.array(clicks.clicks, float))
    agrees = abs(float(ends[1] - ends[0]) - change) < MAX_CLICK_OFFSET
    return clock.curve is None and not agrees and math.hypot(clicks.error, change) < MAX_CLICK_ERROR
