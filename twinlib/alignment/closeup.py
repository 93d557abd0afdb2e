"""A close look at a stretch, by short windows: whether it really lies where the clock says.

Long windows tell the lag well and its place badly: near a loss, and near the ends of a programme, some tenths of a
second may belong to another piece than they seem to, or to one too short for any window.
"""

import numpy as np

from twinlib.alignment.channel import Channel
from twinlib.alignment.lag_track import (
    DISPLACED_SAMPLES,
    INLIER_SAMPLES,
    MIN_SHORT_WEIGHT,
    Response,
    measure_lags,
    plan_dense_windows,
)
from twinlib.alignment.time_map import TimeMap
from twinlib.intervals import find_runs, merge_ranges

SIZE = 4096
"""Samples of a window: 93 ms at 44.1 kHz."""

BETWEEN = 3 * SIZE
"""Samples between two stretches off to the same side that are taken for one."""

IN_A_ROW = 3
"""Windows that must tell the same before it is believed: 0.2 s. Two are enough where they lie farther off than any
device delays, and where no other tells anything within `ALONE`."""

ALONE = 4 * SIZE
"""Samples from the window that tells something before such two to that after them: a chance peak has neighbours."""

BLURRED = 0.25
"""Times the usual inverse variance, below which a window tells nothing if it is not sharp either: between two attacks
there may be tones alone, which tell another period of theirs."""

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

    What fewer windows tell than `IN_A_ROW` says is not seen, nor what lies farther off than a quarter of a window.
    `response` is the device's, in windows of `SIZE`; without it each stretch tells its own, and what is off spoils it.
    """
    rows = []
    for start, stop in merge_ranges(stretches):
        windows = plan_dense_windows(max(start, dry.start), min(stop, dry.stop), SIZE)
        known = response or measure_lags(dry, wet, windows, timemap, None, polarity)[1]
        measured, _ = measure_lags(dry, wet, windows, timemap, known, polarity)
        heard = measured.detected
        rows.append(np.array([measured.position, measured.residual, measured.weight])[:, heard])
    if not rows or sum(row.shape[1] for row in rows) < IN_A_ROW:
        return []
    usual = float(np.median(np.concatenate([residual for _, residual, _ in rows])))
    scatter = float(np.median(np.abs(np.concatenate([residual for _, residual, _ in rows]) - usual)))
    least = min(MIN_SHORT_WEIGHT, BLURRED * float(np.median(np.concatenate([weight for _, _, weight in rows]))))
    ranges: list[tuple[int, int, float]] = []
    for row in rows:
        position, residual, weight = row[:, row[2] >= least]
        off = residual - usual
        most = np.maximum(max(INLIER_SAMPLES, SIGMAS * 1.4826 * scatter), SIGMAS * weight**-0.5)
        for sign in (1, -1):
            found: list[tuple[int, int, float]] = []
            for first, last in find_runs(sign * off > most):
                later, spread = float(np.median(residual[first:last])), float(np.ptp(off[first:last]))
                between = position[min(last, len(position) - 1)] - position[max(first - 1, 0)]
                two = (
                    last - first == 2
                    and abs(later) > DISPLACED_SAMPLES
                    and spread < INLIER_SAMPLES
                    and between >= ALONE
                )
                if (last - first >= IN_A_ROW or two) and spread < abs(later - usual):
                    start, stop = int(position[first]) - SIZE, int(position[last - 1]) + SIZE
                    # What lies between two stretches that are off alike is hardly right.
                    if found and start - found[-1][1] < BETWEEN:
                        start = found.pop()[0]
                    found.append((start, stop, later))
            ranges += found
    return sorted(ranges)
