"""Short excerpts for the tests of the listening page."""

import numpy as np
from scipy.signal import lfilter

from tests.evaluation.factories import music
from twinlib.listening.stimuli import ListeningExcerpt

RATE = 22050


def sounds(
    title: str = "the loudest seconds", seconds: float = 2.0, seed: int = 0, rate: int = RATE
) -> ListeningExcerpt:
    """A saturating device, a similar twin and a linear filter, at different levels."""
    dry = music(round(seconds * rate), seed, 0.1)
    device = np.tanh(8 * lfilter([0.6], [1, -0.4], dry)) / 2
    twin = np.tanh(7.8 * lfilter([0.6], [1, -0.38], dry)) / 1.8
    linear = 2 * lfilter([0.6], [1, -0.4], dry)
    return ListeningExcerpt(title, rate, dry, *(signal.astype(np.float32) for signal in (device, twin, linear)))
