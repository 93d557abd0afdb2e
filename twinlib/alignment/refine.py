"""Refinement of the clock: measure the windows against it, fit it to them, and repeat until it converges.

One clock for both files is by far the likeliest case of a pair, and is preferred unless the evidence for two is
overwhelming. Windows of single notes through a strong distortion have few independent lags, each off by the device's
phase. Their drift, steps and curves are chance. The hypothesis of one clock has a single constant, the lag at which the
correlation pooled over all windows peaks.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import scipy.fft

from twinlib.alignment.clock import (
    ClickLine,
    ClockModel,
    LagFit,
    LagStep,
    clicks_contradict,
    fit_click_line,
    fit_clock,
    wet_sample_period,
)
from twinlib.alignment.dropouts import remaining_steps
from twinlib.alignment.lag_track import (
    DISPLACED_SAMPLES,
    MIN_LEVEL_DB,
    LagTrack,
    Response,
    WindowPlan,
    band_level_db,
    inlier_share,
    inliers,
    measure_lags,
)
from twinlib.estimation import MIDDLE_HZ, PieceFit, Sweep, band, mad_sigma, phat_weighted
from twinlib.progress import Progress, no_progress
from twinlib.resampling import Channel

MIN_INLIER_SHARE = 0.9
"""Share of inliers among the detected windows below which a curve is tried."""

CONVERGED_SAMPLES = 1e-3
"""Convergence: the largest change of the lag between two iterations."""

MAX_ITERATIONS = 6

BLOCK_WINDOWS = 4
"""Consecutive windows that count as one independent lag, about one note."""

PRIOR_SCATTER, PRIOR_BLOCKS = 0.05, 2.0
"""Scatter of such lags in samples that is assumed a priori, with the weight of some blocks."""

MIN_SHARE = 0.5
"""Share of the audible windows that must be inliers of a clock that no pooled correlation confirms."""

MIN_DRIFT_SIGMAS = 6.0
"""Standard errors from which a drift is more than chance in a long capture; more in a capture of few blocks."""

MIN_PROMINENCE = 12.0
"""Peak of the pooled correlation relative to its rms from which the files match; noise reaches about 5."""

MIN_GAIN = 12.0
"""Log-likelihood by which another clock must describe the windows better."""

CHANCE_SCATTER = 0.35
"""Scatter of lags that are anywhere within the distance of an inlier."""

SCATTER_FLOOR = 0.01
"""Samples of scatter of the most precise windows in that comparison."""

WHITENING = 0.8
"""Power of the phase transform of a pooled window."""

POOLED_WINDOWS = 240
"""Maximum number of windows whose correlation is pooled."""


def iterate_fit(
    dry: Channel,
    wet: Channel,
    windows: WindowPlan,
    clock: ClockModel,
    polarity: int,
    curved: bool = False,
    progress: Progress = no_progress,
) -> LagFit | None:
    """Measure and fit alternately until the lag converges; None if fewer than two windows are detected."""
    known: Response | None = None
    for number in range(MAX_ITERATIONS):
        time_map = clock.time_map(dry.start, dry.stop)
        track, response = measure_lags(dry, wet, windows, time_map, known, polarity, clock.excluded)
        progress(1.0)
        valid = track.valid
        if valid.sum() < 2:
            return None
        position = track.position[valid]
        lag = clock.lags(position) + track.residual[valid]
        update = fit_clock(position, lag, track.weight[valid], clock.steps, curved, wet_sample_period(wet))
        if response is not None and number > 0:
            # The windows give drift and curve. The constant is the delay of the mean response: windows include it
            # until the response is known, and exclude it afterwards.
            known = response
            update = update.offset_by(response.delay - float(np.median(track.residual[valid])))
        change = np.abs(update.lags(position) - clock.lags(position))
        # Some part of a curve always changes, so use a quantile.
        converged = float(np.quantile(change, 0.9) if curved else change.max()) < CONVERGED_SAMPLES
        if (number > 1 and converged) or number == MAX_ITERATIONS - 1:
            break
        clock = update
    return LagFit(clock, track, known.gain_db if known is not None else 0.0, polarity, windows)


def remeasure_with_steps(
    dry: Channel, wet: Channel, fit: LagFit, steps: Sequence[LagStep], progress: Progress = no_progress
) -> LagFit:
    """Measure the take again with other steps, then drop the steps at which the lag does not change."""
    period = wet_sample_period(wet)
    start = fit.with_steps(steps, period)
    found = iterate_fit(dry, wet, fit.windows, start.clock, fit.polarity, False, progress)
    if found is None:
        return fit
    kept = remaining_steps(found)
    return found if len(kept) == len(steps) else found.with_steps(kept, period)


def without_contradicted_steps(
    dry: Channel, wet: Channel, fit: LagFit, measured: ClickLine
) -> tuple[LagFit, ClickLine]:
    """Drop the steps that the residual does not confirm if the clicks contradict them, but not the clock without them.

    Returns the fit and the line through both clicks about its clock.
    """
    clock, confirmed = fit.clock, fit.confirmed_steps
    if len(confirmed) == len(clock.steps) or clock.curve is not None or not clicks_contradict(measured, clock):
        return fit, measured
    fewer = remeasure_with_steps(dry, wet, fit, confirmed)
    again = fit_click_line(dry, wet, measured.clicks, fewer.clock, fit.polarity)
    if again is None or clicks_contradict(again, fewer.clock):
        return fit, measured
    return replace(fewer, flutter=fit.flutter), again


def measure_through_device(dry: Channel, wet: Channel, fit: LagFit) -> tuple[LagTrack, float, int] | None:
    """Measure another channel of the same recording on a known clock; return its track, gain in dB and polarity.

    None if fewer than two windows are detected.
    """
    time_map = fit.clock.time_map(dry.start, dry.stop)
    track, _ = measure_lags(dry, wet, fit.windows, time_map, None, 1, fit.clock.excluded)
    polarity = 1 if float((track.weight * track.sign).sum()) >= 0 else -1
    _, response = measure_lags(dry, wet, fit.windows, time_map, None, polarity, fit.clock.excluded)
    track, final = measure_lags(dry, wet, fit.windows, time_map, response, polarity, fit.clock.excluded)
    if track.detected.sum() < 2 or final is None:
        return None
    return track, final.gain_db, polarity


def prefer_same_clock(dry: Channel, wet: Channel, windows: WindowPlan, lag: float, fit: LagFit | None) -> LagFit | None:
    """Return the fit of one clock near `lag` in samples instead of `fit`, unless the windows clearly contradict it."""
    clear = fit is not None and inlier_share(fit.track) >= MIN_INLIER_SHARE
    if fit is not None and clear and not fit.clock.steps and fit.clock.curve is None:
        return fit if drift_is_significant(fit) else without_drift(fit)
    # The absolute value of a chord resembles what a rectifier makes of it at other lags, too.
    cancel = fit is not None and dry.rectified and float(np.ptp(fit.clock.fit.lags[[0, -1]])) < DISPLACED_SAMPLES
    if fit is not None and fit.confirmed_steps and not cancel:
        return fit
    same = fit_same_clock(dry, wet, windows, lag)
    if same is None or fit is None:
        return same or fit
    return same if inlier_share(fit.track) < MIN_SHARE or is_better(same, fit) else fit


def drift_is_significant(fit: LagFit) -> bool:
    """Return whether the drift exceeds by far what the scatter of a few notes explains."""
    position, lag, weight = fit.lags()
    valid = np.abs(lag - fit.clock.lags(position)) < 0.5
    blocks = np.arange(int(valid.sum())) // BLOCK_WINDOWS
    weight = weight[valid]
    total = np.bincount(blocks, weight)
    x, y = (np.bincount(blocks, weight * each[valid]) / total for each in (position, lag))
    freedom = len(x) - 2 + PRIOR_BLOCKS
    x = x - x.mean()
    inertia = float((x * x).sum())
    if len(x) < 2 or inertia <= 0.0:
        return False
    slope = float((x * y).sum()) / inertia
    squares = float(np.square(y - y.mean() - slope * x).sum()) + PRIOR_BLOCKS * PRIOR_SCATTER**2
    error = math.sqrt(squares / freedom / inertia)
    return abs(slope) > MIN_DRIFT_SIGMAS * (1.0 + MIN_DRIFT_SIGMAS / freedom) * error


def without_drift(fit: LagFit) -> LagFit:
    """Return the fit of one constant lag, the mean; the windows keep their lags."""
    _, lag, weight = fit.lags()
    near = np.abs(lag - np.median(lag)) < 1.0
    constant = float(np.average(lag[near], weights=weight[near]))
    clock = constant_clock(constant, float(fit.clock.fit.lag_errors[0]))
    track = fit.track
    residual = np.where(track.detected, fit.clock.lags(track.position) + track.residual - constant, 0.0)
    return replace(fit, clock=clock, track=replace(track, residual=residual))


def constant_clock(lag: float, error: float) -> ClockModel:
    """Return the clock of one lag in samples and its standard error."""
    return ClockModel(PieceFit(np.array([lag]), 0.0, np.array([error]), 0.0), None, ())


def fit_same_clock(dry: Channel, wet: Channel, windows: WindowPlan, lag: float) -> LagFit | None:
    """Return the fit of one constant lag near `lag`; None if the pooled correlation has no prominent peak."""
    delay, sign, prominence = pooled_delay(dry, wet, windows, round(lag))
    if prominence < MIN_PROMINENCE:
        return None
    clock, known, gain_db = constant_clock(round(lag) + delay, np.inf), None, 0.0
    for number in range(4):
        time_map = clock.time_map(dry.start, dry.stop)
        track, response = measure_lags(dry, wet, windows, time_map, known, sign)
        if response is None:
            return None
        if number < 3:
            known, gain_db = response, response.gain_db
            clock = clock.offset_by(response.delay)
    return LagFit(clock, track, gain_db, sign, windows, pooled=True)


def pooled_delay(
    dry: Channel, wet: Channel, windows: WindowPlan, lag: int, sweeps: Sequence[Sweep] = ()
) -> tuple[float, int, float]:
    """Return the delay relative to `lag` within half a window, its sign, and its prominence.

    The correlation is pooled over all windows, each weighted by the effective number of its bins: attacks determine the
    delay, single tones have a peak at every period. Of a window within one of the `sweeps`, only its band is used.
    """
    size = windows.size
    bins = band(2 * size, dry.rate, min(MIDDLE_HZ, wet.max_hz))
    taper = np.hanning(size).astype(np.float32)
    pooled = np.zeros(bins.stop - bins.start, np.complex128)
    chosen = np.linspace(0, len(windows.starts) - 1, min(POOLED_WINDOWS, len(windows.starts))).astype(int)
    for start in windows.starts[chosen].tolist():
        x = scipy.fft.rfft(dry.read(start, start + size) * taper, 2 * size)[bins]
        if band_level_db(x, taper) < MIN_LEVEL_DB:
            continue
        first = start + lag - size // 2
        y = scipy.fft.rfft(wet.read(first, first + 2 * size))[bins]
        cross = x.conj() * y
        limits = [edges for sweep in sweeps if (edges := sweep.band(start, start + size)) is not None]
        if limits:
            octave = 2 if dry.rectified else 1
            low, high = (round(octave * hertz * 2 * size / dry.rate) for hertz in limits[0])
            cross[: max(0, low - bins.start)] = 0.0
            cross[max(0, high - bins.start) :] = 0.0
            # The sum over the windows covers the band of the sweep evenly.
            cross = phat_weighted(cross)
        else:
            cross = phat_weighted(cross, WHITENING)
        height = np.abs(cross)
        weight = 1.0 if limits else float(height.sum()) / (float(np.square(height).sum()) + 1e-30)
        pooled += cross * weight
    full = np.zeros(size + 1, np.complex128)
    full[bins] = pooled
    # The wet windows start half a window before the expected lag.
    values = scipy.fft.irfft(full)[:size]
    best = int(np.abs(values).argmax())
    away = np.abs(np.arange(size) - best) > 64
    noise = float(np.sqrt(np.mean(np.square(values[away])))) + 1e-30
    return float(best - size // 2), 1 if values[best] > 0 else -1, abs(float(values[best])) / noise


def is_rectified(dry: Channel, wet: Channel, fit: LagFit | None) -> bool:
    """Return whether a constant lag that few windows have is that of the absolute value of the dry signal."""
    if fit is None or not fit.pooled or inlier_share(fit.track) > MIN_INLIER_SHARE:
        return False
    views, lag = (dry, replace(dry, rectified=True)), round(float(fit.clock.fit.lags[0]))
    (_, _, plain), (delay, _, prominence) = (pooled_delay(view, wet, fit.windows, lag) for view in views)
    return prominence > plain and abs(delay) < DISPLACED_SAMPLES


def is_better(same: LagFit, other: LagFit) -> bool:
    """Return whether the windows follow one clock about as well as the other, which has more parameters."""
    residual, windows = other.track.residual[inliers(other.track)], len(other.track.position)
    scatter = max(SCATTER_FLOOR, mad_sigma(residual)) if len(residual) else 0.5
    # Denser windows determined a curve; these verify it, and show no more parameters than they are.
    knots = min(len(other.clock.curve[0]), windows) if other.clock.curve is not None else 0
    # A step has a size and, chosen among all windows, a place.
    parameters = 1.0 + knots + len(other.clock.steps) * (1.0 + 0.5 * math.log(max(windows, 1)))
    # Windows overlap by half. Where their lags are by chance, those of one note are so together.
    overlap = 2 * (BLOCK_WINDOWS if scatter > CHANCE_SCATTER and other.clock.curve is None else 1)
    gain = (_misfit(same, scatter) - _misfit(other, scatter)) / overlap
    return gain < MIN_GAIN + parameters


def _misfit(fit: LagFit, scatter: float) -> float:
    """Return the negative log-likelihood of all windows with Cauchy errors; a window without a delay is an outlier."""
    track = fit.track
    errors = np.where(track.valid, np.abs(track.residual), 4.0) / np.hypot(
        scatter, 1.0 / np.sqrt(np.maximum(track.weight, 1e-2))
    )
    return float(np.log1p(np.square(errors)).sum())
