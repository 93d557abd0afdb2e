"""One channel of a sound file, read anywhere: silence lies before it and after it."""

from dataclasses import dataclass

import numpy as np

from twinlib.audio import Reader, Signal


@dataclass(frozen=True)
class Channel:
    """Channel `channel` (from 0) of an open file, of which only [start, stop) is heard.

    For measuring, samples that are not finite count as silence; `exact` hands them out as they are.
    """

    reader: Reader
    channel: int
    start: int
    stop: int
    exact: bool = False

    def read(self, start: int, stop: int) -> Signal:
        """Samples [start, stop), float32 `(frames,)`; zero outside the range."""
        out = np.zeros(max(0, stop - start), np.float32)
        first, last = max(start, self.start), min(stop, self.stop)
        if first < last:
            out[first - start : last - start] = self.reader.read(first, last)[:, self.channel]
        # One NaN would otherwise spread over every transform that it is part of.
        return out if self.exact else np.nan_to_num(out, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
