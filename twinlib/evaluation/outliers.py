"""Stretches of a take, or whole takes, in which the residual of the twin is an outlier for the input level.

The twin learns what all takes have in common. Where a take has another device, another setting or a fault, the error
stays larger than in other music of the same level.
"""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.ndimage import median_filter

from twinlib.db import MIN_POWER, amp_to_db, power_to_db
from twinlib.estimation import mad_sigma
from twinlib.findings import Finding, Span, suspect
from twinlib.intervals import find_runs

LEVEL_RANGE_DB = 40.0
"""Windows this much quieter than the loudest are left out: their residual is noise."""

MIN_WINDOWS = 40
"""The smallest number of windows with a baseline."""

LEVEL_WINDOWS = 101
"""The number of windows of the nearest levels whose median residual is the baseline."""

UNSEEN_DB = 10.0
"""The median excess over the baseline that a split may have as a whole, because its music is unseen."""

MIN_EXCESS_DB = 3.0
"""The smallest excess of an outlier in dB."""

SCALES = ((8, 6.0), (40, MIN_EXCESS_DB))
"""Lengths of the running median in windows, and the smallest excess of an outlier in dB at each."""

DEVIATIONS = 6.0
"""The smallest excess of an outlier in robust standard deviations of the running median."""

MIN_ESR = 1e-3
"""The smallest ESR of an outlier: a level change of 0.3 dB."""

MAX_GAP_SECONDS = 2.0
"""Outliers of a take closer than this are one span."""

GAIN_SHARE, SMALL_GAIN_SHARE = 0.8, 0.5
"""The share of the residual that a gain must remove to be named as its cause, and the same if no excess remains."""

GAIN_RANGE_DB = (0.3, 12.0)
"""The gains that are named as the cause; beyond them the device was muted."""

WHOLE_SHARE = 0.8
"""The share of a take that is covered by outliers if the whole take is one."""

Levels = npt.NDArray[np.float64]


def find_outliers(windows: pd.DataFrame) -> dict[str, list[Finding]]:
    """Return the findings on each take, in the order of time; takes without findings are left out.

    `windows` is the result of `measure_residuals`. A finding has the span in seconds of the take, whose name is the
    file, and the values `excess_db` (residual over that of music at the same level), `esr_percent` and, if a change of
    level explains the residual, `change_db`.
    """
    windows = _audible(windows)
    if len(windows) < MIN_WINDOWS:
        return {}
    windows = windows.assign(excess=_excess(windows)).sort_values(["capture", "start"], kind="stable")
    groups = [group for _, group in windows.groupby("capture", sort=True)]
    marks = [np.zeros(len(group), dtype=bool) for group in groups]
    for length, least in SCALES:
        smooth = [_running_median(group["excess"].to_numpy(), length) for group in groups]
        limit = _limit(np.concatenate(smooth), least)
        marks = [mark | (series > limit) for mark, series in zip(marks, smooth, strict=True)]
    found = {
        str(group["capture"].iloc[0]): _take_findings(group, mark) for group, mark in zip(groups, marks, strict=True)
    }
    return {name: findings for name, findings in found.items() if findings}


def _audible(windows: pd.DataFrame) -> pd.DataFrame:
    if not len(windows):
        return windows
    levels = power_to_db(windows["dry"].to_numpy(dtype=np.float64))
    return windows[levels > np.max(levels) - LEVEL_RANGE_DB].reset_index(drop=True)


