"""Findings from what the checks measured: the likely cause of a change, a modulation or a reflection."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from twinlib.diagnosis.modulation import Modulation
from twinlib.diagnosis.observations import Observations
from twinlib.diagnosis.reflections import Reflection
from twinlib.diagnosis.sections import Comparison
from twinlib.diagnosis.spectra import Grid, Real
from twinlib.diagnosis.stationarity import Change
from twinlib.estimation import mad_sigma
from twinlib.findings import Finding, Span, suspect
from twinlib.intervals import Range
from twinlib.resampling import TimeMap

Described = tuple[list[Finding], frozenset[str]]
"""Findings, and the codes of the findings of the alignment that they explain."""

PLACE_SECONDS = 0.25
"""Half of the span of a change."""

COPY_CORRELATION = 0.99
"""Correlation of wet and dry from which the wet signal is a copy of the dry one."""

BYPASS_RATIO = 0.33
"""Distance of the wet signal from a copy, relative to that of its prediction, where the device is bypassed: as a share
of that on the other side of the change."""

MAX_COPY_SPREAD = 0.1
"""Scatter of the log energy of a copy relative to the dry signal, 0.4 dB: a compressor copies the sound of each window,
but at another gain."""

LEVEL_SPREAD = 0.85
"""Spread of the changes of the bands, relative to the largest, up to which it is no tone control: that leaves some
bands as they are."""

LARGE_DB = 4.0
"""Change of the level from which the energies show the changes of the bands better than the gains."""

DRIVE_SPREAD = 0.5
"""Difference between the changes of quiet and loud programme, relative to the larger, from which it is a drive."""

CHANGE_BY_WITNESS = {
    "witness-level": "level-changed",
    "witness-drive": "drive-changed",
    "witness-tone": "tone-changed",
    "witness-bypassed": "bypassed",
    "witness-level-or-drive": "level-or-drive-changed",
}
"""Code of a change at a place by that of the same change between two repeats of the witness."""

WITNESS_CODES = frozenset({*CHANGE_BY_WITNESS, "witness-changed"})
"""Codes of changes between two repeats."""

CHANGE_CODES = frozenset(CHANGE_BY_WITNESS.values())
"""Codes of changes at a place."""

EXPLAINED_BY_EFFECT = frozenset({"disturbed", "noisy", "not-recognised", "misaligned"})
EXPLAINED_BY_MODULATION = EXPLAINED_BY_EFFECT | {"brief-faults"}
EXPLAINED_BY_VIBRATO = frozenset(
    {"disturbed", "unknown-lag", "wander", "flutter", "high-drift", "lost-samples", "repeated-samples"}
)
EXPLAINED_BY_CHANGE = frozenset({"disturbed"})
EXPLAINED_BY_GATE = frozenset({"disturbed", "noisy"})


def describe_reflection(reflection: Reflection) -> Described:
    """Return the finding of a reflection."""
    milliseconds, level = 1e3 * abs(reflection.seconds), reflection.level_db
    if reflection.kind == "monitoring":
        found = suspect("direct-monitoring", milliseconds=milliseconds, level_db=level)
    elif reflection.kind == "echo":
        found = suspect("echo", milliseconds=milliseconds, level_db=level)
    else:
        found = suspect("room", level_db=level)
    return [found], EXPLAINED_BY_EFFECT


def describe_modulation(modulation: Modulation, kind: Literal["delay", "gain", "vibrato"]) -> Described:
    """Return the finding of a modulation."""
    if kind == "vibrato":
        percent = 100.0 * modulation.depth
        return [suspect("vibrato", rate_hz=modulation.rate_hz, percent=percent)], EXPLAINED_BY_VIBRATO
    if kind == "delay":
        return [suspect("modulated-delay", rate_hz=modulation.rate_hz)], EXPLAINED_BY_MODULATION
    return [
        suspect("tremolo", rate_hz=modulation.rate_hz, percent=100.0 * min(1.0, modulation.depth))
    ], EXPLAINED_BY_MODULATION


def describe_foreign_sounds(
    windows: Sequence[Range], others: Sequence[Finding], grid: Grid, time_map: TimeMap
) -> list[Finding]:
    """Return a finding for each range of windows with a foreign sound, unless an effect explains it."""
    if any(finding.span is None and finding.severity != "info" for finding in others):
        return []
    found = []
    for first, stop in windows:
        ends = grid.centre(first - 1.0), grid.centre(float(stop))
        start, end = (max(0.0, time_map.wet(place) / grid.rate) for place in ends)
        found.append(suspect("foreign-sound", Span("wet", start, end)))
    return found


def describe_changes(
    changes: Sequence[Change],
    comparisons: Sequence[Comparison | None],
    observations: Observations,
    grid: Grid,
    time_map: TimeMap,
) -> Described:
    """Return a finding for each change, given the comparison of the sections before and after it, if there is one."""
    found = [
        _describe_change(change, comparison, observations, grid, time_map)
        for change, comparison in zip(changes, comparisons, strict=True)
    ]
    return found, EXPLAINED_BY_CHANGE if found else frozenset()


def _describe_change(
    change: Change, comparison: Comparison | None, observations: Observations, grid: Grid, time_map: TimeMap
) -> Finding:
    place = time_map.wet(grid.centre(change.window - 0.5)) / grid.rate
    span = Span("wet", max(0.0, place - PLACE_SECONDS), place + PLACE_SECONDS)
    change_db = _change_db(change, observations)
    if change.gradual:
        return suspect("warm-up", change_db=change_db)
    # A bypass is more than another level, and quiet music through a device resembles its input.
    is_level = comparison is not None and comparison.cause in ("level", "level-or-drive")
    if not is_level and _is_bypass(change, observations):
        return suspect("bypassed", span, seconds=place)
    if comparison is None or comparison.cause == "same":
        comparison = _compare_gains(change, observations, grid, change_db)
    if comparison.cause == "drive":
        return suspect("drive-changed", span, seconds=place)
    if comparison.cause == "tone":
        return suspect("tone-changed", span, seconds=place)
    values = {"seconds": place, "change_db": comparison.gain_db}
    if comparison.cause == "level-or-drive":
        return suspect("level-or-drive-changed", span, **values)
    return suspect("level-changed", span, **values)


def _compare_gains(change: Change, observations: Observations, grid: Grid, change_db: float) -> Comparison:
    """Return the likeliest cause of a change by its gains alone, for sections that are too short to compare."""
    bands = np.array(change.gains[: len(grid.bands)])
    if abs(change_db) > LARGE_DB:
        bands = np.array([_step_db(series, change.window, observations) for series in observations.energy[:-1]])
        bands *= np.log(10.0) / 20.0
    known = np.array(change.errors[: len(grid.bands)]) < 0.5 * np.abs(bands).max()
    spread = float(np.ptp(bands[known])) / float(np.abs(bands[known]).max()) if known.sum() > 1 else 0.0
    largest = max(abs(change.quiet), abs(change.loud), 1e-9)
    if abs(change.quiet - change.loud) > DRIVE_SPREAD * largest and spread < LEVEL_SPREAD:
        return Comparison("drive", change_db)
    return Comparison("tone" if spread > LEVEL_SPREAD else "level-or-drive", change_db)


def _change_db(change: Change, observations: Observations) -> float:
    """Return the change of the level: before and after a step, or from the first quarter of a take to the last."""
    energy = observations.energy[-1]
    margin = len(energy) // 4 if change.gradual else 0
    return _step_db(energy, change.window, observations, margin)


def _step_db(energy: Real, window: float, observations: Observations, quarter: int = 0) -> float:
    """Return the difference of the medians of an energy after and before a window, or in the outer quarters."""
    audible, places = observations.audible > 0, np.arange(len(energy))
    before, after = places < window, places >= window
    if quarter:
        before, after = places < quarter, places >= len(energy) - quarter
    sides = energy[audible & before], energy[audible & after]
    if not all(len(side) for side in sides):
        return 0.0
    return float(20.0 / np.log(10.0) * (np.median(sides[1]) - np.median(sides[0])))


def _is_bypass(change: Change, observations: Observations) -> bool:
    """Whether the wet signal is a copy of the dry one on one side of a change only."""
    audible = observations.audible > 0
    later = np.arange(len(audible)) >= change.window
    sides = [audible & side for side in (~later, later)]
    if not all(side.any() for side in sides):
        return False
    copy = max(sides, key=lambda side: float(np.median(observations.correlation[side])))
    if np.median(observations.correlation[copy]) < COPY_CORRELATION:
        return False
    # A muted window has no gain.
    loud = copy & (observations.level > np.median(observations.level[copy])) & (observations.wet_energy > 0.0)
    gain = np.log(observations.wet_energy[loud]) - np.log(np.exp(observations.tilt[:, loud]).sum(axis=0))
    if loud.any() and mad_sigma(gain - np.median(gain)) > MAX_COPY_SPREAD:
        return False
    # A device that is nearly linear for quiet music copies it too, and its model does so.
    relative = [
        (1.0 - np.median(observations.correlation[side]))
        / (1.0 - np.median(observations.predicted_correlation[side]) + 1e-6)
        for side in sides
    ]
    return bool(min(relative) < BYPASS_RATIO * max(relative))


def merge_repeats(found: Sequence[Finding], repeats: Sequence[Finding]) -> list[Finding]:
    """Return the findings on the programme and on the repeats of the witness, each change once.

    The programme shows the place of a change more precisely, the witness its cause.
    """
    merged = []
    for finding in found:
        causes = [repeat for repeat in repeats if repeat.code in WITNESS_CODES and _overlap(finding.span, repeat.span)]
        if len(causes) == 1 and finding.code in CHANGE_CODES:
            values = {**causes[0].values, "seconds": finding.values["seconds"]}
            if causes[0].code == "witness-changed":
                finding = suspect("device-changed", finding.span, **values)
            else:
                finding = replace(finding, code=CHANGE_BY_WITNESS[causes[0].code], values=values)
        merged.append(finding)
    suspects = [finding for finding in found if finding.severity != "info"]
    return [*merged, *(repeat for repeat in repeats if not any(_overlap(each.span, repeat.span) for each in suspects))]


def _overlap(here: Span | None, there: Span | None) -> bool:
    """Whether two spans overlap; a finding without a span is on the whole take."""
    return here is None or there is None or (there.start < here.stop and here.start < there.stop)
