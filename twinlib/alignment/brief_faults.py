"""Faults shorter than a frame: crackles of a few samples, and mutes of milliseconds.

Both compare the wet signal with its own neighbourhood, because the residual of a distorting device hides them, and with
the dry signal, because music has attacks and rests.
"""

import numpy as np
import numpy.typing as npt
from scipy.ndimage import maximum_filter1d, percentile_filter, rank_filter

from twinlib.estimation import FRAME, PART, FrameSums, Real
from twinlib.intervals import find_runs

Mask = npt.NDArray[np.bool_]

REACH = 12
"""Frames on either side of a frame that are its neighbourhood, 70 ms: several periods of a low note."""

EDGES_NEARBY = 9
"""Frames of a neighbourhood whose edges may be as sharp: those of a low note through a clipper, other crackles."""

MIN_CREST, MIN_CREST_GAIN = 6.0, 3.0
"""Edge of a crackle relative to its neighbourhood, and relative to the square of the same measure of the dry signal: a
distorting device sharpens attacks."""

MAX_GAIN_RATIO, EDGE_PERCENTILE = 3.0, 98.0
"""Gain of an edge relative to this percentile of all frames from which it is a crackle."""

OWN_RANK, MIN_OWN_FACTOR = 5, 2.0
"""Rank of the spike that the device makes among those of all other frames, and height of a crackle relative to it."""

MAX_GAIN_SPREAD = 3.0
"""The same percentile relative to the median up to which a device is nearly linear."""

ISOLATION = 4.0
"""Edge of a crackle relative to those a frame before and after: attacks last longer."""

MIN_EDGE = 0.1
"""Smallest spike of a crackle."""

MAX_MUTED = 1e-3
"""Energy of a mute relative to its neighbourhood; a low note reaches 0.02 near its zero crossings."""

MIN_DRY = 0.05
"""Energy of the dry signal over a mute, relative to its neighbourhood."""

MIN_DRY_POWER = 1e-5
"""Power of the dry signal, -50 dBFS, above which a device is not silent for milliseconds."""

MUTED_PARTS = 3, 40
"""Fewest and most consecutive parts of a brief mute, 2 to 29 ms."""

FLANK_PARTS, MIN_FLANK = 4, 0.05
"""Parts before and after a brief mute, and energy of the loudest, relative to the neighbourhood: a gate closes
slowly."""

MIN_RESTS = 3
"""Rests, of which two are within 0.14 s of the third, that the device makes: a hard fuzz is silent for a part of each
low period."""

FLANK_FRAMES = 3
"""Frames before and after a long mute of which one sounds."""

LEVEL_FRAMES, MAX_LEVELS = 32, 24
"""Fewest frames of a step of the dry level, and greatest number of steps, whose median wet energies are compared."""

MAX_CLOSED, MAX_CLOSED_SHARE = 1e-2, 0.1
"""Gain, relative to the median, of a closed gate, and the share of closed frames at the level of a mute that a gate
explains."""

MAX_CRACKLING_SHARE, MAX_MUTED_SHARE = 0.05, 0.06
"""Shares of the frames above which the device itself makes such edges or rests."""


def find_brief_faults(rows: FrameSums) -> list[tuple[int, int]]:
    """Return runs of frames with a crackle or a mute."""
    faults = _long_mutes(rows)
    for found, limit in ((_crackles(rows), MAX_CRACKLING_SHARE), (_brief_mutes(rows), MAX_MUTED_SHARE)):
        if float(found.mean()) < limit:
            faults |= found
    return find_runs(faults)


