"""Dropouts: steps of the lag where samples were lost or repeated, detected in tracks and confirmed by the residual."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from twinlib.alignment.change_point import (
    LOG_LIKELIHOOD,
    PHASE_WINDOW,
    TwoMaps,
    join_ranges,
    locate_by_phase,
    locate_by_residual,
)
from twinlib.alignment.clock import LagFit, LagStep, wet_sample_period
from twinlib.alignment.lag_track import DISPLACED_SAMPLES, MIN_SHORT_WEIGHT, measure_lags, plan_dense_windows
from twinlib.alignment.residual import improves_with_shift
from twinlib.alignment.tracker import CoarseTrack
from twinlib.estimation import MIN_STEP, FirModel, Real, detect_steps, identify_fir
from twinlib.resampling import Channel, TimeMap

SHORT_WINDOW = 8192
"""Samples of the short windows, which resolve steps between the longer windows."""

SHORT_REACH = 2000
"""Samples within which a short window finds its lag."""

END_SECONDS = 2.0
"""Length of each end of the programme that is searched with short windows."""

MAX_UNCONFIRMED_STEP = 2.0
"""Largest step in samples that is dropped if the residual does not confirm it."""

CONTEXT_SECONDS = 4.0
"""Programme on either side of the range of a step that is compared under both lags."""

MAX_DISPLACED_SHARE = 0.1
"""Maximum share of displaced windows: above it, the clock model is wrong, not the windows."""

MAX_EXCURSION_SECONDS = 10.0
"""Duration of a piece between two cancelling steps below which the residual must confirm it."""

CONFIRMED, CONFIRMED_SPURIOUS, CONFIRMED_WHOLE = 4.0, 6.0, 0.0
"""t statistics on both sides of a step from which the residual confirms it: any step, one that looks spurious, and one
that the windows measured as whole samples if the phase of the device is unknown."""

WHOLE_TOLERANCE = 0.2
"""Samples from a whole number within which a measured step is whole."""


def coarse_steps(position: Real, lag: Real, size: int) -> list[LagStep]:
    """Detect the steps of a track of windows of `size` samples; each is within the two windows around it."""
    found = []
    for step in detect_steps(position, lag):
        first, last = int(position[step.after - 1]) - size, int(position[step.after]) + size
        found.append(LagStep((first + last) // 2, first, last + max(0, -round(step.samples)), step.samples))
    return found


def find_steps(dry: Channel, wet: Channel, fit: LagFit, coarse: CoarseTrack) -> tuple[LagStep, ...]:
    """Return all steps of the lag, starting from those of a settled fit.

    Windows show small steps once the clock is known. Short windows add steps near the ends of the programme, and split
    two steps within a window. The residual against a linear prediction then confirms and localises each. Between these
    the clock is refitted to the same windows.
    """
    period = wet_sample_period(wet)
    fit = fit.with_steps(_with_ends(dry, wet, fit, with_small_steps(fit)), period)
    fit = fit.with_steps(_split(dry, wet, fit, coarse), period)
    return _localise(dry, wet, fit)


def remaining_steps(fit: LagFit) -> tuple[LagStep, ...]:
    """Return the steps at which the fitted lag changes."""
    change = np.abs(np.diff(fit.clock.fit.lags))
    return tuple(step for step, size in zip(fit.clock.steps, change, strict=True) if size > MIN_STEP)


def with_small_steps(fit: LagFit) -> tuple[LagStep, ...]:
    """Return the remaining steps, and the small steps visible in the windows once the clock is known."""
    position, lag, _ = fit.lags()
    # Beyond a step without windows, the coarse track is unreliable, and short windows search there anyway.
    unknown = np.isinf(fit.clock.fit.lag_errors)
    ends = {fit.clock.steps[end] for end in (0, -1) if fit.clock.steps and unknown[end]}
    kept = [step for step in remaining_steps(fit) if step not in ends or abs(step.samples) > DISPLACED_SAMPLES]
    return _merge(kept, coarse_steps(position, lag, fit.windows.size))


def _merge(known: Sequence[LagStep], new: Sequence[LagStep]) -> tuple[LagStep, ...]:
    """Add the new steps that overlap no other, in order."""
    found = list(known)
    for step in new:
        if not any(step.overlaps(other) for other in found):
            found.append(step)
    return tuple(sorted(found, key=lambda step: step.position))


def _with_ends(dry: Channel, wet: Channel, fit: LagFit, known: Sequence[LagStep]) -> tuple[LagStep, ...]:
    """Add steps so close to an end of the programme that only short windows fit beyond them."""
    time_map = fit.clock.time_map(dry.start, dry.stop)
    first, last = fit.windows.span
    reach = round(END_SECONDS * dry.rate)
    found = tuple(known)
    for start, stop in ((first, min(last, first + reach)), (max(first, last - reach), last)):
        windows = plan_dense_windows(start, stop, SHORT_WINDOW)
        _, response = measure_lags(dry, wet, windows, time_map, None, fit.polarity)
        track, _ = measure_lags(dry, wet, windows, time_map, response, fit.polarity)
        valid = (track.weight > MIN_SHORT_WEIGHT) & (track.sign > 0)
        found = _merge(found, coarse_steps(track.position[valid], track.residual[valid], SHORT_WINDOW))
    return found


def _split(dry: Channel, wet: Channel, fit: LagFit, coarse: CoarseTrack) -> tuple[LagStep, ...]:
    """Resolve the steps with short windows, those together that have hardly a longer window between them."""
    time_map = fit.clock.time_map(dry.start, dry.stop)
    steps, constants = fit.clock.steps, fit.clock.fit.lags
    positions = [step.position for step in steps]
    found: list[LagStep] = []
    for first, last in _zones(fit):
        low, high = int(np.searchsorted(positions, first)), int(np.searchsorted(positions, last, side="right"))
        reach = 2 * fit.windows.size
        windows = plan_dense_windows(max(dry.start, first - reach), min(dry.stop, last + reach), SHORT_WINDOW)
        # Between two steps the lag may be far from both sides; the coarse track may have found it.
        near = (coarse.position > first) & (coarse.position < last)
        shifts = (constants[low : high + 1] - constants[low]).tolist()
        for shift in (coarse.lag[near] - time_map.curve(low, coarse.position[near])).tolist():
            if min(abs(shift - other) for other in shifts) > SHORT_REACH:
                shifts.append(shift)
        lags, weights = [], []
        for shift in shifts:
            shifted = TimeMap([time_map.pieces[low]]).shifted(shift)
            track, _ = measure_lags(dry, wet, windows, shifted, None, fit.polarity, everything=True)
            lags.append(shifted.curve(0, track.position) + track.residual)
            weights.append(np.where(track.sign > 0, track.weight, 0.0))
        best = np.argmax(weights, axis=0)[np.newaxis]
        lag, weight = (np.take_along_axis(np.array(rows), best, 0)[0] for rows in (lags, weights))
        valid = weight > MIN_SHORT_WEIGHT
        new = coarse_steps(track.position[valid], lag[valid], SHORT_WINDOW)
        inside = [step for step in new if step.last > first and step.first < last]
        # The pieces on both sides determine the sum of several steps; for a single one, short windows are better.
        change = float(constants[high] - constants[low])
        complete = abs(change - sum(step.samples for step in inside)) < MIN_STEP
        resolved = bool(inside) and (complete or high - low == 1)
        found += inside if resolved else _as_one(steps[low:high], change)
    return tuple(sorted(found, key=lambda step: step.position))


def _as_one(steps: Sequence[LagStep], change: float) -> list[LagStep]:
    """Replace small steps that the short windows do not resolve by one with their sum."""
    if len(steps) < 2 or max(abs(step.samples) for step in steps) > DISPLACED_SAMPLES:
        return list(steps)
    first, last = steps[0].first, max(step.last for step in steps)
    return [LagStep((first + last) // 2, first, last, change)] if abs(change) > MIN_STEP else []


def _zones(fit: LagFit) -> list[tuple[int, int]]:
    """Return the dry ranges of steps and of displaced windows (two cancelling steps), joined if too close."""
    track, size = fit.track, fit.windows.size
    displaced = (np.abs(track.residual) > DISPLACED_SAMPLES) & (track.weight > MIN_SHORT_WEIGHT) & (track.sign > 0)
    if displaced.sum() > MAX_DISPLACED_SHARE * track.detected.sum():
        displaced[:] = False
    zones: list[tuple[int, int]] = []
    around = [(int(position) - size, int(position) + size) for position in track.position[displaced]]
    for first, last in sorted([*fit.clock.excluded, *around]):
        if zones and first <= zones[-1][1] + size:
            first, last = zones[-1][0], max(zones.pop()[1], last)
        zones.append((first, last))
    return zones


def _localise(dry: Channel, wet: Channel, fit: LagFit) -> tuple[LagStep, ...]:
    """Localise each step by residual and phase; drop contradicted steps and unconfirmed small steps."""
    time_map = fit.clock.time_map(dry.start, dry.stop)
    steps, lags = fit.clock.steps, fit.clock.fit.lags
    if not steps:
        return ()
    model = identify_fir(dry, wet, time_map, dry.start, dry.stop, fit.polarity)
    spurious = find_spurious(dry, wet, fit, model)
    context, period = round(CONTEXT_SECONDS * dry.rate), wet_sample_period(wet)
    changed = [number for number, change in enumerate(np.diff(lags)) if abs(change) > MIN_STEP]
    found: list[LagStep] = []
    for number, following in pairwise([*changed, len(steps)]):
        samples = float(lags[number + 1] - lags[number])
        step = _with_unchanged(number, steps, changed, context)
        low = found[-1].last if found else dry.start
        high = steps[following].position if following < len(steps) else dry.stop
        zone = max(step.first - context, low), min(step.last + context, high)
        before, after = (TimeMap([piece]) for piece in time_map.pieces[number : number + 2])
        pair = TwoMaps(dry, wet, (before, after), fit.polarity, zone)
        exact, statistic = locate_by_residual(pair, model)
        windows, known = plan_dense_windows(*zone, PHASE_WINDOW), (step.first, step.last)
        _, response = measure_lags(dry, wet, windows, time_map, None, fit.polarity, [known])
        place = locate_by_phase(pair, response, known) if response else None
        whole = abs(step.samples - round(step.samples / period) * period) < WHOLE_TOLERANCE
        shown = place.log_likelihood > LOG_LIKELIHOOD if place else statistic > CONFIRMED_WHOLE
        if exact is not None and statistic > (CONFIRMED_SPURIOUS if number in spurious else CONFIRMED):
            is_narrow = exact[1] - exact[0] < fit.windows.size // 4 + abs(samples)
            step = LagStep(sum(exact) // 2, *exact, samples, is_narrow)
        elif number in spurious or (abs(samples) <= MAX_UNCONFIRMED_STEP and not (whole and shown)):
            continue
        if place is not None:
            first, last = join_ranges((step.first, step.last), (place.first, place.last))
            step = replace(step, position=min(max(place.position, first), last), first=first, last=last)
        found.append(step)
    return tuple(found)


def _with_unchanged(number: int, steps: Sequence[LagStep], changed: Sequence[int], reach: int) -> LagStep:
    """Extend a step over near steps without a change: the fit may have assigned the change to the wrong one."""
    step = steps[number]
    unchanged = (other for index, other in enumerate(steps) if index not in changed)
    near = [step, *(one for one in unchanged if one.first - step.last < reach and step.first - one.last < reach)]
    return replace(step, first=min(one.first for one in near), last=max(one.last for one in near))


def find_spurious(dry: Channel, wet: Channel, fit: LagFit, model: FirModel) -> set[int]:
    """Return the numbers of steps around a short piece whose lag does not improve the prediction.

    The piece is between two cancelling steps, or at an end of the programme. For a few seconds of tones through a
    nonlinear device, the lag may be wrong by some periods.
    """
    steps, lags = fit.clock.steps, fit.clock.fit.lags
    time_map = fit.clock.time_map(dry.start, dry.stop)
    begin, end = fit.windows.span
    edges = [begin, *(edge for step in steps for edge in (step.first, step.last)), end]
    if steps:
        # Beyond the first and last step there may be only their uncertain range.
        edges[1], edges[-2] = max(edges[1], steps[0].position), min(edges[-2], steps[-1].position)
    found: set[int] = set()
    for piece in range(len(lags)):
        span = edges[2 * piece], edges[2 * piece + 1]
        neighbours = [number for number in (piece - 1, piece + 1) if 0 <= number < len(lags)]
        cancelling = abs(float(lags[neighbours[-1]] - lags[neighbours[0]])) < MIN_STEP if neighbours else False
        if not cancelling or not 0 < span[1] - span[0] < MAX_EXCURSION_SECONDS * dry.rate:
            continue
        expected = TimeMap([time_map.pieces[neighbours[0]]])
        later = float(lags[piece] - lags[neighbours[0]])
        if not MAX_UNCONFIRMED_STEP < abs(later) < SHORT_REACH:
            continue
        if not improves_with_shift(dry, wet, expected, model, fit.polarity, span, later):
            found |= {number for number in (piece - 1, piece) if 0 <= number < len(steps)}
    return found
