"""Wow and flutter: whether the clock varies, by how much, and whether the clock or the device's phase causes it."""

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.special import fdtri

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
from twinlib.db import db_to_amp
from twinlib.estimation import HIGH_HZ, LOW_HZ, Real, biweight
from twinlib.progress import Progress, no_progress
from twinlib.resampling import Channel

BLOCK_SECONDS = 10.0
"""Clocks wander over many seconds; a device's phase changes with the programme, from window to window."""

MIN_WINDOWS = 4
"""Smallest number of windows in a block."""

MIN_F_RATIO = 6.0
"""Ratio of the variance of block means to that expected from scatter, below which nothing wanders. Neighbouring windows
share programme and thus the device's phase, so this limit holds for a take of any length."""

FALSE_ALARM_RATE = 1e-3
"""Probability that chance exceeds the ratio in a take of few blocks."""

MIN_COVARIANCE_SHARE = 0.7
"""Share of the larger subband variance that both subbands must have in common if the clock causes it."""

MIN_VARIANCE_RATIO = 0.6
"""Smaller to larger subband variance for flutter of the clock. Breathing all-passes delay highs by a third less."""

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
    """Return the rms in samples of block means in excess of scatter; 0 if scatter explains all of it.

    A block is about 10 s, or an eighth of a shorter signal. Scatter is the difference between neighbouring windows,
    which is large for devices that distort much. The part explained by level (`regress_out_level`) is removed first.
    The ratio of the two variances follows Fisher's F distribution. With too few windows, returns the plain residual.
    """
    valid = inliers(track)
    count = int(valid.sum())
    if count < 2 * MIN_WINDOWS:
        return residual_rms(track) or 0.0
    length = _block_length(track.position[valid], sample_rate)
    values = _clip_outliers(regress_out_level(track.residual[valid], track.level_db[valid]))
    expected = _noise_variance(values) / length
    blocks = _block_means(values, length)
    variance = float(np.var(blocks, ddof=1))
    limit = max(MIN_F_RATIO, float(fdtri(len(blocks) - 1, count - len(blocks), 1.0 - FALSE_ALARM_RATE)))
    return math.sqrt(variance - expected) if variance > limit * expected else 0.0


def is_device_phase(dry: Channel, wet: Channel, fit: LagFit) -> bool:
    """Return whether the lag varies with the programme alone: the lags of low and high frequencies do not covary."""
    residual = fit.track.residual[fit.track.detected]
    # No device changes its delay by so much, and windows over which a clock changes that fast are imprecise.
    if 1.4826 * float(np.median(np.abs(residual - np.median(residual)))) > INLIER_SAMPLES:
        return False
    return not subbands_covary(*measure_subbands(dry, wet, fit.clock, fit.polarity, fit.windows), dry.rate)


def subbands_covary(low: LagTrack, high: LagTrack, sample_rate: int) -> bool:
    """Return whether the lags of low and high frequencies covary, window by window or slowly; True for too few windows.

    A clock shifts all frequencies alike. A nonlinear device delays each by an amount that depends on the programme.
    """
    first, second, valid = _common_windows(low, high)
    if valid.sum() < 2 * MIN_WINDOWS:
        return True
    # The device delays each subband by another constant.
    pair = [band - np.median(band[valid]) for band in (low.residual[first], high.residual[second])]
    levels = low.level_db[first], high.level_db[second]
    valid &= (np.abs(pair[0]) < MAX_RESIDUAL) & (np.abs(pair[1]) < MAX_RESIDUAL)
    if valid.sum() < 2 * MIN_WINDOWS:
        return True
    length = _block_length(low.position[first][valid], sample_rate)
    a, b = (
        _clip_outliers(regress_out_level(band[valid], level[valid])) for band, level in zip(pair, levels, strict=True)
    )
    for size in (1, length):
        covariance = np.cov(np.array([_block_means(a, size), _block_means(b, size)]))
        noise = np.array([_noise_variance(band) / size if size > 1 else 0.0 for band in (a, b)])
        excess = np.maximum(np.diag(covariance) - noise, 1e-12)
        # Skip if noise explains most of it.
        if (excess < 0.5 * np.diag(covariance)).any():
            continue
        if float(covariance[0, 1]) > MIN_COVARIANCE_SHARE * float(excess.max()):
            return True
    return False


def is_broadband(low: LagTrack, high: LagTrack, curve: Real) -> bool:
    """Return whether both subbands follow a `curve` alike, as a clock requires; one value for each window of `low`.

    The difference of the two lags contains no part of a clock's curve, but a part of a device's phase.
    """
    first, second, valid = _common_windows(low, high)
    difference = (high.residual[second] - low.residual[first])[valid]
    if len(difference) < 2 * MIN_WINDOWS:
        return True
    difference, reference = difference - np.median(difference), curve[first][valid]
    weights = biweight(difference)
    reference = reference - np.average(reference, weights=weights)
    energy = float((weights * reference**2).sum()) + 1e-30
    slope = float((weights * reference * difference).sum()) / energy
    # Windows overlap by half: count every other one as independent.
    error = math.sqrt(
        2.0 * float((weights * (difference - slope * reference) ** 2).sum()) / float(weights.sum()) / energy
    )
    return abs(slope) < max(MAX_SUBBAND_SLOPE, SLOPE_SIGMAS * error)


