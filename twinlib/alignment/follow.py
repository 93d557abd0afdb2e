"""From a walk along the take to the clock that explains it: fit, warp, measure again, until nothing moves any more."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from twinlib.alignment.bend import bend, cost
from twinlib.alignment.breaks import LEAST_STEP, Break, hidden, rough, steps
from twinlib.alignment.clock import Clock, fitted
from twinlib.alignment.coverage import lies_better
from twinlib.alignment.flutter import flutter
from twinlib.alignment.halves import halves
from twinlib.alignment.line import Array
from twinlib.alignment.place import TwoMaps, placed
from twinlib.alignment.prediction import Prediction, predicted_by
from twinlib.alignment.signals import Channel
from twinlib.alignment.timemap import TimeMap
from twinlib.alignment.track import AGREES, NEARER, Measured, Plan, Response, agreeing, dense_plan, measure
from twinlib.alignment.walk import Walk
from twinlib.alignment.wander import move_together, takes_along, wander
from twinlib.progress import Progress, silent

MOST_WANDER = 0.01
"""Samples rms about a line above which a curve is tried."""

LEAST_AGREEING = 0.9
"""Share of the windows heard that must agree with a line, else a curve is tried."""

MOST_FLUTTER = 0.03
"""Samples rms by which short windows may swing before a curve is tried that follows them."""

SETTLED = 1e-3
"""Samples by which nothing may move any more."""

SPLIT = 8192
"""Samples of the windows that look for a loss between two longer ones."""

REACH = 2000
"""Samples within which they are found."""

OFF = 16.0
"""Samples by which a window lies off where two losses make up for each other: no device delays anything so much."""

MOST_DOUBTFUL = 2.0
"""Samples of a loss that is not believed if nothing tells its place."""

AROUND_SECONDS = 1.0
"""On either side of where the windows place a loss, that it is looked for."""

SHARP = 100.0
"""Inverse variance, 0.1 samples rms, from which a short window can tell a loss: one of few tones cannot."""

EXCURSION_SECONDS = 10.0
"""Between two losses that make up for each other, within which what lies there must be answered better for them."""

END_SECONDS = 2.0
"""Of each end of the programme that short windows look at for losses."""

SAME = 0.005
"""Samples by which nine tenths of a curve may differ from that on denser windows."""

MOST_PASSES = 6
MOST_HIDDEN = 4
"""Losses that are looked for, one after the other, which the windows beside them do not show."""

DENSE = (16384, 8192, 4096, 2048)
"""Windows tried one after the other where the clock changes within the usual one."""

MOST_DENSE = 20_000
"""Windows that a curve is measured on at most: a quarter of an hour of the shortest, several of the longest."""


@dataclass(frozen=True)
class Course:
    """The clock, the windows measured against it, gain and polarity of the device, and what windows they were.

    `response` is what the windows told of the device in the end, if the clock does not wander; `flutter` is the rms in
    samples by which the clocks swing within seconds about what is known of them.
    """

    clock: Clock
    measured: Measured
    gain_db: float
    polarity: int
    windows: Plan
    response: Response | None = None
    flutter: float = 0.0

    def lags(self) -> tuple[Array, Array, Array]:
        """Position on the dry clock, lag in samples and weight of the windows heard."""
        heard = self.measured.heard & (self.measured.sign > 0)
        position = self.measured.position[heard]
        return position, self.clock.lags(position) + self.measured.residual[heard], self.measured.weight[heard]


def follow(dry: Channel, wet: Channel, windows: Plan, walked: Walk, progress: Progress = silent) -> Course | None:
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
    more = _with_finer(course)
    if not more:
        course = _unhidden(dry, wet, course, progress)
        more = course.clock.breaks
    if not more and _changes(course, dry.rate) and not of_the_device(dry, wet, course):
        # A clock that wanders shows by itself; what short windows would take for losses is its curve.
        course = _curved(dry, wet, course, more, progress)
        if course.clock.curve is not None:
            return course
        denied = course.clock.breaks
    more = _at_ends(dry, wet, course, more)
    if more != course.clock.breaks:
        course = _again(dry, wet, course, more, False, progress)
    split = _split(dry, wet, course, walked)
    if split != course.clock.breaks:
        course = _again(dry, wet, course, split, False, progress)
    located = _located(dry, wet, course)
    if located != course.clock.breaks:
        course = _again(dry, wet, course, located, False, progress)
        # Without its mistaken neighbours, one or the other is none.
        if len(_steps_left(course)) < len(located):
            course = _again(dry, wet, course, _steps_left(course), False, progress)
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


def _with_finer(course: Course) -> tuple[Break, ...]:
    """The breaks that still are some, and the small ones that show only now."""
    position, lag, _ = course.lags()
    # Of what no window fits beyond, the walk's doubtful windows tell little, and short ones look there anyway.
    untold = np.isinf(course.clock.fit.lag_errors)
    ends = {course.clock.breaks[end] for end in (0, -1) if course.clock.breaks and untold[end]}
    kept = [one for one in _steps_left(course) if one not in ends or abs(one.step) > OFF]
    for step in steps(position, lag):
        new = rough(position, course.windows.size, step)
        if not any(new.first < one.last and one.first < new.last for one in kept):
            kept.append(new)
    return tuple(sorted(kept, key=lambda one: one.place))


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
        placed_there = _located(dry, wet, trial)
        if len(placed_there) <= len(clock.breaks):
            break
        course = _again(dry, wet, trial, placed_there, False, progress)
    return course


def _steps_left(course: Course) -> list[Break]:
    """The breaks at which the lag changes."""
    change = np.abs(np.diff(course.clock.fit.lags))
    return [one for one, step in zip(course.clock.breaks, change, strict=True) if step > LEAST_STEP]


def _at_ends(dry: Channel, wet: Channel, course: Course, known: Sequence[Break]) -> tuple[Break, ...]:
    """The breaks, and those so near the ends of the programme that only short windows fit beyond them."""
    timemap = course.clock.timemap(dry.start, dry.stop)
    first, last = int(course.windows.starts[0]), int(course.windows.starts[-1]) + course.windows.size
    reach = round(END_SECONDS * dry.rate)
    found = list(known)
    for start, stop in ((first, min(last, first + reach)), (max(first, last - reach), last)):
        windows = dense_plan(start, stop, SPLIT)
        _, response = measure(dry, wet, windows, timemap, None, course.polarity)
        measured, _ = measure(dry, wet, windows, timemap, response, course.polarity)
        heard = (measured.weight > SHARP) & (measured.sign > 0)
        position = measured.position[heard]
        for step in steps(position, measured.residual[heard]):
            new = rough(position, SPLIT, step)
            if not any(new.first < one.last and one.first < new.last for one in found):
                found.append(new)
    return tuple(sorted(found, key=lambda one: one.place))


def _split(dry: Channel, wet: Channel, course: Course, walked: Walk) -> tuple[Break, ...]:
    """The breaks between shorter windows, all at once where longer ones hardly fit between two of them."""
    timemap = course.clock.timemap(dry.start, dry.stop)
    breaks, constants = course.clock.breaks, course.clock.fit.lags
    places = [one.place for one in breaks]
    found: list[Break] = []
    for first, last in _zones(course):
        low, high = int(np.searchsorted(places, first)), int(np.searchsorted(places, last, side="right"))
        reach = 2 * course.windows.size
        windows = dense_plan(max(dry.start, first - reach), min(dry.stop, last + reach), SPLIT)
        # What lies between two losses may lie far from what lies around them: there the walk may have seen it.
        near = (walked.position > first) & (walked.position < last)
        shifts = (constants[low : high + 1] - constants[low]).tolist()
        for shift in (walked.lag[near] - timemap.curve(low, walked.position[near])).tolist():
            if min(abs(shift - other) for other in shifts) > REACH:
                shifts.append(shift)
        lags, weights = [], []
        for shift in shifts:
            alone = TimeMap([timemap.pieces[low]]).shifted(shift)
            measured, _ = measure(dry, wet, windows, alone, None, course.polarity, everything=True)
            lags.append(alone.curve(0, measured.position) + measured.residual)
            weights.append(np.where(measured.sign > 0, measured.weight, 0.0))
        best = np.argmax(weights, axis=0)[np.newaxis]
        lag, weight = (np.take_along_axis(np.array(of), best, 0)[0] for of in (lags, weights))
        heard = weight > SHARP
        position, lag = measured.position[heard], lag[heard]
        new = [rough(position, SPLIT, step) for step in steps(position, lag)]
        inside = [one for one in new if one.last > first and one.first < last]
        # What several steps come to, the pieces around them tell; a single one is surer than short pieces are.
        change = float(constants[high] - constants[low])
        complete = abs(change - sum(one.step for one in inside)) < LEAST_STEP
        surer = bool(inside) and (complete or high - low == 1)
        found += inside if surer else _as_one(breaks[low:high], change)
    return tuple(sorted(found, key=lambda one: one.place))


def _as_one(breaks: Sequence[Break], change: float) -> list[Break]:
    """What is believed of breaks with no windows between them that short ones do not tell: small ones, in sum alone."""
    if len(breaks) < 2 or max(abs(one.step) for one in breaks) > OFF:
        return list(breaks)
    first, last = breaks[0].first, max(one.last for one in breaks)
    return [Break((first + last) // 2, first, last, change)] if abs(change) > LEAST_STEP else []


def _zones(course: Course) -> list[tuple[int, int]]:
    """The dry ranges in which something was lost, and those of windows that lie off: what two losses make up for.

    Those between which no window fits are one.
    """
    measured, size = course.measured, course.windows.size
    off = (np.abs(measured.residual) > OFF) & (measured.weight > SHARP) & (measured.sign > 0)
    if off.sum() > (1.0 - LEAST_AGREEING) * measured.heard.sum():
        off[:] = False
    zones: list[tuple[int, int]] = []
    odd = [(int(place) - size, int(place) + size) for place in measured.position[off]]
    for first, last in sorted([*course.clock.excluded, *odd]):
        if zones and first <= zones[-1][1] + size:
            first, last = zones[-1][0], max(zones.pop()[1], last)
        zones.append((first, last))
    return zones


def _located(dry: Channel, wet: Channel, course: Course) -> tuple[Break, ...]:
    """Each break where it is; one that explains nothing is none, but a large one in silence stays where it may be."""
    timemap = course.clock.timemap(dry.start, dry.stop)
    breaks, lags = course.clock.breaks, course.clock.fit.lags
    if not breaks:
        return ()
    prediction = predicted_by(dry, wet, timemap, dry.start, dry.stop, course.polarity)
    reach = round(AROUND_SECONDS * dry.rate)
    skipped = unfounded(dry, wet, course, prediction)
    found: list[Break] = []
    for number, one in enumerate(breaks):
        low = found[-1].last if found else dry.start
        high = breaks[number + 1].first if number + 1 < len(breaks) else dry.stop
        exact = None
        step = float(lags[number + 1] - lags[number])
        # Windows place a loss roughly, and through a device that distorts much not even so.
        for more in (0, reach):
            zone = max(one.first - more, low), min(one.last + more, high)
            # What leaves its course for a while, and is answered no better for it, must be told twice.
            exact = exact or _exactly(dry, wet, course, number, zone, (low, high), number in skipped)
        if exact is not None and abs(step) > LEAST_STEP:
            found.append(exact)
        elif abs(step) > MOST_DOUBTFUL and number not in skipped:
            found.append(one)
    return tuple(found)


def _exactly(
    dry: Channel, wet: Channel, course: Course, number: int, zone: tuple[int, int], around: tuple[int, int], twice: bool
) -> Break | None:
    """The break of that number, placed in a zone by short frames; None if they do not tell it, or not `twice`."""
    pieces = course.clock.timemap(dry.start, dry.stop).pieces
    maps = TimeMap([pieces[number]]), TimeMap([pieces[number + 1]])
    if course.response is None or zone[0] >= zone[1]:
        return None
    by = TwoMaps(dry, wet, maps, course.response, course.windows.size, course.polarity)
    found = placed(by, zone, ((around[0], zone[0]), (zone[1], around[1])))
    if found is None or (twice and not found.closely):
        return None
    step = float(course.clock.fit.lags[number + 1] - course.clock.fit.lags[number])
    return Break(found.place, found.first, found.last + abs(round(step)), step)


def unfounded(dry: Channel, wet: Channel, course: Course, prediction: Prediction) -> set[int]:
    """The numbers of breaks beyond which the lag seems to leave its course for some seconds, and nothing else does.

    It comes back, or the programme begins or ends there. A few seconds of tones through a device that distorts may tell
    another period of theirs.
    """
    breaks, lags = course.clock.breaks, course.clock.fit.lags
    timemap = course.clock.timemap(dry.start, dry.stop)
    begin, end = int(course.windows.starts[0]), int(course.windows.starts[-1]) + course.windows.size
    edges = [begin, *(place for one in breaks for place in (one.first, one.last)), end]
    if breaks:
        # Beyond the first and the last there may be no more than where they may lie.
        edges[1], edges[-2] = max(edges[1], breaks[0].place), min(edges[-2], breaks[-1].place)
    found: set[int] = set()
    for piece in range(len(lags)):
        stretch = edges[2 * piece], edges[2 * piece + 1]
        around = [beside for beside in (piece - 1, piece + 1) if 0 <= beside < len(lags)]
        back = abs(float(lags[around[-1]] - lags[around[0]])) < LEAST_STEP
        if not back or not around or not 0 < stretch[1] - stretch[0] < EXCURSION_SECONDS * dry.rate:
            continue
        usual = TimeMap([timemap.pieces[around[0]]])
        later = float(lags[piece] - lags[around[0]])
        if not lies_better(dry, wet, usual, prediction, course.polarity, stretch, later):
            found |= {number for number in (piece - 1, piece) if 0 <= number < len(breaks)}
    return found


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
    left = _steps_left(course)
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
