"""From a walk along the take to the clock that explains it: fit, warp, measure again, until nothing moves any more."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from twinlib.alignment import dropouts
from twinlib.alignment.channel import Channel
from twinlib.alignment.clock import ClockModel, LagFit, LagStep, fit_clock
from twinlib.alignment.drift_curve import bic, fit_drift_curve
from twinlib.alignment.dropouts import coarse_interval, detect_steps, hidden
from twinlib.alignment.lag_track import (
    INLIER_SAMPLES,
    MAX_RESIDUAL,
    LagTrack,
    Response,
    WindowPlan,
    inliers,
    measure_lags,
    plan_dense_windows,
)
from twinlib.alignment.tracker import CoarseTrack
from twinlib.alignment.wow_flutter import flutter_rms, is_broadband, measure_subbands, subbands_covary, wander_rms
from twinlib.progress import Progress, no_progress

MIN_WANDER = 0.01
"""Samples rms about a line above which a curve is tried."""

MIN_INLIER_SHARE = 0.9
"""Share of the windows heard that must agree with a line, else a curve is tried."""

MAX_FLUTTER = 0.03
"""Samples rms by which short windows may swing before a curve is tried that follows them."""

CONVERGED_SAMPLES = 1e-3
"""Samples by which nothing may move any more."""

CURVE_CONVERGED_SAMPLES = 0.005
"""Samples by which nine tenths of a curve may differ from that on denser windows."""

MAX_ITERATIONS = 6
MOST_HIDDEN = 4
"""Losses that are looked for, one after the other, which the windows beside them do not show."""

DENSE_SIZES = (16384, 8192, 4096, 2048)
"""Windows tried one after the other where the clock changes within the usual one."""

MAX_DENSE_WINDOWS = 20_000
"""Windows that a curve is measured on at most: a quarter of an hour of the shortest, several of the longest."""


def fit_track(
    dry: Channel, wet: Channel, windows: WindowPlan, walked: CoarseTrack, progress: Progress = no_progress
) -> LagFit | None:
    """Explain a walk; None if fewer than two of its windows can be recognised."""
    course = _followed(dry, wet, windows, walked, progress)
    if course is None:
        return None
    swings = _flutter(dry, wet, course)
    if swings > MAX_FLUTTER and course.clock.curve is None:
        # The usual windows take the mean of what swings faster than they last.
        curved = _curved(dry, wet, course, course.clock.steps, progress)
        if curved.clock.curve is not None:
            course, swings = curved, _flutter(dry, wet, curved)
    return replace(course, flutter=swings)


def _flutter(dry: Channel, wet: Channel, course: LagFit) -> float:
    programme = int(course.windows.starts[0]), int(course.windows.starts[-1]) + course.windows.size
    return flutter_rms(dry, wet, course.clock, course.polarity, programme)


def _followed(
    dry: Channel, wet: Channel, windows: WindowPlan, walked: CoarseTrack, progress: Progress
) -> LagFit | None:
    polarity = 1 if float((walked.weight * walked.sign).sum()) >= 0 else -1
    heard = walked.detected & (walked.sign == polarity)
    if heard.sum() < 2:
        return None
    position, lag = walked.position[heard], walked.lag[heard]
    breaks = [coarse_interval(position, windows.size, step) for step in detect_steps(position, lag)]
    # The walk's weights are those of whole windows by themselves; as a start, all count alike.
    clock = fit_clock(position, lag, np.ones(len(position)), breaks, False, wet_sample_period(wet))
    course = _settle(dry, wet, windows, clock, polarity, False, progress)
    if course is None:
        return None
    denied: tuple[LagStep, ...] | None = None
    more = dropouts.with_small_steps(course)
    if not more:
        course = _unhidden(dry, wet, course, progress)
        more = course.clock.steps
    if not more and _changes(course, dry.rate) and not is_device_phase(dry, wet, course):
        # A clock that wanders shows by itself; what short windows would take for losses is its curve.
        course = _curved(dry, wet, course, more, progress)
        if course.clock.curve is not None:
            return course
        denied = course.clock.steps
    more = dropouts.detect_at_ends(dry, wet, course, more)
    if more != course.clock.steps:
        course = _again(dry, wet, course, more, False, progress)
    split = dropouts.split_steps(dry, wet, course, walked)
    if split != course.clock.steps:
        course = _again(dry, wet, course, split, False, progress)
    located = dropouts.localise(dry, wet, course)
    if located != course.clock.steps:
        course = _again(dry, wet, course, located, False, progress)
        # Without its mistaken neighbours, one or the other is none.
        if len(dropouts.remaining_steps(course)) < len(located):
            course = _again(dry, wet, course, dropouts.remaining_steps(course), False, progress)
        course = _unhidden(dry, wet, course, progress)
    if course.clock.steps != denied and _changes(course, dry.rate) and not is_device_phase(dry, wet, course):
        course = _curved(dry, wet, course, course.clock.steps, progress)
    return course


def wet_sample_period(wet: Channel) -> float:
    """How long a sample of the wet file itself is: what is lost is whole ones."""
    return wet.rate / wet.reader.info.sample_rate


def _settle(
    dry: Channel, wet: Channel, windows: WindowPlan, clock: ClockModel, polarity: int, curved: bool, progress: Progress
) -> LagFit | None:
    """Measure against the clock and fit it anew until it stands still; None if it loses the programme."""
    known: Response | None = None
    for number in range(MAX_ITERATIONS):
        timemap = clock.time_map(dry.start, dry.stop)
        measured, response = measure_lags(dry, wet, windows, timemap, known, polarity, clock.excluded)
        progress(1.0)
        heard = measured.detected & (measured.sign > 0)
        if heard.sum() < 2:
            return None
        position = measured.position[heard]
        lag = clock.lags(position) + measured.residual[heard]
        again = fit_clock(position, lag, measured.weight[heard], clock.steps, curved, wet_sample_period(wet))
        if response is not None and number > 0:
            # The windows give drift and curve. The constant is the delay of the mean response: until the device's
            # phase is known they take it for delay, and afterwards they see none.
            known = response
            again = again.shifted(response.delay - float(np.median(measured.residual[heard])))
        moved = np.abs(again.lags(position) - clock.lags(position))
        # Of a curve, some place or other always moves: what counts is nearly all of it.
        still = float(np.quantile(moved, 0.9) if curved else moved.max()) < CONVERGED_SAMPLES
        if (number > 1 and still) or number == MAX_ITERATIONS - 1:
            break
        clock = again
    return LagFit(clock, measured, known.gain_db if known is not None else 0.0, polarity, windows, known)


def _again(
    dry: Channel, wet: Channel, course: LagFit, breaks: Sequence[LagStep], curved: bool, progress: Progress
) -> LagFit:
    """The course with other breaks, or with a curve; as it was if that loses the programme."""
    clock = fit_clock(*course.lags(), breaks, curved, wet_sample_period(wet))
    return _settle(dry, wet, course.windows, clock, course.polarity, curved, progress) or course


def _unhidden(dry: Channel, wet: Channel, course: LagFit, progress: Progress) -> LagFit:
    """The course with the breaks that only all windows tell, where a curve tells less of them and frames a place."""
    for _ in range(MOST_HIDDEN):
        position, lag, weight = course.lags()
        clock, size = course.clock, course.windows.size
        near = np.abs(lag - clock.lags(position)) < MAX_RESIDUAL
        position, lag, weight = position[near], lag[near], weight[near]
        labels, residual = clock.labels(position), lag - clock.lags(position)
        new = hidden(position, residual, weight, labels, wet_sample_period(wet)) if len(position) else None
        if new is None:
            break
        new = replace(new, first=max(dry.start, new.first - size), last=min(dry.stop, new.last + size))
        if any(new.first < one.last and one.first < new.last for one in clock.steps):
            break
        breaks = sorted([*clock.steps, new], key=lambda one: one.place)
        curve = fit_drift_curve(position, residual, weight, labels)
        left = lag - fit_clock(position, lag, weight, breaks, False, wet_sample_period(wet)).lags(position)
        if curve is not None and curve.cost < bic(left, weight, 2):
            break
        trial = _again(dry, wet, course, breaks, False, progress)
        placed_there = dropouts.localise(dry, wet, trial)
        if len(placed_there) <= len(clock.steps):
            break
        course = _again(dry, wet, trial, placed_there, False, progress)
    return course


def _changes(course: LagFit, sample_rate: int) -> bool:
    """Whether the lag changes about the clock by more than chance."""
    share = float(inliers(course.track).sum()) / max(1, int(course.track.detected.sum()))
    return wander_rms(course.track, sample_rate) > MIN_WANDER or share < MIN_INLIER_SHARE


def is_device_phase(dry: Channel, wet: Channel, course: LagFit) -> bool:
    """Whether the lag changes with the programme alone: those of the lows and of the highs do not change together."""
    residual = course.track.residual[course.track.detected]
    # No device changes its delay by so much, and windows over which a clock changes that fast tell it badly.
    if 1.4826 * float(np.median(np.abs(residual - np.median(residual)))) > INLIER_SAMPLES:
        return False
    return not subbands_covary(*measure_subbands(dry, wet, course.clock, course.polarity, course.windows), dry.rate)


def _curved(dry: Channel, wet: Channel, course: LagFit, breaks: Sequence[LagStep], progress: Progress) -> LagFit:
    """A curve in place of the line, on denser windows where the clock changes fast; the line if no curve pays.

    Beside a curve, what looked like a break of the line may be none.
    """
    best = _with_steps(dry, wet, _again(dry, wet, course, breaks, True, progress), progress)
    first, last = int(course.windows.starts[0]), int(course.windows.starts[-1]) + course.windows.size
    for size in DENSE_SIZES:
        windows = plan_dense_windows(first, last, size)
        if size >= course.windows.size or len(windows.starts) > MAX_DENSE_WINDOWS:
            continue
        denser = _settle(dry, wet, windows, best.clock, course.polarity, True, progress)
        if denser is None:
            break
        denser = _with_steps(dry, wet, denser, progress)
        position = denser.track.position
        change = denser.clock.lags(position) - best.clock.lags(position)
        changed = float(np.quantile(np.abs(change - np.median(change)), 0.9))
        best = denser
        if best.clock.curve is not None and changed < CURVE_CONVERGED_SAMPLES:
            break
    # Beside the curve: windows over which the clock changes by samples tell either half badly.
    low, high = measure_subbands(dry, wet, best.clock, best.polarity, course.windows)
    if not is_broadband(low, high, best.clock.lags(low.position) - course.clock.lags(low.position)):
        return course
    # Short windows tell the curve; whether it is right, the usual ones tell.
    through = measure_through_device(dry, wet, replace(best, windows=course.windows))
    if through is None:
        return course
    return replace(best, windows=course.windows, track=through[0], polarity=through[2], response=None)


def _with_steps(dry: Channel, wet: Channel, course: LagFit, progress: Progress) -> LagFit:
    """The curve without the breaks at which it does not change."""
    left = dropouts.remaining_steps(course)
    return course if len(left) == len(course.clock.steps) else _again(dry, wet, course, left, True, progress)


def measure_through_device(dry: Channel, wet: Channel, course: LagFit) -> tuple[LagTrack, float, int] | None:
    """The windows of another channel of the same recording on a known clock, its gain in dB and its polarity.

    None if fewer than two of them can be recognised.
    """
    timemap = course.clock.time_map(dry.start, dry.stop)
    measured, _ = measure_lags(dry, wet, course.windows, timemap, None, 1, course.clock.excluded)
    polarity = 1 if float((measured.weight * measured.sign).sum()) >= 0 else -1
    _, response = measure_lags(dry, wet, course.windows, timemap, None, polarity, course.clock.excluded)
    measured, again = measure_lags(dry, wet, course.windows, timemap, response, polarity, course.clock.excluded)
    if measured.detected.sum() < 2 or again is None:
        return None
    return measured, again.gain_db, polarity