def _common_windows(
    low: LagTrack, high: LagTrack
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return the indices of the windows in both tracks, and which of them both detected."""
    _, first, second = np.intersect1d(low.position, high.position, return_indices=True)
    valid = low.detected[first] & high.detected[second] & (low.sign[first] > 0) & (high.sign[second] > 0)
    return first, second, np.asarray(valid)


def common_rms(low: Real, high: Real, level_db: Real) -> float:
    """Return the rms in samples of the variation that both subband lags share, without the part explained by level.

    0 if the two differ too much for a clock.
    """
    if len(low) < 2 * MIN_WINDOWS:
        return 0.0
    covariance = np.cov([_clip_outliers(regress_out_level(band, level_db)) for band in (low, high)])
    shared, (smaller, larger) = float(covariance[0, 1]), sorted(np.diag(covariance).tolist())
    alike = shared > MIN_COVARIANCE_SHARE * math.sqrt(smaller * larger) and smaller > MIN_VARIANCE_RATIO * larger
    return math.sqrt(shared) if alike else 0.0


def regress_out_level(values: Real, level_db: Real) -> Real:
    """Subtract from the lags of windows, in order, the part that the level of the dry signal explains.

    The regression uses differences of neighbours, over which a clock hardly changes, and thus keeps slow clock changes
    even if the level changes slowly too. Amplitude, level and its square model compressors, clippers and transformers.
    """
    amplitude = db_to_amp(level_db - level_db.max())
    decades = (level_db - level_db.mean()) / 20.0
    features = np.column_stack((amplitude, decades, decades**2))
    # Windows overlap by half, so the second next is the first independent one.
    columns, change = features[2:] - features[:-2], values[2:] - values[:-2]
    if len(change) < 4 * features.shape[1]:
        return values
    weights, slopes = np.ones(len(change)), np.zeros(features.shape[1])
    for _ in range(6):
        root = np.sqrt(weights)
        slopes = np.linalg.lstsq(columns * root[:, None], change * root, rcond=1e-6)[0]
        weights = biweight(change - columns @ slopes)
    explained = features @ slopes
    return np.asarray(values - explained + np.median(explained))


def _block_length(position: Real, sample_rate: int) -> int:
    """Return the number of windows in a block."""
    seconds = float(position[-1] - position[0]) / (len(position) - 1) / sample_rate
    return max(MIN_WINDOWS, min(len(position) // 8, round(BLOCK_SECONDS / seconds)))


def _clip_outliers(values: Real) -> Real:
    """Subtract the median and clip outliers."""
    values = values - np.median(values)
    limit = 4.5 * float(np.median(np.abs(values)))
    return np.asarray(np.clip(values, -limit, limit))


def _noise_variance(values: Real) -> float:
    """Return the variance of a single window, from differences of independent neighbours."""
    # Windows overlap by half, so the second next is the first independent one.
    return float(np.mean((values[2:] - values[:-2]) ** 2)) / 2.0


def _block_means(values: Real, length: int) -> Real:
    return np.asarray(values[: len(values) // length * length].reshape(-1, length).mean(axis=1))


def measure_subbands(
    dry: Channel, wet: Channel, clock: ClockModel, polarity: int, windows: WindowPlan
) -> tuple[LagTrack, LagTrack]:
    """Measure the same windows in the low and in the high subband; residuals in samples about the clock."""
    low = measure_band(dry, wet, clock, polarity, windows, (LOW_HZ, SUBBAND_SPLIT_HZ))
    return low, measure_band(dry, wet, clock, polarity, windows, (SUBBAND_SPLIT_HZ, HIGH_HZ))


def measure_band(
    dry: Channel, wet: Channel, clock: ClockModel, polarity: int, windows: WindowPlan, band_hz: tuple[float, float]
) -> LagTrack:
    """Measure windows between two frequencies in Hz, without the response of the device in that band."""
    time_map = clock.time_map(dry.start, dry.stop)
    _, known = measure_lags(dry, wet, windows, time_map, None, polarity, clock.excluded, between_hz=band_hz)
    return measure_lags(dry, wet, windows, time_map, known, polarity, clock.excluded, between_hz=band_hz)[0]


def flutter_rms(dry: Channel, wet: Channel, clock: ClockModel, polarity: int, programme: tuple[int, int]) -> float:
    """Return the rms flutter in samples about the clock, by short windows throughout the dry range [start, stop).

    Only variation common to low and high frequencies counts; the rest is the device's. Long windows average faster
    fluctuations out. Above 50 Hz the short windows are insensitive too.
    """
    reach = round(FLUTTER_SECONDS * dry.rate)
    places = np.linspace(programme[0], max(programme[0], programme[1] - reach), FLUTTER_PLACES).astype(np.int64)
    windows = WindowPlan(np.unique(places[:, None] + np.arange(0, reach, FLUTTER_WINDOW // 2)), FLUTTER_WINDOW)
    track = measure_band(dry, wet, clock, polarity, windows, (LOW_HZ, HIGH_HZ))
    precise = track.residual[_is_precise(track)]
    if len(precise) < 2 or float(np.std(precise)) < MIN_FLUTTER:
        return 0.0
    low, high = measure_subbands(dry, wet, clock, polarity, windows)
    _, first, second = np.intersect1d(low.position, high.position, return_indices=True)
    valid = (_is_precise(low)[first]) & (_is_precise(high)[second])
    level = low.level_db[first][valid]
    return common_rms(low.residual[first][valid], high.residual[second][valid], level)


def _is_precise(track: LagTrack) -> npt.NDArray[np.bool_]:
    return np.asarray((track.weight > MIN_FLUTTER_WEIGHT) & (track.sign > 0) & (np.abs(track.residual) < MAX_RESIDUAL))


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
    first, last = int(fit.windows.starts[0]), int(fit.windows.starts[-1]) + fit.windows.size
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
    low, high = measure_subbands(dry, wet, best.clock, best.polarity, fit.windows)
    if not is_broadband(low, high, best.clock.lags(low.position) - fit.clock.lags(low.position)):
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