def _crackles(rows: FrameSums) -> Mask:
    crests = []
    for edge in (rows.dry_edge, rows.wet_edge):
        nearby = rank_filter(edge, rank=-EDGES_NEARBY, size=2 * REACH + 1, mode="nearest")
        crests.append(edge / np.maximum(nearby, 1e-6))
    # The wet signal may be a fraction of a frame late.
    dry = np.maximum(maximum_filter1d(crests[0], 3), 1.0)
    edge = rows.wet_edge
    around = np.pad(edge, 2, mode="edge")
    isolated = edge > ISOLATION * np.maximum(around[:-4], around[4:])
    # A crackle between two frames belongs to both.
    isolated &= edge > ISOLATION * np.minimum(around[1:-3], around[3:-1])
    sharp = crests[1] > np.maximum(MIN_CREST, MIN_CREST_GAIN * dry**2)
    # A nearly linear device scales all edges alike, those of attacks too.
    gain = edge / np.maximum(maximum_filter1d(rows.dry_edge, 3), 1e-6)
    loud = rows.dry_edge > MIN_EDGE / 200.0
    median, high = np.percentile(gain[loud], (50.0, EDGE_PERCENTILE)) if loud.any() else (0.0, np.inf)
    if high < MAX_GAIN_SPREAD * median:
        sharp |= gain > MAX_GAIN_RATIO * high
    found = np.asarray(isolated & sharp & (edge > MIN_EDGE))
    # A fuzz makes spikes of its own, most of them in a row.
    others = np.sort(edge[~maximum_filter1d(found, 3)])[-OWN_RANK:]
    return np.asarray(found & (edge > MIN_OWN_FACTOR * (float(others[0]) if len(others) == OWN_RANK else 0.0)))


def _brief_mutes(rows: FrameSums) -> Mask:
    """Return the mask of frames with parts that are silent for milliseconds, between parts that are not."""
    dry, wet = rows.dry_parts.reshape(-1), rows.wet_parts.reshape(-1)
    count = rows.wet_parts.shape[1]
    size = count * (2 * (REACH // 3) + 1)
    dry_level, wet_level = (percentile_filter(part, 40, size, mode="nearest") for part in (dry, wet))
    muted = wet < MAX_MUTED * wet_level
    sounds = wet > MIN_FLANK * wet_level
    sounding, number = np.pad(sounds, FLANK_PARTS), np.cumsum(sounds)
    # A low note has parts near zero, too.
    least = np.maximum(MIN_DRY * dry_level, MIN_DRY_POWER * PART)
    rests = [(first, last) for first, last in find_runs(muted) if dry[first:last].mean() > least[first:last].mean()]
    places = np.array([first for first, _ in rests], np.int64)
    muted[:] = False
    for first, last in rests:
        before, after = sounding[first : first + FLANK_PARTS], sounding[last + FLANK_PARTS : last + 2 * FLANK_PARTS]
        is_brief = MUTED_PARTS[0] <= last - first <= MUTED_PARTS[1]
        # Sound divides two rests.
        recurs = len(np.unique(number[places[np.abs(places - first) < 2 * REACH * count]])) >= MIN_RESTS
        muted[first:last] = is_brief and not recurs and before.any() and after.any()
    frames = np.asarray(muted.reshape(-1, count).any(axis=1))
    power, output = rows.dry_parts.sum(axis=1), rows.wet_parts.sum(axis=1)
    closed = output < MAX_CLOSED * power * float(np.median(output / (power + 1e-12)))
    return _without_gates(frames, power, closed)


def _long_mutes(rows: FrameSums) -> Mask:
    """Return the mask of runs of at least two frames that are silent, although others of their level are not."""
    power, output = rows.dry_parts.sum(axis=1), rows.wet_parts.sum(axis=1)
    loud = np.flatnonzero(power > MIN_DRY_POWER * FRAME)
    expected = np.zeros(len(power))
    levels = max(1, min(MAX_LEVELS, len(loud) // LEVEL_FRAMES))
    for frames in np.array_split(loud[np.argsort(power[loud], kind="stable")], levels):
        expected[frames] = np.median(output[frames]) if len(frames) else 0.0
    silent = output < MAX_MUTED * expected
    muted = silent.copy()
    sounding = np.pad(output > MIN_FLANK * np.where(expected > 0.0, expected, np.inf), FLANK_FRAMES)
    for first, last in find_runs(silent):
        # A gate opens late, but after silence.
        before = sounding[first : first + FLANK_FRAMES]
        after = sounding[last + FLANK_FRAMES : last + 2 * FLANK_FRAMES]
        muted[first:last] = last - first >= 2 and before.any() and after.any()
    return _without_gates(muted, power, silent)


def _without_gates(muted: Mask, power: Real, closed: Mask) -> Mask:
    """Return the runs of `muted` frames without those at a power at which other frames are `closed`, as in a gate."""
    kept = muted.copy()
    for first, last in find_runs(muted):
        middle = float(np.median(power[first:last]))
        similar = (power > middle / 4.0) & (power < middle * 2.0)
        similar[first:last] = False
        kept[first:last] = not similar.any() or float(closed[similar].mean()) < MAX_CLOSED_SHARE
    return np.asarray(kept)
