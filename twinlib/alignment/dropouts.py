"""The losses that windows beside a course tell, finer and finer: which there are, between which windows, and where."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter

from twinlib.alignment.channel import Channel
from twinlib.alignment.clock import LagFit, LagStep
from twinlib.alignment.delay import Real
from twinlib.alignment.lag_track import DISPLACED_SAMPLES, MIN_SHORT_WEIGHT, measure_lags, plan_dense_windows
from twinlib.alignment.linear_model import FirModel, identify_fir
from twinlib.alignment.place import TwoMaps, placed
from twinlib.alignment.residual import improves_with_shift
from twinlib.alignment.time_map import Labels, TimeMap
from twinlib.alignment.tracker import CoarseTrack

MIN_STEP = 0.5
"""Samples: nothing is lost in parts of samples."""

MIN_STEP_SIGMAS = 8.0
"""Times its own scatter that a step of the lag must have."""

SIDE_WINDOWS = 3
"""Windows on either side of a step whose median stands for the lag there."""

LEAST_WINDOWS = 4
"""Windows on either side of a step that only all of them tell."""


@dataclass(frozen=True)
class TrackStep:
    """The lag changes by `samples` between window `after - 1` and window `after` of those that were heard."""

    after: int
    samples: float


def detect_steps(position: Real, lag: Real) -> list[TrackStep]:
    """The steps of a lag track that else changes slowly; `position` and `lag` of the windows heard, in order.

    A step stands out from the scatter of its neighbourhood, and both sides of it hold for at least two windows.
    """
    count = len(position)
    if count < 4:
        return []
    change, apart = np.diff(lag), np.diff(position)
    slopes = median_filter(change / apart, size=min(15, 2 * ((count - 1) // 2) - 1), mode="reflect")
    level = np.concatenate(([0.0], np.cumsum(change - slopes * apart)))
    jitter = np.abs(np.diff(level))
    found = np.zeros(count)
    for i in range(2, count - 1):
        before, after = level[max(0, i - SIDE_WINDOWS) : i], level[i : i + SIDE_WINDOWS]
        near = jitter[max(0, i - 12) : i + 12]
        scatter = 1.4826 * float(np.median(near)) / np.sqrt(2.0)
        step = float(np.median(after) - np.median(before))
        # Both sides keep to their level: a lag that swings is no step.
        spread = (
            max(float(np.ptp(before)), float(np.ptp(after))) if min(len(before), len(after)) < SIDE_WINDOWS else 0.0
        )
        if abs(step) > max(MIN_STEP, MIN_STEP_SIGMAS * scatter, 2.0 * spread):
            found[i] = step
    result = []
    while found.any():
        # Medians of three see a step a window early and late too; it is where two neighbours differ most.
        top = int(np.abs(found).argmax())
        nearby = [i for i in range(max(1, top - 2), min(count, top + 3)) if found[i] * found[top] > 0]
        at = max(nearby, key=lambda i: (abs(level[i] - level[i - 1]), abs(found[i])))
        if abs(level[at] - level[at - 1]) > 0.3 * abs(found[top]):
            result.append(TrackStep(at, float(found[top])))
        found[max(0, at - SIDE_WINDOWS) : at + SIDE_WINDOWS + 1] = 0.0
        found[top] = 0.0
    return sorted(result, key=lambda one: one.after)


def hidden(position: Real, residual: Real, weights: Real, labels: Labels, unit: float) -> LagStep | None:
    """The whole number of samples, `unit` long each, that all windows together tell to be lost; None if none is.

    A device whose delay changes with the programme hides a step of a sample from the windows beside it, but not from
    hundreds. `residual` is that about parallel lines through the pieces that `labels` number. It is the place that
    leaves least, and must pay by Schwarz's criterion, counted double, for neighbouring windows overlap.
    """
    count = len(position)
    if count < 4 * LEAST_WINDOWS:
        return None
    beside = residual - median_filter(residual, 5, mode="reflect")
    scatter = 1.4826 * float(np.median(np.abs(beside))) + 1e-4
    trust = np.clip(1.0 - (beside / (6.0 * scatter)) ** 2, 1e-3, None) ** 2
    root = np.sqrt(trust / (1.0 / weights + scatter**2))
    _, pieces = np.unique(labels, return_inverse=True)
    lines = np.column_stack((position / position[-1], *(pieces == number for number in range(int(pieces.max()) + 1))))
    basis, _ = np.linalg.qr(root[:, None] * lines)
    # Column number i is a step before window i, less what the lines make of it.
    stepped = root[:, None] * np.tri(count)
    stepped -= basis @ (basis.T @ stepped)
    left = root * residual
    left -= basis @ (basis.T @ left)
    size, common = np.square(stepped).sum(axis=0), stepped.T @ left
    samples = np.round(common / np.maximum(size, 1e-12) / unit) * unit
    gain = 2.0 * samples * common - samples**2 * size
    gain[:LEAST_WINDOWS], gain[1 - LEAST_WINDOWS :] = 0.0, 0.0
    at, total = int(gain.argmax()), float(np.square(left).sum())
    explained = count * np.log(total / np.maximum(total - gain, 1e-9 * total))
    if explained[at] <= 2.0 * 2.0 * np.log(count):
        return None
    # Within what pays for no parameter, one place is as good as the other.
    low, high = np.flatnonzero(explained > explained[at] - 2.0 * np.log(count))[[0, -1]]
    step = float(samples[at])
    first, last = int(position[low - 1]), int(position[high])
    return LagStep(int(position[at - 1] + position[at]) // 2, first, last + max(0, -round(step)), step)


def coarse_interval(position: Real, size: int, found: TrackStep) -> LagStep:
    """A break somewhere between two windows of `size` samples, whose energy is centred at `position`."""
    first, last = int(position[found.after - 1]) - size, int(position[found.after]) + size
    return LagStep((first + last) // 2, first, last + max(0, -round(found.samples)), found.samples)


SHORT_WINDOW = 8192
"""Samples of the windows that look for a loss between two longer ones."""

SHORT_REACH = 2000
"""Samples within which they are found."""


MAX_UNCONFIRMED_STEP = 2.0
"""Samples of a loss that is not believed if nothing tells its place."""

AROUND_SECONDS = 1.0
"""On either side of where the windows place a loss, that it is looked for."""

MAX_DISPLACED_SHARE = 0.1
"""Share of the windows heard that may lie off so far: of more it is the clock that is wrong."""


MAX_EXCURSION_SECONDS = 10.0
"""Between two losses that make up for each other, within which what lies there must be answered better for them."""

END_SECONDS = 2.0
"""Of each end of the programme that short windows look at for losses."""


def remaining_steps(course: LagFit) -> list[LagStep]:
    """The breaks at which the lag changes."""
    change = np.abs(np.diff(course.clock.fit.lags))
    return [one for one, step in zip(course.clock.steps, change, strict=True) if step > MIN_STEP]


def with_small_steps(course: LagFit) -> tuple[LagStep, ...]:
    """The breaks that still are some, and the small ones that show only now."""
    position, lag, _ = course.lags()
    # Of what no window fits beyond, the walk's doubtful windows tell little, and short ones look there anyway.
    untold = np.isinf(course.clock.fit.lag_errors)
    ends = {course.clock.steps[end] for end in (0, -1) if course.clock.steps and untold[end]}
    kept = [one for one in remaining_steps(course) if one not in ends or abs(one.step) > DISPLACED_SAMPLES]
    for step in detect_steps(position, lag):
        new = coarse_interval(position, course.windows.size, step)
        if not any(new.first < one.last and one.first < new.last for one in kept):
            kept.append(new)
    return tuple(sorted(kept, key=lambda one: one.place))


def detect_at_ends(dry: Channel, wet: Channel, course: LagFit, known: Sequence[LagStep]) -> tuple[LagStep, ...]:
    """The breaks, and those so near the ends of the programme that only short windows fit beyond them."""
    timemap = course.clock.time_map(dry.start, dry.stop)
    first, last = int(course.windows.starts[0]), int(course.windows.starts[-1]) + course.windows.size
    reach = round(END_SECONDS * dry.rate)
    found = list(known)
    for start, stop in ((first, min(last, first + reach)), (max(first, last - reach), last)):
        windows = plan_dense_windows(start, stop, SHORT_WINDOW)
        _, response = measure_lags(dry, wet, windows, timemap, None, course.polarity)
        measured, _ = measure_lags(dry, wet, windows, timemap, response, course.polarity)
        heard = (measured.weight > MIN_SHORT_WEIGHT) & (measured.sign > 0)
        position = measured.position[heard]
        for step in detect_steps(position, measured.residual[heard]):
            new = coarse_interval(position, SHORT_WINDOW, step)
            if not any(new.first < one.last and one.first < new.last for one in found):
                found.append(new)
    return tuple(sorted(found, key=lambda one: one.place))


def split_steps(dry: Channel, wet: Channel, course: LagFit, walked: CoarseTrack) -> tuple[LagStep, ...]:
    """The breaks between shorter windows, all at once where longer ones hardly fit between two of them."""
    timemap = course.clock.time_map(dry.start, dry.stop)
    breaks, constants = course.clock.steps, course.clock.fit.lags
    places = [one.place for one in breaks]
    found: list[LagStep] = []
    for first, last in _zones(course):
        low, high = int(np.searchsorted(places, first)), int(np.searchsorted(places, last, side="right"))
        reach = 2 * course.windows.size
        windows = plan_dense_windows(max(dry.start, first - reach), min(dry.stop, last + reach), SHORT_WINDOW)
        # What lies between two losses may lie far from what lies around them: there the walk may have seen it.
        near = (walked.position > first) & (walked.position < last)
        shifts = (constants[low : high + 1] - constants[low]).tolist()
        for shift in (walked.lag[near] - timemap.curve(low, walked.position[near])).tolist():
            if min(abs(shift - other) for other in shifts) > SHORT_REACH:
                shifts.append(shift)
        lags, weights = [], []
        for shift in shifts:
            alone = TimeMap([timemap.pieces[low]]).shifted(shift)
            measured, _ = measure_lags(dry, wet, windows, alone, None, course.polarity, everything=True)
            lags.append(alone.curve(0, measured.position) + measured.residual)
            weights.append(np.where(measured.sign > 0, measured.weight, 0.0))
        best = np.argmax(weights, axis=0)[np.newaxis]
        lag, weight = (np.take_along_axis(np.array(of), best, 0)[0] for of in (lags, weights))
        heard = weight > MIN_SHORT_WEIGHT
        position, lag = measured.position[heard], lag[heard]
        new = [coarse_interval(position, SHORT_WINDOW, step) for step in detect_steps(position, lag)]
        inside = [one for one in new if one.last > first and one.first < last]
        # What several steps come to, the pieces around them tell; a single one is surer than short pieces are.
        change = float(constants[high] - constants[low])
        complete = abs(change - sum(one.step for one in inside)) < MIN_STEP
        surer = bool(inside) and (complete or high - low == 1)
        found += inside if surer else _as_one(breaks[low:high], change)
    return tuple(sorted(found, key=lambda one: one.place))


def _as_one(breaks: Sequence[LagStep], change: float) -> list[LagStep]:
    """What is believed of breaks with no windows between them that short ones do not tell: small ones, in sum alone."""
    if len(breaks) < 2 or max(abs(one.step) for one in breaks) > DISPLACED_SAMPLES:
        return list(breaks)
    first, last = breaks[0].first, max(one.last for one in breaks)
    return [LagStep((first + last) // 2, first, last, change)] if abs(change) > MIN_STEP else []


def _zones(course: LagFit) -> list[tuple[int, int]]:
    """The dry ranges in which something was lost, and those of windows that lie off: what two losses make up for.

    Those between which no window fits are one.
    """
    measured, size = course.track, course.windows.size
    off = (np.abs(measured.residual) > DISPLACED_SAMPLES) & (measured.weight > MIN_SHORT_WEIGHT) & (measured.sign > 0)
    if off.sum() > MAX_DISPLACED_SHARE * measured.detected.sum():
        off[:] = False
    zones: list[tuple[int, int]] = []
    odd = [(int(place) - size, int(place) + size) for place in measured.position[off]]
    for first, last in sorted([*course.clock.excluded, *odd]):
        if zones and first <= zones[-1][1] + size:
            first, last = zones[-1][0], max(zones.pop()[1], last)
        zones.append((first, last))
    return zones


def localise(dry: Channel, wet: Channel, course: LagFit) -> tuple[LagStep, ...]:
    """Each break where it is; one that explains nothing is none, but a large one in silence stays where it may be."""
    timemap = course.clock.time_map(dry.start, dry.stop)
    breaks, lags = course.clock.steps, course.clock.fit.lags
    if not breaks:
        return ()
    prediction = identify_fir(dry, wet, timemap, dry.start, dry.stop, course.polarity)
    reach = round(AROUND_SECONDS * dry.rate)
    skipped = find_spurious(dry, wet, course, prediction)
    found: list[LagStep] = []
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
        if exact is not None and abs(step) > MIN_STEP:
            found.append(exact)
        elif abs(step) > MAX_UNCONFIRMED_STEP and number not in skipped:
            found.append(one)
    return tuple(found)


def _exactly(
    dry: Channel, wet: Channel, course: LagFit, number: int, zone: tuple[int, int], around: tuple[int, int], twice: bool
) -> LagStep | None:
    """The break of that number, placed in a zone by short frames; None if they do not tell it, or not `twice`."""
    pieces = course.clock.time_map(dry.start, dry.stop).pieces
    maps = TimeMap([pieces[number]]), TimeMap([pieces[number + 1]])
    if course.response is None or zone[0] >= zone[1]:
        return None
    by = TwoMaps(dry, wet, maps, course.response, course.windows.size, course.polarity)
    found = placed(by, zone, ((around[0], zone[0]), (zone[1], around[1])))
    if found is None or (twice and not found.closely):
        return None
    step = float(course.clock.fit.lags[number + 1] - course.clock.fit.lags[number])
    return LagStep(found.place, found.first, found.last + abs(round(step)), step)


def find_spurious(dry: Channel, wet: Channel, course: LagFit, prediction: FirModel) -> set[int]:
    """The numbers of breaks beyond which the lag seems to leave its course for some seconds, and nothing else does.

    It comes back, or the programme begins or ends there. A few seconds of tones through a device that distorts may tell
    another period of theirs.
    """
    breaks, lags = course.clock.steps, course.clock.fit.lags
    timemap = course.clock.time_map(dry.start, dry.stop)
    begin, end = int(course.windows.starts[0]), int(course.windows.starts[-1]) + course.windows.size
    edges = [begin, *(place for one in breaks for place in (one.first, one.last)), end]
    if breaks:
        # Beyond the first and the last there may be no more than where they may lie.
        edges[1], edges[-2] = max(edges[1], breaks[0].place), min(edges[-2], breaks[-1].place)
    found: set[int] = set()
    for piece in range(len(lags)):
        stretch = edges[2 * piece], edges[2 * piece + 1]
        around = [beside for beside in (piece - 1, piece + 1) if 0 <= beside < len(lags)]
        back = abs(float(lags[around[-1]] - lags[around[0]])) < MIN_STEP
        if not back or not around or not 0 < stretch[1] - stretch[0] < MAX_EXCURSION_SECONDS * dry.rate:
            continue
        usual = TimeMap([timemap.pieces[around[0]]])
        later = float(lags[piece] - lags[around[0]])
        if not improves_with_shift(dry, wet, usual, prediction, course.polarity, stretch, later):
            found |= {number for number in (piece - 1, piece) if 0 <= number < len(breaks)}
    return found