def _excess(windows: pd.DataFrame) -> Levels:
    """Return the residual in dB over its median at the same input level, without the excess of whole splits."""
    levels, residuals = (power_to_db(windows[name].to_numpy(dtype=np.float64)) for name in ("dry", "error"))
    order = np.argsort(levels, kind="stable")
    baseline = np.empty(len(levels))
    baseline[order] = _running_median(residuals[order], min(LEVEL_WINDOWS, len(levels) // 4))
    excess = pd.Series(residuals - baseline)
    by_split = excess.groupby(windows["split"].to_numpy()).transform("median")
    return (excess - by_split.clip(0.0, UNSEEN_DB)).to_numpy()


def _running_median(values: Levels, length: int) -> Levels:
    smooth: Levels = median_filter(values, min(length, len(values)) // 2 * 2 + 1, mode="nearest")
    return smooth


def _limit(excess: Levels, least: float) -> float:
    """Return the largest excess in dB that is no outlier; outliers are left out of the scatter until it settles."""
    limit = np.inf
    for _ in range(5):
        excess = excess[excess <= limit]
        middle = float(np.median(excess))
        deviation = mad_sigma(excess - middle)
        limit = middle + max(least, DEVIATIONS * deviation)
    return limit


def _take_findings(take: pd.DataFrame, outliers: npt.NDArray[np.bool_]) -> list[Finding]:
    runs = find_runs(_without_gaps(take, _grown(take, outliers)))
    if sum(last - first for first, last in runs) >= WHOLE_SHARE * len(take):
        runs = [(0, len(take))]
    found = [_describe(_trimmed(take.iloc[first:last]), whole=last - first == len(take)) for first, last in runs]
    return [finding for finding in found if finding is not None]


def _trimmed(part: pd.DataFrame) -> pd.DataFrame:
    """Return the windows without those at both ends that a running median has added."""
    excess = part["excess"].to_numpy()
    middle = float(np.median(excess))
    high = np.flatnonzero(excess >= min(middle, middle / 2))
    return part.iloc[high[0] : high[-1] + 1]


def _grown(take: pd.DataFrame, outliers: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Mark also the neighbours of outliers whose smooth excess is more than half of theirs."""
    marks, smooth = outliers.copy(), _running_median(take["excess"].to_numpy(), SCALES[0][0])
    for first, last in find_runs(outliers):
        low = smooth <= np.median(smooth[first:last]) / 2
        marks[np.max(np.flatnonzero(low[:first]), initial=-1) + 1 : first] = True
        marks[last : last + int(np.argmax(np.append(low[last:], True)))] = True
    return marks


def _without_gaps(take: pd.DataFrame, outliers: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Mark the windows between outliers that are less than `MAX_GAP_SECONDS` apart."""
    marks, starts, stops = outliers.copy(), take["start"].to_numpy(), take["stop"].to_numpy()
    for (_, end), (begin, _) in pairwise(find_runs(outliers)):
        if starts[begin] - stops[end - 1] < MAX_GAP_SECONDS:
            marks[end:begin] = True
    return marks


def _describe(part: pd.DataFrame, whole: bool) -> Finding | None:
    """Return the finding on consecutive windows; None if their residual or its excess is negligible."""
    wet, twin, product, error = (part[name].to_numpy(dtype=np.float64) for name in ("wet", "twin", "product", "error"))
    esr = float(error.sum() / max(wet.sum(), twin.sum()))
    excess_db, percent = float(part["excess"].median()), 100 * esr
    if esr < MIN_ESR or excess_db < MIN_EXCESS_DB:
        return None
    span = Span(str(part["capture"].iloc[0]), float(part["start"].iloc[0]), float(part["stop"].iloc[-1]))
    # Medians, because windows at both ends may be unchanged.
    gain = float(np.median(product / np.maximum(twin, MIN_POWER)))
    change_db = amp_to_db(gain)
    rest = float(np.median((wet - 2 * gain * product + gain**2 * twin) / np.maximum(error, MIN_POWER)))
    share = SMALL_GAIN_SHARE if excess_db + power_to_db(rest) < MIN_EXCESS_DB else GAIN_SHARE
    if rest <= 1 - share and GAIN_RANGE_DB[0] <= abs(change_db) <= GAIN_RANGE_DB[1]:
        return suspect("outlier-level", span, change_db=change_db, excess_db=excess_db, esr_percent=percent)
    return suspect("outlier-take" if whole else "outlier-stretch", span, excess_db=excess_db, esr_percent=percent)
