"""One channel of a sound file, read anywhere: silence lies before it and after it."""

from dataclasses import dataclass

import numpy as np

from twinlib.audio import Reader, Signal


@dataclass(frozen=True)
class Channel:
    """Channel `channel` (from 0) of an open file, of which only [start, stop) is heard."""

    reader: Reader
    channel: int
    start: int
    stop: int

    def read(self, start: int, stop: int) -> Signal:
        """Samples [start, stop), float32 `(frames,)`; zero outside the range."""
        out = np.zeros(max(0, stop - start), np.float32)
        first, last = max(start, self.start), min(stop, self.stop)
        if first < last:
            out[first - start : last - start] = self.reader.read(first, last)[:, self.channel]
        return out
