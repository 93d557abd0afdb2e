"""Programme loudness as a stream, after ITU-R BS.1770-4."""

import math

import numpy as np
import pyloudnorm
from scipy.signal import lfilter

from twinlib.audio import Signal

_ABSOLUTE_GATE = -70.0
_RELATIVE_GATE = -10.0
_STEP_SECONDS = 0.1
_STEPS_A_BLOCK = 4


class Loudness:
    """The integrated loudness of one channel that arrives in blocks of any size.

    The K-weighting is that of pyloudnorm; gating blocks of 400 ms overlap by 75 %. Keeps ten numbers a second of audio.
    """

    def __init__(self, sample_rate: int) -> None:
        stages = pyloudnorm.Meter(sample_rate)._filters.values()
        self._filters = [(stage.passband_gain * stage.b, stage.a) for stage in stages]
        self._states = [np.zeros(max(len(b), len(a)) - 1) for b, a in self._filters]
        self._step = round(_STEP_SECONDS * sample_rate)
        self._rest = np.zeros(0)
        self._energies: list[float] = []

    def add(self, samples: Signal) -> None:
        """The next `(frames,)` of the programme."""
        weighted = samples.astype(np.float64)
        for index, (b, a) in enumerate(self._filters):
            weighted, self._states[index] = lfilter(b, a, weighted, zi=self._states[index])
        weighted = np.concatenate([self._rest, weighted])
        whole = len(weighted) // self._step * self._step
        self._energies.extend(np.square(weighted[:whole]).reshape(-1, self._step).sum(axis=1).tolist())
        self._rest = weighted[whole:]

    def lufs(self) -> float | None:
        """The integrated loudness in LUFS; None if the programme is shorter than 400 ms or below the absolute gate."""
        steps = np.array(self._energies)
        if len(steps) < _STEPS_A_BLOCK:
            return None
        powers = np.convolve(steps, np.ones(_STEPS_A_BLOCK), "valid") / (_STEPS_A_BLOCK * self._step)
        powers = powers[powers > _power(_ABSOLUTE_GATE)]
        if not len(powers):
            return None
        powers = powers[powers > np.mean(powers) * 10 ** (_RELATIVE_GATE / 10)]
        return -0.691 + 10 * math.log10(float(np.mean(powers)))


def _power(lufs: float) -> float:
    """The mean square of a K-weighted signal of that loudness."""
    return float(10 ** ((lufs + 0.691) / 10))
