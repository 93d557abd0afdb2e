"""The clock of a pair that is a sine sweep.

Each window of a sweep holds a narrow band. Its delay is that of the device at its frequency, which looks like a change
of the clock, unless it jumps or changes evenly for seconds. All bands together give the constant lag.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation, median_filter

from twinlib.alignment.clock import ClockModel, LagFit, LagStep, fit_clock, wet_sample_period
from twinlib.alignment.dropouts import coarse_steps
from twinlib.alignment.lag_track import LAG_FLOOR, LagTrack, WindowPlan
from twinlib.alignment.refine import MIN_PROMINENCE, constant_clock, pooled_delay
from twinlib.db import amp_to_db
from twinlib.estimation import Real, Sweep, SweepDelays, measure_sweep
from twinlib.resampling import Channel

Mask = npt.NDArray[np.bool_]

MIN_COHERENCE = 0.95
"""Agreement of neighbouring bins from which the delay of a window is known."""

MIN_DROP = 0.01
"""Ratio of the wet energies of two windows that marks the beginning of a mute: filters are not as steep."""

FLAT_HZ = 1000.0
"""Frequency above which most devices delay all frequencies alike."""

MIN_DRIFT_SAMPLES, MAX_DRIFT_ERROR = 4.0, 0.05
"""Change of the lag over a sweep from which it is a drift, and the scatter about it, relative to that change."""

MIN_STEP_WINDOWS, MIN_LASTING_SHARE = 6, 0.7
"""Windows before and after a step whose median delays are compared, and their difference relative to the step."""

MIN_SLOPE_RATIO = 0.7
"""Ratio of the slopes of both halves of a drift; the delay of a filter levels off at high frequencies."""

STEADY_WINDOWS, MAX_SLOPE_SHARE = 3, 0.25
"""Windows next to a step, and the change of the delay in them relative to the step."""

SMOOTH_WINDOWS = 9
"""Windows over which the delay of the device changes evenly."""

LAG_SCATTER = 0.1
"""Scatter in samples of the delays of these windows."""


def fit_sweep(dry: Channel, wet: Channel, windows: WindowPlan, lag: float, sweeps: Sequence[Sweep]) -> LagFit | None:
    """Return the fit of a clock near `lag` in samples; None if the pooled correlation has no prominent peak.

    Steps and drift of the delays of the longest sweep belong to the clock, their other changes to the device.
    """
    delay, sign, prominence = pooled_delay(dry, wet, windows, round(lag), sweeps)
    if prominence < MIN_PROMINENCE:
        return None
    start = round(lag) + delay
    sweep = max(sweeps, key=lambda each: each.stop - each.start)
    measured = measure_sweep(dry, wet, sweep, round(start))
    silent = _is_muted(measured.energy)
    known = (measured.coherence > MIN_COHERENCE) & ~binary_dilation(silent)
    position, lags = measured.position[known], round(start) + measured.delay[known]
    period = wet_sample_period(wet)
    clock = _fit_clock(measured, known, round(start), period) or constant_clock(start, np.inf)
    lags = lags - clock.fit.drift_ppm * 1e-6 * measured.stretch[known]
    kept = known | silent
    residual = np.zeros(len(known))
    device = lags - clock.lags(position)
    if len(device):
        residual[known] = device - median_filter(device, SMOOTH_WINDOWS, mode="nearest")
    weight = np.where(known, 1.0 / (LAG_SCATTER**2 + LAG_FLOOR**2), 0.0)
    level = np.full(len(known), -20.0)
    track = LagTrack(*(each[kept] for each in (measured.position, residual, weight, np.sign(weight), level)))
    gain_db = amp_to_db(float(np.median(measured.gain[known])) if known.any() else 1.0, 1e-6)
    plan = WindowPlan((measured.position - measured.size // 2).astype(np.int64), measured.size)
    return LagFit(clock, track, gain_db, sign, plan, pooled=True)


def _fit_clock(measured: SweepDelays, known: Mask, lag: int, period: float) -> ClockModel | None:
    """Return the clock with the steps of the lag, and with its drift at high frequencies; None if it has neither."""
    steps = _lasting_steps(measured, known)
    high = known & (measured.hertz > FLAT_HZ)
    if high.sum() <= SMOOTH_WINDOWS:
        if not steps:
            return None
        high = known
    # Where a drifting clock reaches a frequency earlier, the sweep is as much earlier.
    stretched = measured.position + measured.stretch
    order = np.argsort(stretched)
    moved = [_move(step, np.interp(_edges(step), measured.position, stretched)) for step in steps]
    position, lags = stretched[order], (lag + measured.delay)[order]
    chosen = high[order]
    clock = fit_clock(position[chosen], lags[chosen], np.ones(int(chosen.sum())), moved, False, period)
    change = clock.fit.drift_ppm * 1e-6 * float(np.ptp(measured.position[high]))
    scatter = float(np.median(np.abs(lags[chosen] - clock.lags(position[chosen]))))
    is_straight = bool(steps) or _is_straight(position[chosen], lags[chosen])
    clock = replace(clock, steps=tuple(steps))
    if is_straight and abs(change) > MIN_DRIFT_SAMPLES and scatter < MAX_DRIFT_ERROR * abs(change):
        return clock
    if not steps:
        return None
    still = replace(clock, fit=replace(clock.fit, drift_ppm=0.0))
    where = measured.position[high]
    return still.offset_by(float(np.median(lag + measured.delay[high] - still.lags(where))))


def _is_straight(position: Real, lag: Real) -> bool:
    """Return whether the lag of the first and of the last half of the windows changes at the same rate."""
    half = len(lag) // 2
    slopes = [float(np.polyfit(position[part], lag[part], 1)[0]) for part in (slice(half), slice(half, None))]
    return min(slopes, key=abs) / (max(slopes, key=abs) or 1.0) > MIN_SLOPE_RATIO


def _lasting_steps(measured: SweepDelays, known: Mask) -> list[LagStep]:
    """Return the steps of the delay that last for half an octave.

    A resonance delays a narrow band, and the delay of other filters changes evenly.
    """
    position, delay = measured.position[known], measured.delay[known]
    hop = measured.size // 2
    steps = []
    for step in coarse_steps(position, delay, measured.size) if known.any() else ():
        half_octave = 0.5 * np.log(2.0) * abs(float(np.interp(step.position, measured.position, measured.stretch)))
        count = max(MIN_STEP_WINDOWS, int(half_octave / hop))
        before = delay[position < step.first + hop][-count:]
        after = delay[position > step.last - hop][:count]
        if not len(before) or not len(after):
            continue
        lasts = (np.median(after) - np.median(before)) / step.samples > MIN_LASTING_SHARE
        slopes = max(float(np.ptp(before[-STEADY_WINDOWS:])), float(np.ptp(after[:STEADY_WINDOWS])))
        if lasts and slopes < MAX_SLOPE_SHARE * abs(step.samples):
            steps.append(step)
    return steps


def _edges(step: LagStep) -> "tuple[int, int, int]":
    return step.position, step.first, step.last


def _move(step: LagStep, edges: Real) -> LagStep:
    position, first, last = (round(float(edge)) for edge in edges)
    return LagStep(position, first, last, step.samples)


def _is_muted(energy: Real) -> Mask:
    """Return the mask of the windows between an abrupt fall of the wet energy and its rise or the end of the sweep."""
    muted = np.zeros(len(energy), np.bool_)
    number = 2
    while number < len(energy):
        before = energy[number - 2]
        if energy[number] < MIN_DROP * before:
            rest = np.flatnonzero(energy[number:] > MIN_DROP * before)
            stop = number + int(rest[0]) if len(rest) else len(energy)
            muted[number - 1 : stop] = True
            number = stop + 2
        number += 1
    return muted
