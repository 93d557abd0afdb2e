"""Change points: steps of a slowly varying series, and the likelihood of a change between two models."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import median_filter

from twinlib.estimation.robust import mad_sigma

Array = npt.NDArray[np.float64]

MIN_STEP = 0.5
"""Minimum step in samples: interfaces lose whole samples."""

MIN_STEP_SIGMAS = 8.0
"""A step must exceed its local scatter by this factor."""

SIDE_WINDOWS = 3
"""Windows on either side of a step whose median is the lag there."""

MIN_REFERENCE, MAX_GROUPS = 24, 8
"""Minimum number of windows for one estimate of the scatter, and maximum number of estimates."""

MIN_SCATTER = 0.005
"""Minimum scatter of correlations: a device delays each note differently."""

MIN_INNOVATION, MAX_SERIAL = 0.1, 0.99
"""Minimum scatter of the innovations relative to that of the errors, and maximum serial correlation of the errors."""

T_DEGREES = 4.0
"""Degrees of freedom of Student's t distribution of the innovations: distortion makes outliers."""


@dataclass(frozen=True)
class TrackStep:
    """The lag changes by `samples` between the detected windows `after - 1` and `after`."""

    after: int
    samples: float


def detect_steps(position: Array, lag: Array) -> list[TrackStep]:
    """Detect steps in an otherwise slowly varying lag track; `position` and `lag` of the detected windows, in order.

    A step exceeds the scatter of its neighbourhood and both levels last for at least two windows.
    """
    count = len(position)
    if count < 4:
        return []
    change, spacing = np.diff(lag), np.diff(position)
    slopes = median_filter(change / spacing, size=min(15, 2 * ((count - 1) // 2) - 1), mode="reflect")
    level = np.concatenate(([0.0], np.cumsum(change - slopes * spacing)))
    jitter = np.abs(np.diff(level))
    sides = np.median(sliding_window_view(level, SIDE_WINDOWS), axis=1)
    before = np.concatenate(([np.median(level[:2])], sides[: count - 4]))
    after = np.concatenate((sides[2 : count - 2], [np.median(level[-2:])]))
    found = np.zeros(count)
    for i in np.flatnonzero(np.abs(after - before) > MIN_STEP) + 2:
        scatter = mad_sigma(jitter[max(0, i - 12) : i + 12]) / np.sqrt(2.0)
        # Near an end, both sides must keep their level: an oscillating lag has no step.
        short = i < SIDE_WINDOWS or i > count - SIDE_WINDOWS
        both = level[max(0, i - SIDE_WINDOWS) : i], level[i : i + SIDE_WINDOWS]
        spread = max(float(np.ptp(side)) for side in both) if short else 0.0
        step = float(after[i - 2] - before[i - 2])
        if abs(step) > max(MIN_STEP_SIGMAS * scatter, 2.0 * spread):
            found[i] = step
    result = []
    while found.any():
        # Medians of three respond one window early and late; the step is where two neighbours differ most.
        top = int(np.abs(found).argmax())
        nearby = [i for i in range(max(1, top - 2), min(count, top + 3)) if found[i] * found[top] > 0]
        at = max(nearby, key=lambda i: (abs(level[i] - level[i - 1]), abs(found[i])))
        if abs(level[at] - level[at - 1]) > 0.3 * abs(found[top]):
            result.append(TrackStep(at, float(found[top])))
        found[max(0, at - SIDE_WINDOWS) : at + SIDE_WINDOWS + 1] = 0.0
        found[top] = 0.0
    return sorted(result, key=lambda step: step.after)


def change_scores(
    errors: Sequence[Array], expected: Array, side: Array, audible: npt.NDArray[np.bool_], width: int
) -> Array | None:
    """Return the log-likelihood ratio of a change at each window against no change.

    `errors` are those under the first and the second map; the `width` windows after a change count for neither. `side`
    is -1 before the step, 1 after it, 0 where the map is unknown. The scatter depends on the `expected` difference.
    None if fewer than `MIN_REFERENCE` windows are known.
    """
    reference = np.flatnonzero(side)
    if len(reference) < MIN_REFERENCE:
        return None
    error = np.where(side < 0.0, errors[0], errors[1])[reference]
    order = np.argsort(expected[reference], kind="stable")
    groups = np.array_split(order, max(1, min(MAX_GROUPS, len(order) // MIN_REFERENCE)))
    scatter = np.interp(
        expected,
        [float(np.median(expected[reference[group]])) for group in groups],
        [max(mad_sigma(error[group]), MIN_SCATTER) for group in groups],
    )
    clipped = np.clip(error / scatter[reference], -3.0, 3.0)
    serial = float((clipped[1:] * clipped[:-1]).sum() / (np.square(clipped).sum() + 1e-12))
    serial = min(max(serial, 0.0), MAX_SERIAL)
    innovation = max(mad_sigma(clipped[1:] - serial * clipped[:-1]), MIN_INNOVATION)

    def log_likelihood(before: Array, after: Array) -> Array:
        last = np.concatenate(([0.0], (before / scatter)[:-1]))
        ratio = (after / scatter - serial * last) / innovation
        return np.where(audible, -0.5 * (T_DEGREES + 1.0) * np.log1p(np.square(ratio) / T_DEGREES), 0.0)

    first, second = (np.concatenate(([0.0], np.cumsum(log_likelihood(one, one)))) for one in errors)
    count = len(expected) - width
    changed = first[:count] + log_likelihood(*errors)[width:] + second[-1] - second[width + 1 :]
    return np.asarray(changed - max(first[-1], second[-1]))
