"""What a device's linear response makes of the dry signal, at a quarter of the rate: what the wet one should be.

Below 4 kHz a device is hardly more than a filter, and what lies above costs four times the work to compare.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numba
import numpy as np
import numpy.typing as npt
import scipy.fft

from twinlib.alignment.channel import Channel, is_finite_audio
from twinlib.alignment.delay import Complex
from twinlib.alignment.time_map import TimeMap
from twinlib.audio import Signal

PACE = 4
"""Samples of a signal to one of the slow signals that are compared."""

CELL = 256
"""Samples over which the lag is rounded as one: 6 ms."""

WINDOWS = 48
"""Of a take that tell the response, however long it is."""

EARLY, LATE = 128, 384
"""Slow samples that the response reaches before its time (the map takes the device's own delay for lag) and after."""

MARGIN = 20
"""Samples before and after those that are slowed down."""

BEFORE, AFTER = PACE * LATE + MARGIN, PACE * EARLY + MARGIN
"""Dry samples before and after those whose answer is predicted."""

CHANCE = 3.5
"""Standard deviations that none of some hundred values exceeds by chance."""

_SIZE = 4096
_ROW = 4096
_STRIP = 1024
_TAPS = 32
_PREEMPHASIS = 0.9
_FAINT = 1e-3


def _low_pass() -> Signal:
    place = np.arange(_TAPS) - (_TAPS - 1) / 2.0
    taps = np.sinc(0.8 * place / PACE) * np.kaiser(_TAPS, 5.0)
    taps = taps / taps.sum()
    # The difference to the sample before, which is `PACE` older at the full rate.
    return np.asarray(np.append(np.zeros(PACE), taps) - _PREEMPHASIS * np.append(taps, np.zeros(PACE)), np.float32)


_LOW_PASS = _low_pass()


@numba.njit(cache=True)
def _decimate(phases: Signal, taps: Signal, out: Signal) -> None:
    # Four taps a turn, along a part of the signal that stays in the cache; summed in an order that is written down.
    for start in range(0, out.shape[0], _STRIP):
        part = out[start : start + _STRIP]
        for j in range(part.shape[0]):
            part[j] = np.float32(0.0)
        for i in range(taps.shape[0] // PACE):
            a, b, c, d = taps[PACE * i], taps[PACE * i + 1], taps[PACE * i + 2], taps[PACE * i + 3]
            first, second, third, fourth = (
                phases[0, start + i :], phases[1, start + i :], phases[2, start + i :], phases[3, start + i :]
            )  # fmt: skip
            for j in range(part.shape[0]):
                part[j] += (a * first[j] + b * second[j]) + (c * third[j] + d * fourth[j])


def slow(samples: Signal) -> Signal:
    """One sample for `PACE`, low-passed at 4.4 kHz and pre-emphasised, float32; `MARGIN` at either end are used up."""
    out = np.empty((len(samples) - 2 * MARGIN) // PACE, np.float32)
    phases = np.ascontiguousarray(samples[: len(samples) // PACE * PACE].reshape(-1, PACE).T)
    _decimate(phases, _LOW_PASS, out)
    return out


def at_whole_lags(wet: Channel, timemap: TimeMap, start: int, stop: int, margin: int = 0) -> Signal:
    """The wet signal at dry positions [start, stop), to the nearest sample, cell by cell, float32 `(frames,)`.

    `margin` more samples stand before and after them, by the lag of the first and the last cell.
    """
    lags = np.round(timemap.lags(middles(start, stop))).astype(np.int64)
    out = np.empty(stop - start + 2 * margin, np.float32)
    edges = [0, *(np.flatnonzero(np.diff(lags)) + 1).tolist(), len(lags)]
    for first, last in pairwise(edges):
        low = first * CELL + margin if first else 0
        high = last * CELL + margin if last < len(lags) else len(out)
        shift = start - margin + int(lags[first])
        out[low:high] = wet.read(low + shift, high + shift)
    return out


def middles(start: int, stop: int) -> npt.NDArray[np.float64]:
    """The middle of every cell of dry samples [start, stop), float64."""
    return np.arange(start, stop, CELL, dtype=np.float64) + CELL / 2.0


@dataclass(frozen=True)
class Prediction:
    """The device's linear response to slow signals: `taps` from `EARLY` samples before its time on."""

    taps: Signal

    @cached_property
    def _responses(self) -> tuple[Complex, Complex]:
        """The response in the bins of a row, and that of how it changes a sample of the full rate."""
        size = _ROW + EARLY + LATE
        response = scipy.fft.rfft(self.taps, size)
        turn = (2j * np.pi / size / PACE * np.arange(len(response))).astype(np.complex64)
        return response, response * turn

    def of(self, samples: Signal) -> tuple[Signal, Signal]:
        """The slow wet signal that dry samples predict, and how it changes a sample of the full rate, float32 both.

        `BEFORE` of the samples come before those that are answered and `AFTER` after them, whose number is a multiple
        of `PACE`.
        """
        x = slow(samples)
        before = EARLY + LATE
        count, size = len(x) - before, _ROW + before
        # Transforms of four rows at once take half the time that those of one row after the other do. What a transform
        # turns round falls on the samples before a row.
        padded = np.concatenate((x, np.zeros(-count % _ROW, np.float32)))
        rows = np.lib.stride_tricks.sliding_window_view(padded, size)[::_ROW]
        spectra = scipy.fft.rfft(rows)
        predicted, change = (scipy.fft.irfft(spectra * part, size)[:, before:] for part in self._responses)
        return predicted.reshape(-1)[:count], change.reshape(-1)[:count]


def predicted_by(dry: Channel, wet: Channel, timemap: TimeMap, start: int, stop: int, polarity: int) -> Prediction:
    """The response that windows all over dry samples [start, stop) tell together, the polarity taken away.

    The least-squares transfer function of windows that count alike however loud; those that agree with no other count
    little. All zeros where the dry signal is silent.
    """
    taper = np.hanning(_SIZE).astype(np.float32)
    places = np.linspace(start, max(start, stop - _SIZE * PACE), WINDOWS).astype(int) // CELL * CELL
    pairs: list[tuple[Complex, Complex]] = []
    for place in np.unique(places).tolist():
        first, last = place, place + _SIZE * PACE
        heard = at_whole_lags(wet, timemap, first, last, MARGIN)
        played = slow(dry.read(first - MARGIN, last + MARGIN))
        if float(np.abs(played).max()) > _FAINT:
            answer = slow(np.where(is_finite_audio(heard), heard, np.float32(0.0)))
            pairs.append((scipy.fft.rfft(played * taper), polarity * scipy.fft.rfft(answer * taper)))
    if not pairs:
        return Prediction(np.zeros(EARLY + LATE, np.float32))
    x, y = (np.array(part) for part in zip(*pairs, strict=True))
    dry_power, wet_power = np.abs(x) ** 2, np.abs(y) ** 2
    loudness = dry_power.sum(axis=1)
    gain = wet_power.sum(axis=1) / loudness
    # A burst of noise in a soft passage would else drown all the others.
    trust = np.minimum(1.0, (np.median(gain) + 1e-12) / (gain + 1e-12))
    for _ in range(3):
        weights = (trust / loudness)[:, None]
        power = (weights * dry_power).sum(axis=0)
        response = (weights * x.conj() * y).sum(axis=0) / (power + 1e-4 * power.mean())
        wrong = (np.abs(y - response * x) ** 2).sum(axis=1) / (wet_power.sum(axis=1) + 1e-12)
        trust = 1.0 / (wrong + np.median(wrong) + 1e-6)
    whole = np.roll(scipy.fft.irfft(response, _SIZE), EARLY)
    taps = whole[: EARLY + LATE].copy()
    # What is no larger than chance, told by where no response reaches, would ring after every loud attack.
    taps[np.abs(taps) < CHANCE * 1.4826 * float(np.median(np.abs(whole[EARLY + LATE :])))] = 0.0
    taps[: EARLY // 2] *= np.hanning(EARLY)[: EARLY // 2]
    taps[-LATE // 2 :] *= np.hanning(LATE)[LATE // 2 :]
    return Prediction(taps.astype(np.float32))
