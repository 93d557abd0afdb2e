"""The device by its witness: whether all repeats of the excerpt sound alike, what changed if not, and the noise floor.

Repeats that sound alike are one state of the device. A few states are steps: a knob, a switch. As many states as
repeats are a trend, if all successive differences have one direction, and modulation otherwise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np

from twinlib.alignment import Alignment, Witness
from twinlib.audio import Signal
from twinlib.db import power_to_db
from twinlib.diagnosis import repeats
from twinlib.diagnosis.change import Change, Kind, clear_cells, describe_change, find_kind
from twinlib.diagnosis.repeats import Array, Difference, Silence
from twinlib.excitation import witness_frames
from twinlib.findings import Finding, Span, info, suspect
from twinlib.intervals import Range, RangeIndex

MAX_CHANGE = 1e-3
"""Energy of a difference, relative to the signal, from which two repeats differ: 0.27 dB. A twin cannot learn more."""

LEAST_CHANGE, CHANGE_WITHIN = 1e-4, 0.01
"""Energy of the difference of a step in which the device changes, maybe near its end, relative to the signal and to the
whole change."""

MAX_FLUTTER = 2e-4
"""Variance of the gain within a repeat from which two repeats differ: 0.1 dB. That of a tremolo of 4 % is 8e-4 times
twice the squared sine of half its phase between them; 20 dB below the signal, noise has 2e-5."""

MODULATED_SHARE = 0.1
"""Flutter relative to the change from which the difference varies within the repeats themselves."""

TREND_COSINE = 0.5
"""Cosine of successive differences from which they are a trend; independent states have -0.5."""

RANDOM_SHARE, RANDOM_RATIO = 5e-3, 4.0
"""Energy of a difference that no filter predicts, relative to the signal and to the noise of silence, from which it is
the comb of a chorus rather than noise."""

HUM_RATIO = 2.1
"""Ratio of the noise of repeats to that of silence below 1 kHz, up to which the phases of hum explain it."""

BYPASSED_RESIDUAL, BYPASSED_RATIO = 0.02, 0.1
"""Share of the energy that is not the dry signal: its maximum in a bypassed repeat, alone and relative to others."""

MIN_DEVICE_RESIDUAL = 5e-3
"""The same share from which a device does more than change the level, so that its bypass can be recognised."""

CLOSED_SHARE = 0.1
"""Noise power of silence relative to that between repeats, below which the difference is noted."""

KEPT = frozenset({"disturbed"})
"""Reasons of excluded places that a gate causes in every repeat."""

MeasureDifference = Callable[[int, int], Difference]

ReadSamples = Callable[[int, int], Signal]
"""Reads samples [start, stop) of the dry signal, or of the wet signal without the guard, float32 `(frames,)`."""


@dataclass(frozen=True)
class WitnessReport:
    """Findings of the comparison, the noise floor in dBFS, and the features of the witness; None if not measured."""

    findings: tuple[Finding, ...] = ()
    noise_floor_dbfs: float | None = None
    witness: Witness | None = None


@dataclass(frozen=True)
class _Repeats:
    """The usable repeats: dry ranges, samples with margins, and the silence before, `(repeats, samples)`."""

    spans: list[Range]
    samples: Array
    silence: Array
    rate: int


def compare_witness(
    alignment: Alignment, spans: Sequence[Range], read_dry: ReadSamples, read_wet: ReadSamples
) -> WitnessReport:
    """Compare the repeats of the witness at the dry ranges `spans` of an aligned take.

    Repeats with excluded samples, or outside of the take, do not count; with fewer than two, the report is empty.
    """
    made = _read_repeats(alignment, spans, read_wet)
    if len(made.spans) < 2:
        return WitnessReport()
    rate, required = made.rate, repeats.required_power(made.silence, made.rate)
    difference = _differences(made, required)
    changed = _changed_within(len(made.spans), difference)
    kept = [number for number in range(len(made.spans)) if number not in changed]
    states, differences = _find_states(kept, difference)
    made = _Repeats([made.spans[number] for number in kept], made.samples[kept], made.silence, rate)
    silence = repeats.measure_silence(made.silence, _max_hz(alignment), rate)
    alike = [found for (first, second), found in differences.items() if states[first] == states[second]]
    # A change too small to be one, or the memory of a compressor, is no noise: the most similar pair counts.
    floor = _noise_floor(min(alike or differences.values(), key=lambda found: found.noise), silence)
    levels = np.array([repeats.measure_levels(repeat, rate) for repeat in made.samples])
    main = max(set(states), key=lambda state: (states.count(state), -state))
    mean = levels[[state == main for state in states]].mean(axis=0)
    witness = Witness(
        levels_dbfs=tuple(tuple(round(value, 2) for value in row) for row in mean.tolist()),
        noise_dbfs=tuple(round(value, 2) for value in power_to_db(silence.bands, 1e-16).tolist()),
    )
    clear = clear_cells(levels, silence.bands)
    findings: list[Finding] = []
    if _is_random(alike, silence.power) or _is_modulated(made, states, differences, silence.power):
        findings.append(suspect("witness-modulated", _whole(alignment, made)))
    elif _is_varied(states):
        change = describe_change(levels[-1] - levels[0], clear, "drive")
        findings.append(suspect("witness-warm-up", _whole(alignment, made), change_db=round(change.change_db, 2)))
    elif len(set(states)) > 1:
        margin = round(repeats.MARGIN_SECONDS * rate)
        dry = read_dry(made.spans[0][0] - margin, made.spans[0][1] + margin).astype(np.float64)
        bypassed = _bypassed_states(made, states, dry, floor)
        noise = _noise_of_difference(made, states, required, silence.power)

        def describe(before: int, after: int) -> Change:
            # The device may have changed within the repeats next to the change.
            old, new = states.index(before), len(states) - 1 - states[::-1].index(after)
            by_cell = levels[new] - levels[old]
            explained = repeats.explain_change(made.samples[old], made.samples[new], required, rate)
            device = repeats.explain_device(dry, made.samples[old], required, rate)
            kind: Kind | None = None
            if explained is not None and device is not None:
                kind = find_kind(explained, device, noise, by_cell, levels, clear)
            return describe_change(by_cell, clear, kind)

        findings = _find_steps(alignment, made, states, bypassed, describe)
    if alike and not findings and silence.power < CLOSED_SHARE * floor:
        open_dbfs, closed_dbfs = (round(power_to_db(power, 1e-16), 2) for power in (floor, silence.power))
        findings.append(info("gated-noise", open_dbfs=open_dbfs, closed_dbfs=closed_dbfs))
    # As on the probe reel: a gate is closed there, and noise that follows the level is low.
    floor = min(floor, silence.power)
    # Two repeats of a changed device differ by more than noise.
    floor_dbfs = round(power_to_db(floor, 1e-16), 2) if alike else None
    return WitnessReport(tuple(findings), floor_dbfs, witness)


def _read_repeats(alignment: Alignment, spans: Sequence[Range], read_wet: ReadSamples) -> _Repeats:
    rate = alignment.sample_rate
    usable = _intact_repeats(alignment, spans, frozenset())
    if not usable:
        # A gate is silent in the soft steps of all repeats.
        usable = _intact_repeats(alignment, spans, KEPT)
    before, margin = round(repeats.SILENCE_SECONDS * rate), round(repeats.MARGIN_SECONDS * rate)
    kept, samples = [], []
    for first, last in usable:
        if np.isfinite(read := read_wet(first - before, last + margin).astype(np.float64)).all():
            kept.append((first, last))
            samples.append(read)
    both = np.array(samples).reshape(len(kept), before + witness_frames(rate) + margin)
    limited = repeats.limit_band(both[:, before - margin :], _max_hz(alignment), rate)
    return _Repeats(kept, limited, both[:, : before - round(repeats.ONSET_SECONDS * rate)], rate)


def _intact_repeats(alignment: Alignment, spans: Sequence[Range], ignored: frozenset[str]) -> list[Range]:
    """Return the repeats within the take that touch no excluded place, but for those of the `ignored` reasons."""
    rate = alignment.sample_rate
    excluded = RangeIndex((each.start, each.stop) for each in alignment.excluded if each.reason not in ignored)
    before, margin = round(repeats.SILENCE_SECONDS * rate), round(repeats.MARGIN_SECONDS * rate)
    start, stop = (place * rate / alignment.wet_sample_rate for place in alignment.wet_range)
    found = []
    for first, last in spans:
        ends = first - before, last + margin
        inside = start <= alignment.timemap.wet(ends[0]) and alignment.timemap.wet(ends[1]) <= stop
        if inside and not excluded.overlapping(*ends) and last - first == witness_frames(rate):
            found.append((first, last))
    return found


def _differences(made: _Repeats, required: Array) -> MeasureDifference:
    """Return the function that compares two repeats, each pair once."""

    @cache
    def measured(first: int, second: int) -> Difference:
        return repeats.measure_difference(made.samples[first], made.samples[second], required, made.rate)

    # What the differences of near repeats have in common is noise.
    count = len(made.spans)
    near = [measured(number, number + step) for step in (1, 2) for number in range(count - step)]
    return lambda first, second: measured(first, second).with_distortion(near)


def _changed_within(count: int, difference: MeasureDifference) -> set[int]:
    """Return the repeats within which the device changes: each is like the one before up to a step, then like the next.

    They belong to no state.
    """
    found = set()
    for number in range(1, count - 1):
        whole = difference(number - 1, number + 1).largest
        if whole < MAX_CHANGE:
            continue
        from_last, to_next = (
            difference(one, one + 1).exceeds(max(LEAST_CHANGE, CHANGE_WITHIN * whole)) for one in (number - 1, number)
        )
        if not from_last.any() or not to_next.any():
            continue
        # The step in which the device changes differs from both.
        first, last = int(np.argmax(from_last)), len(to_next) - 1 - int(np.argmax(to_next[::-1]))
        if last <= first:
            found.add(number)
    return found


def _find_states(
    kept: Sequence[int], difference: MeasureDifference
) -> tuple[list[int], dict[tuple[int, int], Difference]]:
    """Return the state of each of the `kept` repeats, numbered from 0, and the differences measured to find them.

    The differences are those of places in `kept`. Each repeat is compared with the first repeat of each known state,
    the latest state first.
    """
    states, firsts = [0], [0]
    found: dict[tuple[int, int], Difference] = {}
    for number in range(1, len(kept)):
        for state in sorted(range(len(firsts)), key=lambda state: state != states[-1]):
            one = found[firsts[state], number] = difference(kept[firsts[state]], kept[number])
            if one.largest < MAX_CHANGE and one.flutter < MAX_FLUTTER:
                states.append(state)
                break
        else:
            states.append(len(firsts))
            firsts.append(number)
    return states, found


def _noise_floor(alike: Difference, silence: Silence) -> float:
    """Return the noise power of the take: of repeats in the band, and of silence above it and below 1 kHz.

    Hum in the difference of two repeats has up to twice its power, according to its phases.
    """
    low = alike.low_noise
    known = silence.low if low < HUM_RATIO * silence.low else low
    return alike.noise - low + known + silence.high


def _max_hz(alignment: Alignment) -> float:
    return repeats.BAND_SHARE * min(alignment.sample_rate, alignment.wet_sample_rate)


def _is_random(alike: Sequence[Difference], silence: float) -> bool:
    """Whether most steps of repeats in one state differ at random, by more than noise."""
    if not alike or float(np.mean([found.noise for found in alike])) < RANDOM_RATIO * silence:
        return False
    return float(np.median(np.mean([found.rest for found in alike], axis=0))) > RANDOM_SHARE


def _is_varied(states: list[int]) -> bool:
    """Whether most repeats differ from all others."""
    return len(states) > 2 and len(set(states)) > (len(states) + 1) / 2


def _is_modulated(
    made: _Repeats, states: list[int], differences: dict[tuple[int, int], Difference], noise: float
) -> bool:
    """Whether the differences vary within the repeats, or from repeat to repeat without a trend."""
    # A knob that moves within a repeat changes the gain within it, but the repeats before and after differ most.
    worst = max(differences.values(), key=lambda found: (found.largest, found.flutter))
    if worst.largest < MAX_CHANGE:
        worst = max(differences.values(), key=lambda found: found.flutter)
    if worst.flutter > max(MAX_FLUTTER, MODULATED_SHARE * worst.largest):
        return True
    return _is_varied(states) and not _is_trend(made.samples, noise * made.samples.shape[1])


def _is_trend(samples: Array, noise: float) -> bool:
    """Whether the repeats `(repeats, frames)` change in one direction; `noise` is the noise energy of each."""
    steps = np.diff(samples, axis=0)
    # Neighbouring steps share the noise of one repeat.
    energies = np.maximum(np.square(steps).sum(axis=1) - 2.0 * noise, 1e-30)
    cosines = ((steps[1:] * steps[:-1]).sum(axis=1) + noise) / np.sqrt(energies[1:] * energies[:-1])
    return bool(np.mean(cosines) > TREND_COSINE)


def _bypassed_states(made: _Repeats, states: list[int], dry: Array, noise: float) -> set[int]:
    """Return the states that are the dry signal at another gain, if others are not."""

    def residual(state: int) -> float:
        mine = [repeat for repeat, one in zip(made.samples, states, strict=True) if one == state]
        return min(repeats.measure_linearity(dry, repeat, noise, made.rate) for repeat in mine)

    residuals = {state: residual(state) for state in set(states)}
    device = max(residuals.values())
    if device < MIN_DEVICE_RESIDUAL:
        return set()
    limit = min(BYPASSED_RESIDUAL, BYPASSED_RATIO * device)
    return {state for state, left in residuals.items() if left < limit}


def _noise_of_difference(made: _Repeats, states: list[int], required: Array, silence: float) -> float:
    """Return the energy of the noise in the difference of two repeats, relative to each step of them.

    It is what no filter predicts in the difference of two repeats in one state; that of silence if all states differ.
    """
    for state in set(states):
        same = [number for number, one in enumerate(states) if one == state]
        if len(same) > 1:
            first, second = made.samples[same[:2]]
            explained = repeats.explain_change(first, second, required, made.rate)
            return explained.filter if explained is not None else 0.0
    return 2.0 * silence * repeats.mean_inverse_power(made.samples[0], made.rate)


def _find_steps(
    alignment: Alignment,
    made: _Repeats,
    states: list[int],
    bypassed: set[int],
    describe: Callable[[int, int], Change],
) -> list[Finding]:
    """Return a finding for every change from one state to another; a bypass for a while is one."""
    findings = []
    for number, (before, after) in enumerate(pairwise(states)):
        span = Span("wet", _seconds(alignment, made.spans[number][1]), _seconds(alignment, made.spans[number + 1][0]))
        if before == after:
            continue
        if after in bypassed or bypassed.issuperset(states[: number + 1]):
            findings.append(suspect("witness-bypassed", span))
        elif before not in bypassed:
            findings.append(describe(before, after).finding(span))
    return findings


def _whole(alignment: Alignment, made: _Repeats) -> Span:
    return Span("wet", _seconds(alignment, made.spans[0][0]), _seconds(alignment, made.spans[-1][1]))


def _seconds(alignment: Alignment, position: int) -> float:
    """Return the time of a dry position in the wet file."""
    return round(alignment.timemap.wet(position) / alignment.sample_rate, 3)
