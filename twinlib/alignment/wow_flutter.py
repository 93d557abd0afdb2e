"""Wow and flutter: whether the clock varies, by how much, and whether the clock or the device's phase causes it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from twinlib.alignment.clock import ClockModel, LagFit, fit_clock, wet_sample_period
from twinlib.alignment.dropouts import remaining_steps
from twinlib.alignment.lag_track import (
    INLIER_SAMPLES,
    MAX_RESIDUAL,
    LagTrack,
    WindowPlan,
    inliers,
    measure_lags,
    plan_dense_windows,
)
from twinlib.alignment.refine import MIN_INLIER_SHARE, iterate_fit, measure_through_device
from twinlib.estimation import (
    HIGH_HZ,
    LOW_HZ,
    MIN_BLOCK,
    Real,
    common_rms,
    covary,
    excess_rms,
    mad_sigma,
    regress_out_level,
    robust_slope,
)
from twinlib.progress import Progress, no_progress
from twinlib.resampling import Channel

BLOCK_SECONDS = 10.0
"""Clocks wander over many seconds; a device's phase changes with the programme, from window to window."""

MAX_SUBBAND_SLOPE = 0.1
"""Share of a curve by which the subbands may follow it differently: 0.01 for clocks, 0.33 for breathing all-passes."""

SLOPE_SIGMAS = 2.5
"""Standard errors within which that share may exceed its limit."""

SUBBAND_SPLIT_HZ = 1500.0
"""Both subbands determine the delay about equally well."""

FLUTTER_WINDOW = 1024
"""Samples of a flutter window: 23 ms at 44.1 kHz, which halves flutter at 50 Hz."""

FLUTTER_PLACES = 12
"""Number of places in a take at which flutter is measured."""

FLUTTER_SECONDS = 0.25
"""Length of programme at each place."""

MIN_FLUTTER_WEIGHT = 1000.0
"""Inverse variance (0.03 samples rms) from which a short window is used."""

MIN_FLUTTER = 0.015
"""Samples rms below which the subbands need not be compared."""

MAX_FLUTTER = 0.03
"""Samples rms of flutter above which a curve is tried and a finding reports it."""

MIN_WANDER = 0.01
"""Samples rms about a line above which a curve is tried."""

CURVE_CONVERGED_SAMPLES = 0.005
"""Convergence of a curve: the 90 % quantile of its change from one window size to the next."""

DENSE_SIZES = (16384, 8192, 4096, 2048)
"""Window sizes tried in turn to follow a clock that varies within the default windows."""

MAX_DENSE_WINDOWS = 20_000
"""Limit of the windows for a curve: 15 minutes of the shortest, several times that of the longest."""


def residual_rms(track: LagTrack) -> float | None:
    """Return the rms of the inliers about the line in samples, weighted by precision; None without inliers."""
    valid = inliers(track)
    if not valid.any():
        return None
    values, weights = track.residual[valid], track.weight[valid]
    values = values - np.average(values, weights=weights)
    return float(np.sqrt(np.average(values**2, weights=weights)))


def wander_rms(track: LagTrack, sample_rate: int) -> float:
    """Return the rms in samples of the lag's slow variation, in excess of scatter (`excess_rms`), over about 10 s.

    The part explained by level is removed first. With too few windows, returns the plain residual.
    """
    valid = inliers(track)
    if int(valid.sum()) < 2 * MIN_BLOCK:
        return residual_rms(track) or 0.0
    values = regress_out_level(track.residual[valid], track.level_db[valid])
    return excess_rms(values, _block_length(track.position[valid], sample_rate))


def is_device_phase(dry: Channel, wet: Channel, fit: LagFit) -> bool:
    """Return whether the lag varies with the programme alone: the lags of low and high frequencies do not covary."""
    residual = fit.track.residual[fit.track.detected]
    # No device changes its delay by so much, and windows over which a clock changes that fast are imprecise.
    if mad_sigma(residual - np.median(residual)) > INLIER_SAMPLES:
        return False
    return not subbands_covary(*measure_subbands(dry, wet, fit, fit.windows), dry.rate)


def subbands_covary(low: LagTrack, high: LagTrack, sample_rate: int) -> bool:
    """Return whether the lags of low and high frequencies covary, window by window or slowly; True for too few windows.

    A clock shifts all frequencies alike. A nonlinear device delays each by an amount that depends on the programme.
    """
    low, high = _common_windows(low, high)
    if len(low.position) < 2 * MIN_BLOCK:
        return True
    # The device delays each subband by another constant.
    lags = [track.residual - np.median(track.residual) for track in (low, high)]
    near = (np.abs(lags[0]) < MAX_RESIDUAL) & (np.abs(lags[1]) < MAX_RESIDUAL)
    if near.sum() < 2 * MIN_BLOCK:
        return True
    length = _block_length(low.position[near], sample_rate)
    a, b = (regress_out_level(lag[near], track.level_db[near]) for lag, track in zip(lags, (low, high), strict=True))
    return covary(a, b, 1) or covary(a, b, length)


def is_broadband(low: LagTrack, high: LagTrack, curve: Callable[[Real], Real]) -> bool:
    """Return whether both subbands follow a `curve` over the dry positions alike, as a clock requires.

    The difference of the two lags contains no part of a clock's curve, but a part of a device's phase.
    """
    low, high = _common_windows(low, high)
    difference = high.residual - low.residual
    if len(difference) < 2 * MIN_BLOCK:
        return True
    slope, error = robust_slope(curve(low.position), difference - np.median(difference))
    return abs(slope) < max(MAX_SUBBAND_SLOPE, SLOPE_SIGMAS * error)


