"""A close look at a stretch, by short windows: whether it really lies where the clock says.

Long windows tell the lag well and its place badly: near a loss, and near the ends of a programme, some tenths of a
second may belong to another piece than they seem to, or to one too short for any window.
"""

import numpy as np

from twinlib.alignment.ranges import joined, runs
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
    rows = []
    for start, stop in joined(stretches):
        windows = dense_plan(max(start, dry.start), min(stop, dry.stop), SIZE)
        known = response or measure(dry, wet, windows, timemap, None, polarity)[1]
        measured, _ = measure(dry, wet, windows, timemap, known, polarity)
        heard = measured.heard
        rows.append(np.array([measured.position, measured.residual, measured.weight])[:, heard])
    if not rows or sum(row.shape[1] for row in rows) < IN_A_ROW:
        return []
    usual = float(np.median(np.concatenate([residual for _, residual, _ in rows])))
    scatter = float(np.median(np.abs(np.concatenate([residual for _, residual, _ in rows]) - usual)))
    ranges: list[tuple[int, int, float]] = []
    for position, residual, weight in rows:
        off = residual - usual
        most = np.maximum(max(AGREES, SIGMAS * 1.4826 * scatter), SIGMAS * weight**-0.5)
        for sign in (1, -1):
            found: list[tuple[int, int, float]] = []
            for first, last in runs(sign * off > most):
                later = float(np.median(residual[first:last]))
                if last - first >= IN_A_ROW and float(np.ptp(off[first:last])) < abs(later - usual):
                    start, stop = int(position[first]) - SIZE, int(position[last - 1]) + SIZE
                    # What lies between two stretches that are off alike is hardly right.
                    if found and start - found[-1][1] < BETWEEN:
                        start = found.pop()[0]
                    found.append((start, stop, later))
            ranges += found
    return sorted(ranges)
