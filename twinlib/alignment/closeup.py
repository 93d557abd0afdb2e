"""A close look at a stretch, by short windows: whether it really lies where the clock says.

Long windows tell the lag well and its place badly: near a loss, and near the ends of a programme, some tenths of a
second may belong to another piece than they seem to, or to one too short for any window.
"""

import numpy as np

from twinlib.alignment.signals import Channel
from twinlib.alignment.timemap import TimeMap
from twinlib.alignment.track import AGREES, Response, dense_plan, measure

SIZE = 4096
"""Samples of a window: 93 ms at 44.1 kHz."""

BETWEEN = 3 * SIZE
"""Samples between two stretches off to the same side that are taken for one."""

IN_A_ROW = 3
"""Windows that must tell the same before it is believed: 0.2 s."""

SIGMAS = 6.0
"""Times the usual scatter, and times their own error, that they must be off."""


def strays(
    dry: Channel,
    wet: Channel,
    timemap: TimeMap,
    polarity: int,
    response: Response | None,
    stretches: list[tuple[int, int]],
) -> list[tuple[int, int, float]]:
    """Dry ranges within `stretches` that lie half a sample or more from where the map has them, and how much later.

    `response` is the device's, in windows of `SIZE`; without it each stretch tells its own, and what is off spoils it.
    """
    centres, residuals, errors = [], [], []
    for start, stop in stretches:
        windows = dense_plan(max(start, dry.start), min(stop, dry.stop), SIZE)
        known = response or measure(dry, wet, windows, timemap, None, polarity)[1]
        measured, _ = measure(dry, wet, windows, timemap, known, polarity)
        heard = measured.heard
        centres.append(measured.position[heard])
        residuals.append(measured.residual[heard])
        errors.append(measured.weight[heard] ** -0.5)
    position, residual, error = (np.concatenate(parts) for parts in (centres, residuals, errors))
    if len(position) < IN_A_ROW:
        return []
    off = residual - np.median(residual)
    most = np.maximum(max(AGREES, SIGMAS * 1.4826 * float(np.median(np.abs(off)))), SIGMAS * error)
    ranges: list[tuple[int, int, float]] = []
    for sign in (1, -1):
        far = np.concatenate(([False], sign * off > most, [False]))
        edges = np.flatnonzero(np.diff(far.astype(np.int8)))
        for first, last in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            if last - first >= IN_A_ROW and float(np.ptp(off[first:last])) < abs(float(np.median(off[first:last]))):
                stretch = (int(position[first]) - SIZE, int(position[last - 1]) + SIZE)
                # What lies between two stretches that are off alike is hardly right.
                if ranges and ranges[-1][2] * sign > 0.0 and stretch[0] - ranges[-1][1] < BETWEEN:
                    stretch = (ranges.pop()[0], stretch[1])
                ranges.append((*stretch, float(np.median(residual[first:last]))))
    return sorted(ranges)