def _common_windows(low: LagTrack, high: LagTrack) -> tuple[LagTrack, LagTrack]:
    """Return both tracks of the windows with a valid delay in both."""
    _, first, second = np.intersect1d(low.position, high.position, return_indices=True)
    low, high = low.select(first), high.select(second)
    both = low.valid & high.valid
    return low.select(both), high.select(both)


def _block_length(position: Real, sample_rate: int) -> int:
    """Return the number of windows in a block."""
    seconds = float(position[-1] - position[0]) / (len(position) - 1) / sample_rate
    return max(MIN_BLOCK, min(len(position) // 8, round(BLOCK_SECONDS / seconds)))


def measure_subbands(dry: Channel, wet: Channel, fit: LagFit, windows: WindowPlan) -> tuple[LagTrack, LagTrack]:
    """Measure windows in the low and in the high subband; residuals in samples about the clock of the fit."""
    low = measure_band(dry, wet, fit, windows, (LOW_HZ, SUBBAND_SPLIT_HZ))
    return low, measure_band(dry, wet, fit, windows, (SUBBAND_SPLIT_HZ, HIGH_HZ))


def measure_band(
    dry: Channel, wet: Channel, fit: LagFit, windows: WindowPlan, band_hz: tuple[float, float]
) -> LagTrack:
    """Measure windows between two frequencies in Hz, without the response of the device in that band."""
    time_map, excluded = fit.clock.time_map(dry.start, dry.stop), fit.clock.excluded
    _, known = measure_lags(dry, wet, windows, time_map, None, fit.polarity, excluded, between_hz=band_hz)
    return measure_lags(dry, wet, windows, time_map, known, fit.polarity, excluded, between_hz=band_hz)[0]


def flutter_rms(dry: Channel, wet: Channel, fit: LagFit) -> float:
    """Return the rms flutter in samples about the clock, by short windows at places throughout the programme.

    Only variation common to low and high frequencies counts; the rest is the device's. Long windows average faster
    fluctuations out. Above 50 Hz the short windows are insensitive too.
    """
    reach = round(FLUTTER_SECONDS * dry.rate)
    first, last = fit.windows.span
    places = np.linspace(first, max(first, last - reach), FLUTTER_PLACES).astype(np.int64)
    windows = WindowPlan(np.unique(places[:, None] + np.arange(0, reach, FLUTTER_WINDOW // 2)), FLUTTER_WINDOW)
    precise = _precise(measure_band(dry, wet, fit, windows, (LOW_HZ, HIGH_HZ))).residual
    if len(precise) < 2 or float(np.std(precise)) < MIN_FLUTTER:
        return 0.0
    low, high = _common_windows(*(_precise(track) for track in measure_subbands(dry, wet, fit, windows)))
    return common_rms(low.residual, high.residual, low.level_db)


def _precise(track: LagTrack) -> LagTrack:
    return track.select(
        (track.weight > MIN_FLUTTER_WEIGHT) & (track.sign > 0) & (np.abs(track.residual) < MAX_RESIDUAL)
    )


def clock_varies(dry: Channel, wet: Channel, fit: LagFit) -> bool:
    """Return whether the lag varies about the clock by more than chance, and not by the device's phase."""
    share = float(inliers(fit.track).sum()) / max(1, int(fit.track.detected.sum()))
    varies = wander_rms(fit.track, dry.rate) > MIN_WANDER or share < MIN_INLIER_SHARE
    return varies and not is_device_phase(dry, wet, fit)


def remeasure_with_curve(dry: Channel, wet: Channel, fit: LagFit, progress: Progress = no_progress) -> LagFit:
    """Follow a clock that varies: fit a curve, on denser and denser windows until it converges.

    Drops the steps that the curve explains. Returns the fit unchanged if no curve lowers the information criterion, or
    if low and high frequencies do not follow the curve alike (`is_broadband`).
    """
    clock = fit_clock(*fit.lags(), fit.clock.steps, True, wet_sample_period(wet))
    best = _iterate_curve(dry, wet, fit.windows, clock, fit.polarity, progress) or fit
    first, last = fit.windows.span
    for size in DENSE_SIZES:
        windows = plan_dense_windows(first, last, size)
        if size >= fit.windows.size or len(windows.starts) > MAX_DENSE_WINDOWS:
            continue
        denser = _iterate_curve(dry, wet, windows, best.clock, fit.polarity, progress)
        if denser is None:
            break
        position = denser.track.position
        change = denser.clock.lags(position) - best.clock.lags(position)
        changed = float(np.quantile(np.abs(change - np.median(change)), 0.9))
        converged = best.clock.curve is not None and changed < CURVE_CONVERGED_SAMPLES
        best = denser
        if converged:
            break
    # Subbands are measured about the curve: a window over which the clock changes by samples is imprecise.
    low, high = measure_subbands(dry, wet, best, fit.windows)
    if not is_broadband(low, high, lambda position: best.clock.lags(position) - fit.clock.lags(position)):
        return fit
    # Short windows determine the curve, the default windows verify it.
    through = measure_through_device(dry, wet, replace(best, windows=fit.windows))
    if through is None:
        return fit
    return replace(best, windows=fit.windows, track=through[0], polarity=through[2])


def _iterate_curve(
    dry: Channel, wet: Channel, windows: WindowPlan, clock: ClockModel, polarity: int, progress: Progress
) -> LagFit | None:
    found = iterate_fit(dry, wet, windows, clock, polarity, True, progress)
    if found is None or len(kept := remaining_steps(found)) == len(found.clock.steps):
        return found
    clock = fit_clock(*found.lags(), kept, True, wet_sample_period(wet))
    return iterate_fit(dry, wet, windows, clock, polarity, True, progress) or found
