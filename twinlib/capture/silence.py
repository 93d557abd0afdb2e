"""The silent parts of a sound file, by its levels in windows of 50 ms."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from twinlib.audio import BLOCK, Reader
from twinlib.capture.bounded_track import BoundedTrack, merge_maxima
from twinlib.capture.levels import FLOOR_DBFS, WINDOWS_PER_SECOND
from twinlib.db import power_to_db
from twinlib.intervals import Range, find_runs

SILENCE_DB = 60.0
"""A window this far below the loudest second is silent."""

NOISE_MARGIN_DB = 6.0
"""A window within this distance of the quietest second is silent too..."""

MIN_NOISE_DB = 36.0
"""...if it is this far below the loudest second: it contains only the noise of a pause."""

Levels = npt.NDArray[np.float64]


def find_silence(reader: Reader, channel: int) -> list[Range]:
    """Return all ranges [start, stop) of a file in which a channel (from 0) is silent, in constant memory.

    Files of more than 55 minutes are measured in longer windows.
    """
    window = max(1, reader.info.sample_rate // WINDOWS_PER_SECOND)
    track = BoundedTrack(1, merge_maxima)
    for levels in _window_levels(reader, channel, window):
        track.add(levels[:, None])
    levels = track.rows()[:, 0]
    if not len(levels):
        return []
    runs = find_runs(levels < _threshold(levels, max(1, WINDOWS_PER_SECOND // track.rows_per_row)))
    window *= track.rows_per_row
    return [(first * window, min(last * window, reader.info.frames)) for first, last in runs]


def _window_levels(reader: Reader, channel: int, window: int) -> Iterator[Levels]:
    """Yield the levels of the windows in dB, without DC, block by block; the last window may be shorter."""
    for _, block in reader.blocks(window * max(1, BLOCK // window)):
        samples = np.nan_to_num(block[:, channel].astype(np.float64), posinf=0.0, neginf=0.0)
        whole = len(samples) // window * window
        powers = samples[:whole].reshape(-1, window).var(axis=1)
        if whole < len(samples):
            powers = np.append(powers, samples[whole:].var())
        yield power_to_db(powers, 1e-16)


def _threshold(levels: Levels, windows_per_second: int) -> float:
    """Return the level below which a window is silent, from the loudest and the quietest second."""
    # Digital silence hides the noise of other pauses.
    ordered = np.sort(levels[levels > FLOOR_DBFS] if levels.max() > FLOOR_DBFS else levels)
    second = min(windows_per_second, -(-len(ordered) // 20))
    loudest, quietest = float(ordered[-second]), float(ordered[second - 1])
    return max(loudest - SILENCE_DB, min(quietest + NOISE_MARGIN_DB, loudest - MIN_NOISE_DB))
