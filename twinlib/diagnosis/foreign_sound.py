"""Sounds that are not from the device: a voice over the take, another instrument, a telephone.

The error of the device model depends on the programme. A robust regression on the conditions of each window models that
dependence in every band; a foreign sound raises the rest in most bands for half a second or more.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter

from twinlib.diagnosis.observations import Observations
from twinlib.diagnosis.spectra import Real
from twinlib.intervals import Range, find_runs

MEDIAN_WINDOWS = 9, 5
"""Windows of the medians over time in which a foreign sound is detected and delimited: longer than an attack."""

MIN_PEAK, MIN_RAISED = 3.6, 0.6
"""Mean over the bands of the raised error, in standard deviations, by which a foreign sound is detected and extends."""

EXTENT_SHARE = 0.2
"""Share of the peak that either end of a foreign sound has."""

PEAK_RATIO = 1.8
"""Peak of a foreign sound relative to the 99th percentile outside of it."""

MIN_LEVEL = 10.0**-2.0
"""Energy of a foreign sound relative to the mean of the wet signal, -20 dB: music has weaker outliers of its own."""

PAUSE_SECONDS = 0.6
"""Pause between two words of one voice."""

GUARD_SECONDS = 0.35
"""Margin on either side, for soft onsets and endings."""

MAX_SECONDS, MAX_SHARE = 12.0, 0.45
"""Longest foreign sound, and share of the take that all of them may have: otherwise the device itself has changed."""

MIN_WINDOWS = 100
"""Audible windows, 5 s, that determine the error of an undisturbed take."""

DEVIATION_BINS, WINDOWS_PER_BIN = 12, 24
"""Steps of the expected error that have their own deviation, and the number of windows that each needs."""

LIMIT = 6.0
"""Limit of the errors of single windows, in standard deviations."""

RIDGE, ITERATIONS, HUBER = 3e-3, 6, 1.0
"""Relative regularisation of the regression, its iterations, and the deviation from which windows have less weight."""


def find_foreign_sounds(observations: Observations, hop_seconds: float, excerpts: Sequence[Range] = ()) -> list[Range]:
    """Return the ranges [start, stop) of windows with foreign sounds; windows without a residual count for none.

    `excerpts` are windows whose dry signal differs from the programme, so that their errors do too: the witness.
    """
    # Windows in which the dry signal is silent show a foreign sound best.
    finite = np.asarray(np.isfinite(observations.residual).all(axis=0))
    inside = finite.copy()
    for first, last in excerpts:
        inside[max(0, first) : max(0, last)] = False
    count = len(inside)
    if inside.sum() < MIN_WINDOWS:
        return []
    # Noise and distortion add up: the log of their sum bends where the distortion becomes the louder one.
    conditions = np.column_stack(
        (
            observations.conditions(hop_seconds),
            np.log(observations.weight[:-1].T + 1e-20),
            observations.level,
            np.square(observations.level),
        )
    )
    regressors = np.column_stack((_standardised(conditions), np.ones(count)))
    residual = np.where(inside, observations.residual, 0.0)
    rest = np.array([_unexplained(series, regressors, inside) for series in residual])
    detected, raised = (median_filter(rest, (1, size)).mean(axis=0) for size in MEDIAN_WINDOWS)
    raised = np.maximum(raised, detected)
    pause, guard = round(PAUSE_SECONDS / hop_seconds), round(GUARD_SECONDS / hop_seconds)
    runs = _joined(find_runs((raised > MIN_RAISED) | ~finite), pause)
    energy = np.exp(residual).sum(axis=0)
    least = MIN_LEVEL * float(observations.wet_energy[inside].mean())
    found = []
    for first, last in runs:
        here = inside.copy()
        here[:first] = here[last:] = False
        others = inside.copy()
        others[max(0, first - pause) : last + pause] = False
        if not here.any() or not others.any() or energy[here].mean() < least:
            continue
        peak = float(detected[here].max())
        if peak > max(MIN_PEAK, PEAK_RATIO * float(np.percentile(detected[others], 99.0))):
            extent = np.flatnonzero(here & (raised > EXTENT_SHARE * peak))
            found.append((max(0, int(extent[0]) - guard), min(count, int(extent[-1]) + 1 + guard)))
    found = [(first, last) for first, last in found if (last - first) * hop_seconds < MAX_SECONDS]
    return found if sum(last - first for first, last in found) < MAX_SHARE * count else []


def _standardised(columns: Real) -> Real:
    return np.asarray((columns - columns.mean(axis=0)) / (columns.std(axis=0) + 1e-9))


def _unexplained(series: Real, regressors: Real, inside: npt.NDArray[np.bool_]) -> Real:
    """Return the part of a series that the regressors do not explain, in standard deviations.

    Raised windows have less weight, so that a foreign sound does not explain itself.
    """
    weight = inside.astype(np.float64)
    rest, deviation = series, 1.0
    for _ in range(ITERATIONS):
        weighted = regressors * weight[:, None]
        gram = weighted.T @ regressors + RIDGE * len(series) * np.eye(regressors.shape[1])
        rest = series - regressors @ np.linalg.solve(gram, weighted.T @ series)
        deviation = 1.4826 * float(np.median(np.abs(rest[inside]))) + 1e-9
        weight = inside * np.minimum(1.0, HUBER * deviation / np.maximum(rest, HUBER * deviation)) ** 2
    scaled = rest / _deviations(series - rest, rest, inside)
    return np.asarray(np.where(inside, np.clip(scaled, -LIMIT, LIMIT), 0.0))


def _deviations(expected: Real, rest: Real, inside: npt.NDArray[np.bool_]) -> Real:
    """Return the standard deviation of the rest by the expected value: noise varies less than distortion."""
    order = np.flatnonzero(inside)[np.argsort(expected[inside], kind="stable")]
    bins = np.array_split(order, max(1, min(DEVIATION_BINS, len(order) // WINDOWS_PER_BIN)))
    deviations = [1.4826 * float(np.median(np.abs(rest[members]))) + 1e-9 for members in bins]
    return np.asarray(np.interp(expected, [float(np.median(expected[members])) for members in bins], deviations))


def _joined(runs: list[Range], gap: int) -> list[Range]:
    out: list[Range] = []
    for first, last in runs:
        if out and first - out[-1][1] <= gap:
            out[-1] = out[-1][0], last
        else:
            out.append((first, last))
    return out
