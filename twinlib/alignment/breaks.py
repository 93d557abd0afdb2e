"""Where samples were lost or repeated: steps of the lag, and the place of each between two windows."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter

from twinlib.alignment.line import Labels
from twinlib.alignment.spectra import Real

LEAST_STEP = 0.5
"""Samples: nothing is lost in parts of samples."""

SIGMAS = 8.0
"""Times its own scatter that a step of the lag must have."""

SIDE = 3
"""Windows on either side of a step whose median stands for the lag there."""

LEAST_WINDOWS = 4
"""Windows on either side of a step that only all of them tell."""


@dataclass(frozen=True)
class Step:
    """The lag changes by `samples` between window `after - 1` and window `after` of those that were heard."""

    after: int
    samples: float


@dataclass(frozen=True)
class Break:
    """A loss on the dry clock: the piece before it is right until `first`, the one after it from `last` on.

    `place` is where the loss most likely is; between the two lies what cannot be told, and what was lost. The lag is
    seen to change by `step` samples.
    """

    place: int
    first: int
    last: int
    step: float = 0.0


def steps(position: Real, lag: Real) -> list[Step]:
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
        before, after = level[max(0, i - SIDE) : i], level[i : i + SIDE]
        near = jitter[max(0, i - 12) : i + 12]
        scatter = 1.4826 * float(np.median(near)) / np.sqrt(2.0)
        step = float(np.median(after) - np.median(before))
        # Both sides keep to their level: a lag that swings is no step.
        spread = max(float(np.ptp(before)), float(np.ptp(after))) if min(len(before), len(after)) < SIDE else 0.0
        if abs(step) > max(LEAST_STEP, SIGMAS * scatter, 2.0 * spread):
            found[i] = step
    result = []
    while found.any():
        # Medians of three see a step a window early and late too; it is where two neighbours differ most.
        top = int(np.abs(found).argmax())
        nearby = [i for i in range(max(1, top - 2), min(count, top + 3)) if found[i] * found[top] > 0]
        at = max(nearby, key=lambda i: (abs(level[i] - level[i - 1]), abs(found[i])))
        if abs(level[at] - level[at - 1]) > 0.3 * abs(found[top]):
            result.append(Step(at, float(found[top])))
        found[max(0, at - SIDE) : at + SIDE + 1] = 0.0
        found[top] = 0.0
    return sorted(result, key=lambda one: one.after)


def hidden(position: Real, residual: Real, weights: Real, labels: Labels, unit: float) -> Break | None:
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
    return Break(int(position[at - 1] + position[at]) // 2, first, last + max(0, -round(step)), step)


def rough(position: Real, size: int, found: Step) -> Break:
    """A break somewhere between two windows of `size` samples, whose energy is centred at `position`."""
    first, last = int(position[found.after - 1]) - size, int(position[found.after]) + size
    return Break((first + last) // 2, first, last + max(0, -round(found.samples)), found.samples)
