"""From a walk along the take to the clock that explains it: fit, warp, measure again, until nothing moves any more."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from twinlib.alignment import dropouts
from twinlib.alignment.channel import Channel
from twinlib.alignment.clock import Break, Clock, Course, fitted
from twinlib.alignment.drift_curve import bend, cost
from twinlib.alignment.dropouts import hidden, rough, steps
from twinlib.alignment.lag_track import AGREES, NEARER, Measured, Plan, Response, agreeing, dense_plan, measure
from twinlib.alignment.tracker import Walk
from twinlib.alignment.wow_flutter import flutter, halves, move_together, takes_along, wander
from twinlib.progress import Progress, no_progress

MOST_WANDER = 0.01
"""Samples rms about a line above which a curve is tried."""

LEAST_AGREEING = 0.9
"""Share of the windows heard that must agree with a line, else a curve is tried."""

MOST_FLUTTER = 0.03
"""Samples rms by which short windows may swing before a curve is tried that follows them."""

SETTLED = 1e-3
"""Samples by which nothing may move any more."""

SAME = 0.005
"""Samples by which nine tenths of a curve may differ from that on denser windows."""

MOST_PASSES = 6
MOST_HIDDEN = 4
"""Losses that are looked for, one after the other, which the windows beside them do not show."""

DENSE = (16384, 8192, 4096, 2048)
"""Windows tried one after the other where the clock changes within the usual one."""

MOST_DENSE = 20_000
"""Windows that a curve is measured on at most: a quarter of an hour of the shortest, several of the longest."""


def follow(dry: Channel, wet: Channel, windows: Plan, walked: Walk, progress: Progress = no_progress) -> Course | None:
    """Explain a walk; None if fewer than two of its windows can be recognised."""
    course = _followed(dry, wet, windows, walked, progress)
    if course is None:
        return None
    swings = _flutter(dry, wet, course)
    if swings > MOST_FLUTTER and course.clock.curve is None:
        # The usual windows take the mean of what swings faster than they last.
        curved = _curved(dry, wet, course, course.clock.breaks, progress)
        if curved.clock.curve is not None:
            course, swings = curved, _flutter(dry, wet, curved)
    return replace(course, flutter=swings)


def _flutter(dry: Channel, wet: Channel, course: Course) -> float:
    programme = int(course.windows.starts[0]), int(course.windows.starts[-1]) + course.windows.size
    return flutter(dry, wet, course.clock, course.polarity, programme)


def _followed(dry: Channel, wet: Channel, windows: Plan, walked: Walk, progress: Progress) -> Course | None:
    polarity = 1 if float((walked.weight * walked.sign).sum()) >= 0 else -1
    heard = walked.heard & (walked.sign == polarity)
    if heard.sum() < 2:
        return None
    position, lag = walked.position[heard], walked.lag[heard]
    breaks = [rough(position, windows.size, step) for step in steps(position, lag)]
    # The walk's weights are those of whole windows by themselves; as a start, all count alike.
    clock = fitted(position, lag, np.ones(len(position)), breaks, False, unit_of(wet))
    course = _settle(dry, wet, windows, clock, polarity, False, progress)
    if course is None:
        return None
    denied: tuple[Break, ...] | None = None
    more = dropouts.with_finer(course)
    if not more:
        course = _unhidden(dry, wet, course, progress)
        more = course.clock.breaks
    if not more and _changes(course, dry.rate) and not of_the_device(dry, wet, course):
        # A clock that wanders shows by itself; what short windows would take for losses is its curve.
        course = _curved(dry, wet, course, more, progress)
        if course.clock.curve is not None:
            return course
        denied = course.clock.breaks
    more = dropouts.at_ends(dry, wet, course, more)
    if more != course.clock.breaks:
        course = _again(dry, wet, course, more, False, progress)
    split = dropouts.split(dry, wet, course, walked)
    if split != course.clock.breaks:
        course = _again(dry, wet, course, split, False, progress)
    located = dropouts.located(dry, wet, course)
    if located != course.clock.breaks:
        course = _again(dry, wet, course, located, False, progress)
        # Without its mistaken neighbours, one or the other is none.
        if len(dropouts.steps_left(course)) < len(located):
            course = _again(dry, wet, course, dropouts.steps_left(course), False, progress)
        course = _unhidden(dry, wet, course, progress)
    if course.clock.breaks != denied and _changes(course, dry.rate) and not of_the_device(dry, wet, course):
        course = _curved(dry, wet, course, course.clock.breaks, progress)
    return course


def unit_of(wet: Channel) -> float:
    """How long a sample of the wet file itself is: what is lost is whole ones."""
    return wet.rate / wet.reader.info.sample_rate


def _settle(
    dry: Channel, wet: Channel, windows: Plan, clock: Clock, polarity: int, curved: bool, progress: Progress
) -> Course | None:
    """Measure against the clock and fit it anew until it stands still; None if it loses the programme."""
    known: Response | None = None
    for number in range(MOST_PASSES):
        timemap = clock.timemap(dry.start, dry.stop)
        measured, response = measure(dry, wet, windows, timemap, known, polarity, clock.excluded)
        progress(1.0)
        heard = measured.heard & (measured.sign > 0)
        if heard.sum() < 2:
            return None
        position = measured.position[heard]
        lag = clock.lags(position) + measured.residual[heard]
        again = fitted(position, lag, measured.weight[heard], clock.breaks, curved, unit_of(wet))
        if response is not None and number > 0:
            # The windows give drift and curve. The constant is the delay of the mean response: until the device's
            # phase is known they take it for delay, and afterwards they see none.
            known = response
            again = again.shifted(response.delay - float(np.median(measured.residual[heard])))
        moved = np.abs(again.lags(position) - clock.lags(position))
        # Of a curve, some place or other always moves: what counts is nearly all of it.
        still = float(np.quantile(moved, 0.9) if curved else moved.max()) < SETTLED
        if (number > 1 and still) or number == MOST_PASSES - 1:
            break
        clock = again
    return Course(clock, measured, known.gain_db if known is not None else 0.0, polarity, windows, known)


def _again(
    dry: Channel, wet: Channel, course: Course, breaks: Sequence[Break], curved: bool, progress: Progress
) -> Course:
    """The course with other breaks, or with a curve; as it was if that loses the programme."""
    clock = fitted(*course.lags(), breaks, curved, unit_of(wet))
    return _settle(dry, wet, course.windows, clock, course.polarity, curved, progress) or course


def _unhidden(dry: Channel, wet: Channel, course: Course, progress: Progress) -> Course:
    """The course with the breaks that only all windows tell, where a curve tells less of them and frames a place."""
    for _ in range(MOST_HIDDEN):
        position, lag, weight = course.lags()
        clock, size = course.clock, course.windows.size
        near = np.abs(lag - clock.lags(position)) < NEARER
        position, lag, weight = position[near], lag[near], weight[near]
        labels, residual = clock.labels(position), lag - clock.lags(position)
        new = hidden(position, residual, weight, labels, unit_of(wet)) if len(position) else None
        if new is None:
            break
        new = replace(new, first=max(dry.start, new.first - size), last=min(dry.stop, new.last + size))
        if any(new.first < one.last and one.first < new.last for one in clock.breaks):
            break
        breaks = sorted([*clock.breaks, new], key=lambda one: one.place)
        curve = bend(position, residual, weight, labels)
        left = lag - fitted(position, lag, weight, breaks, False, unit_of(wet)).lags(position)
        if curve is not None and curve.cost < cost(left, weight, 2):
            break
        trial = _again(dry, wet, course, breaks, False, progress)
        placed_there = dropouts.located(dry, wet, trial)
        if len(placed_there) <= len(clock.breaks):
            break
        course = _again(dry, wet, trial, placed_there, False, progress)
    return course


def _changes(course: Course, sample_rate: int) -> bool:
    """Whether the lag changes about the clock by more than chance."""
    share = float(agreeing(course.measured).sum()) / max(1, int(course.measured.heard.sum()))
    return wander(course.measured, sample_rate) > MOST_WANDER or share < LEAST_AGREEING


def of_the_device(dry: Channel, wet: Channel, course: Course) -> bool:
    """Whether the lag changes with the programme alone: those of the lows and of the highs do not change together."""
    residual = course.measured.residual[course.measured.heard]
    # No device changes its delay by so much, and windows over which a clock changes that fast tell it badly.
    if 1.4826 * float(np.median(np.abs(residual - np.median(residual)))) > AGREES:
        return False
    return not move_together(*halves(dry, wet, course.clock, course.polarity, course.windows), dry.rate)


def _curved(dry: Channel, wet: Channel, course: Course, breaks: Sequence[Break], progress: Progress) -> Course:
    """A curve in place of the line, on denser windows where the clock changes fast; the line if no curve pays.

    Beside a curve, what looked like a break of the line may be none.
    """
    best = _with_steps(dry, wet, _again(dry, wet, course, breaks, True, progress), progress)
    first, last = int(course.windows.starts[0]), int(course.windows.starts[-1]) + course.windows.size
    for size in DENSE:
        windows = dense_plan(first, last, size)
        if size >= course.windows.size or len(windows.starts) > MOST_DENSE:
            continue
        denser = _settle(dry, wet, windows, best.clock, course.polarity, True, progress)
        if denser is None:
            break
        denser = _with_steps(dry, wet, denser, progress)
        position = denser.measured.position
        change = denser.clock.lags(position) - best.clock.lags(position)
        changed = float(np.quantile(np.abs(change - np.median(change)), 0.9))
        best = denser
        if best.clock.curve is not None and changed < SAME:
            break
    # Beside the curve: windows over which the clock changes by samples tell either half badly.
    low, high = halves(dry, wet, best.clock, best.polarity, course.windows)
    if not takes_along(low, high, best.clock.lags(low.position) - course.clock.lags(low.position)):
        return course
    # Short windows tell the curve; whether it is right, the usual ones tell.
    through = measured_through(dry, wet, replace(best, windows=course.windows))
    if through is None:
        return course
    return replace(best, windows=course.windows, measured=through[0], polarity=through[2], response=None)


def _with_steps(dry: Channel, wet: Channel, course: Course, progress: Progress) -> Course:
    """The curve without the breaks at which it does not change."""
    left = dropouts.steps_left(course)
    return course if len(left) == len(course.clock.breaks) else _again(dry, wet, course, left, True, progress)


def measured_through(dry: Channel, wet: Channel, course: Course) -> tuple[Measured, float, int] | None:
    """The windows of another channel of the same recording on a known clock, its gain in dB and its polarity.

    None if fewer than two of them can be recognised.
    """
    timemap = course.clock.timemap(dry.start, dry.stop)
    measured, _ = measure(dry, wet, course.windows, timemap, None, 1, course.clock.excluded)
    polarity = 1 if float((measured.weight * measured.sign).sum()) >= 0 else -1
    _, response = measure(dry, wet, course.windows, timemap, None, polarity, course.clock.excluded)
    measured, again = measure(dry, wet, course.windows, timemap, response, polarity, course.clock.excluded)
    if measured.heard.sum() < 2 or again is None:
        return None
    return measured, again.gain_db, polarity
