"""Drift from the two clicks of a reel, weighted against that of the programme.

A device delays both clicks equally. The difference of their lags is thus the drift alone, and the constant has the same
bias in every reel of a device. The lag of the programme depends on the device's phase, which changes with the
programme.
"""

from dataclasses import dataclass, replace

import numpy as np

from twinlib.alignment.clock import ClockModel
from twinlib.alignment.lag_track import LAG_FLOOR as PROGRAMME_FLOOR
from twinlib.alignment.lag_track import MAX_FIRST_RESIDUAL, LagTrack, inliers
from twinlib.estimation import Complex, Line, LineFit, detect_click
from twinlib.resampling import Channel

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
    scatter = 1.4826 * float(np.median(np.abs(inside - np.median(inside))))
    allowed = MAX_DRIFT_SIGMAS * float(np.hypot(*errors)) + max(scatter, PROGRAMME_FLOOR) / clicks.span * 1e6
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
