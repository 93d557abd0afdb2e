"""Streaming meters of loudness and true peak (ITU-R BS.1770-4, EBU Tech 3341)."""

import numpy as np
import numpy.typing as npt
from pyloudnorm import IIRfilter
from scipy.signal import firwin, lfilter, upfirdn

from twinlib.audio import Signal
from twinlib.db import db_to_power, power_to_db

_OFFSET_LU = -0.691
_ABSOLUTE_GATE = -70.0
_RELATIVE_GATE = -10.0
_STEP_SECONDS = 0.1
_STEPS_PER_BLOCK = 4
_STEPS_SHORT_TERM = 30

_OVERSAMPLING = 4
_TAPS = 24
_KAISER_BETA = 6.0


class LoudnessMeter:
    """The integrated loudness of one channel, from blocks of any size.

    Gating blocks of 400 ms overlap by 75 %. Memory grows by ten numbers per second of audio.
    """

    def __init__(self, sample_rate: int) -> None:
        # The K-weighting of `pyloudnorm.Meter`.
        stages = (
            IIRfilter(4.0, 1 / np.sqrt(2), 1500.0, sample_rate, "high_shelf"),
            IIRfilter(0.0, 0.5, 38.0, sample_rate, "high_pass"),
        )
        self._filters = [(stage.passband_gain * stage.b, stage.a) for stage in stages]
        self._states = [np.zeros(max(len(b), len(a)) - 1) for b, a in self._filters]
        self._step = round(_STEP_SECONDS * sample_rate)
        self._rest = np.zeros(0)
        self._energies: list[float] = []

    def add(self, samples: Signal) -> None:
        """Add the next samples `(frames,)`."""
        weighted = samples.astype(np.float64)
        for index, (b, a) in enumerate(self._filters):
            weighted, self._states[index] = lfilter(b, a, weighted, zi=self._states[index])
        weighted = np.concatenate([self._rest, weighted])
        complete = len(weighted) // self._step * self._step
        self._energies.extend(np.square(weighted[:complete]).reshape(-1, self._step).sum(axis=1).tolist())
        self._rest = weighted[complete:]

    def lufs(self) -> float | None:
        """Return the integrated loudness in LUFS; None for less than 400 ms or below the absolute gate."""
        powers = self._window_powers(_STEPS_PER_BLOCK)
        powers = powers[powers > db_to_power(_ABSOLUTE_GATE - _OFFSET_LU)]
        if not len(powers):
            return None
        powers = powers[powers > np.mean(powers) * db_to_power(_RELATIVE_GATE)]
        return _OFFSET_LU + power_to_db(float(np.mean(powers)))

    def short_term(self) -> npt.NDArray[np.float64]:
        """Return the ungated short-term loudness in LUFS `(windows,)`, of windows of 3 s every 100 ms."""
        return _OFFSET_LU + power_to_db(self._window_powers(_STEPS_SHORT_TERM))

    def _window_powers(self, steps: int) -> npt.NDArray[np.float64]:
        energies = np.array(self._energies)
        if len(energies) < steps:
            return np.zeros(0)
        return np.convolve(energies, np.ones(steps), "valid") / (steps * self._step)


def max_loudness_difference(device: LoudnessMeter, twin: LoudnessMeter) -> float | None:
    """Return the short-term loudness of the twin minus the device's, in LU, at the largest deviation.

    Both meters have measured signals of equal length. Loudness is clamped to the absolute gate of -70 LUFS, so that the
    distance to silence is finite. None if both signals are below the gate in every window of 3 s.
    """
    levels = np.maximum([device.short_term(), twin.short_term()], _ABSOLUTE_GATE)
    differences = (levels[1] - levels[0])[np.any(levels > _ABSOLUTE_GATE, axis=0)]
    return float(differences[np.argmax(np.abs(differences))]) if len(differences) else None


class TruePeakMeter:
    """The peak of the band-limited signal between its samples, from blocks of any size.

    Oversampling by four, as in ITU-R BS.1770-4, Annex 2, but with 24 taps per phase (Kaiser-windowed sinc) instead of
    12. The first and last taps of a span are not interpolated.
    """

    def __init__(self) -> None:
        taps = firwin(_OVERSAMPLING * _TAPS + 1, 1 / _OVERSAMPLING, window=("kaiser", _KAISER_BETA))[:-1]
        phases = taps.reshape(_TAPS, _OVERSAMPLING)
        self._taps = (phases / phases.sum(axis=0)).astype(np.float32).ravel()
        self._rest = np.zeros(0, np.float32)
        self.sample_peak = 0.0
        """The largest sample magnitude so far."""
        self.true_peak = 0.0
        """The true peak so far, full scale 1."""

    def start(self) -> None:
        """Start a new span: no interpolation across its border."""
        self._rest = np.zeros(0, np.float32)

    def add(self, samples: Signal) -> None:
        """Add the next samples `(frames,)` float32."""
        self.sample_peak = max(self.sample_peak, float(np.max(np.abs(samples), initial=0.0)))
        self.true_peak = max(self.true_peak, self.sample_peak)
        joined = np.concatenate([self._rest, samples])
        self._rest = joined[max(len(joined) - _TAPS + 1, 0) :]
        if len(joined) >= _TAPS:
            # Keep only outputs for which all taps of the filter overlap the signal.
            valid = slice(_OVERSAMPLING * (_TAPS - 1), _OVERSAMPLING * len(joined))
            oversampled = upfirdn(self._taps, joined, _OVERSAMPLING)[valid]
            self.true_peak = max(self.true_peak, float(np.max(np.abs(oversampled))))
