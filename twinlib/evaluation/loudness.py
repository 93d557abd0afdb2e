"""Loudness and true peak as streams, after ITU-R BS.1770-4 and EBU Tech 3341."""

import numpy as np
import numpy.typing as npt
import pyloudnorm
from numpy.lib.stride_tricks import sliding_window_view
from scipy.signal import lfilter

from twinlib.audio import Signal
from twinlib.db import db_to_power, power_to_db

_ABSOLUTE_GATE = -70.0
_RELATIVE_GATE = -10.0
_STEP_SECONDS = 0.1
_STEPS_A_BLOCK = 4
_STEPS_SHORT_TERM = 30

_TAPS = 24
_KAISER = 6.0


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
        powers = self._powers(_STEPS_A_BLOCK)
        powers = powers[powers > db_to_power(_ABSOLUTE_GATE + 0.691)]
        if not len(powers):
            return None
        powers = powers[powers > np.mean(powers) * db_to_power(_RELATIVE_GATE)]
        return -0.691 + power_to_db(float(np.mean(powers)))

    def short_term(self) -> npt.NDArray[np.float64]:
        """The short-term loudness in LUFS, `(windows,)`: windows of 3 s, ten a second, no gate (EBU Tech 3341)."""
        found: npt.NDArray[np.float64] = -0.691 + power_to_db(self._powers(_STEPS_SHORT_TERM))
        return found

    def _powers(self, steps: int) -> npt.NDArray[np.float64]:
        """The mean squares of all windows of so many steps."""
        energies = np.array(self._energies)
        if len(energies) < steps:
            return np.zeros(0)
        return np.convolve(energies, np.ones(steps), "valid") / (steps * self._step)


def largest_difference(device: Loudness, twin: Loudness) -> float | None:
    """The short-term loudness of the twin minus the device's, in LU, where they differ most; both heard as long.

    Loudness counts as no less than the absolute gate of -70 LUFS, so that silence has a finite distance. None if
    there is no window of 3 s in which one of the two is louder than that.
    """
    levels = np.maximum([device.short_term(), twin.short_term()], _ABSOLUTE_GATE)
    differences = (levels[1] - levels[0])[np.any(levels > _ABSOLUTE_GATE, axis=0)]
    return float(differences[np.argmax(np.abs(differences))]) if len(differences) else None


class TruePeak:
    """The largest magnitude of a signal between its samples too, fed in blocks of any size.

    Oversampled four times, as ITU-R BS.1770-4 (Annex 2) asks; the interpolators are sincs of 24 samples in a Kaiser
    window instead of the 12 taps of the standard. At the ends of a stretch only the samples count.
    """

    def __init__(self) -> None:
        places = np.arange(_TAPS)[:, None] - (_TAPS // 2 - 1) - np.array([0.25, 0.5, 0.75])
        window = np.i0(_KAISER * np.sqrt(1 - np.square(places / (_TAPS / 2))))
        kernels = np.sinc(places) * window
        self._kernels = (kernels / kernels.sum(axis=0)).astype(np.float32)
        self._rest = np.zeros(0, np.float32)
        self.samples = 0.0
        """The largest magnitude of a sample so far."""
        self.true = 0.0
        """The true peak so far, full scale 1."""

    def start(self) -> None:
        """A new stretch begins: nothing is interpolated across its border."""
        self._rest = np.zeros(0, np.float32)

    def add(self, samples: Signal) -> None:
        """The next samples `(frames,)`, float32."""
        self.samples = max(self.samples, float(np.max(np.abs(samples), initial=0.0)))
        self.true = max(self.true, self.samples)
        joined = np.concatenate([self._rest, samples])
        self._rest = joined[max(len(joined) - _TAPS + 1, 0) :]
        if len(joined) >= _TAPS:
            between = sliding_window_view(joined, _TAPS) @ self._kernels
            self.true = max(self.true, float(np.max(np.abs(between))))
