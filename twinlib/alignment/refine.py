"""Iterative refinement: measure the windows against the clock, fit the clock to them, and repeat until it converges."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from twinlib.alignment.clock import ClockModel, LagFit, LagStep, fit_clock, wet_sample_period
from twinlib.alignment.dropouts import remaining_steps
from twinlib.alignment.lag_track import LagTrack, Response, WindowPlan, inliers, measure_lags, plan_dense_windows
from twinlib.alignment.wow_flutter import is_broadband, is_device_phase, measure_subbands, wander_rms
from twinlib.progress import Progress, no_progress
from twinlib.resampling import Channel

MIN_WANDER = 0.01
"""Samples rms about a line above which a curve is tried."""

MIN_INLIER_SHARE = 0.9
"""Share of inliers among the detected windows below which a curve is tried."""

CONVERGED_SAMPLES = 1e-3
"""Convergence: the largest change of the lag between two iterations."""

CURVE_CONVERGED_SAMPLES = 0.005
"""Convergence of a curve: the 90 % quantile of its change from one window size to the next."""

MAX_ITERATIONS = 6

DENSE_SIZES = (16384, 8192, 4096, 2048)
"""Window sizes tried in turn to follow a clock that varies within the default windows."""

MAX_DENSE_WINDOWS = 20_000
"""Limit of the windows for a curve: 15 minutes of the shortest, several times that of the longest."""


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
        valid = track.detected & (track.sign > 0)
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
