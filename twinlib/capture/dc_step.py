"""Steps of the DC offset of a recording, found in its quiet windows."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twinlib.capture.bounded_track import BoundedTrack

MIN_STEP = 0.01
"""Smallest reported step, as a fraction of full scale."""
MAX_STEP = 1.0
QUIET = 0.25
"""A window counts if its standard deviation is less than this fraction of the step. Distortion that is not symmetric
moves the mean as well, but by less than twice the standard deviation of the sound."""
GROUP = 10
"""Windows of which only the quietest is kept."""
CONTEXT = 10
"""Kept windows before and after a step whose medians are compared."""
MIN_CONTEXT = 2
"""At least this number of them."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DcStep:
    """A step of the mean `before` to the mean `after` between two times in seconds."""

    start: float
    stop: float
    before: float
    after: float


def merge_quieter(pairs: Array) -> Array:
    """Return the quieter of pairs of windows; the last column is their standard deviation."""
    return np.asarray(np.where(pairs[:, :1, 2] <= pairs[:, 1:, 2], pairs[:, 0], pairs[:, 1]))


class DcTrack:
    """The mean of the quietest of every `GROUP` windows of a stream, in constant memory."""

    def __init__(self) -> None:
        self._kept = BoundedTrack(3, merge_quieter)

    def add(self, first: float, means: Array, variances: Array) -> None:
        """Add the next windows, the first of which is window number `first` of the stream."""
        starts = np.arange(0, len(means), GROUP)
        at = np.array([start + int(np.argmin(variances[start : start + GROUP])) for start in starts])
        self._kept.add(np.stack((first + at, means[at], np.sqrt(variances[at])), axis=1))

    def find_step(self, window_seconds: float) -> DcStep | None:
        """Return the largest step; None if there is none of at least `MIN_STEP`."""
        track = self._kept.rows().T
        found, size = None, MIN_STEP
        # Louder windows reveal only larger steps.
        while size < MAX_STEP:
            found = _find_step(track[:, track[2] < QUIET * size], size, window_seconds) or found
            size *= 2.0
        return found


def _find_step(track: Array, size: float, window_seconds: float) -> DcStep | None:
    place, means, _ = track
    if len(means) < 2 * MIN_CONTEXT:
        return None
    # Context i contains the kept windows before window i.
    contexts = np.lib.stride_tricks.sliding_window_view(np.pad(means, CONTEXT, constant_values=np.nan), CONTEXT)
    ends = np.arange(MIN_CONTEXT, len(means) - MIN_CONTEXT + 1)
    before, after = (np.nanmedian(contexts[at], axis=1) for at in (ends, ends + CONTEXT))
    steps = np.abs(after - before)
    if steps.max() < size:
        return None
    # The medians change over several windows; the step is where the mean itself changes.
    near = np.flatnonzero(steps > 0.9 * steps.max())
    best = near[np.argmax(np.abs(np.diff(means)[ends[near] - 1]))]
    start, stop = place[ends[best] - 1], place[ends[best]] + 1.0
    return DcStep(
        start=round(float(start) * window_seconds, 3),
        stop=round(float(stop) * window_seconds, 3),
        # Adding 0.0 turns -0.0 into 0.0.
        before=round(float(before[best]), 3) + 0.0,
        after=round(float(after[best]), 3) + 0.0,
    )
