"""Linear model of a device: an FIR filter identified from dry and wet, at a quarter of the sample rate.

Below 4 kHz most devices are close to a linear filter, and comparing the full band would cost four times the work.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numba
import numpy as np
import numpy.typing as npt
import scipy.fft

from twinlib.audio import Signal
from twinlib.estimation.delay import Complex
from twinlib.estimation.robust import mad_sigma
from twinlib.resampling import Channel, TimeMap, is_finite_audio

DECIMATION = 4
"""Ratio of the sample rate to the rate at which dry and wet are compared."""

FRAME = 256
"""Samples of a frame, over which the lag is rounded to one integer: 6 ms at 44.1 kHz."""

MAX_WINDOWS = 48
"""Windows used for the identification, however long the take is."""

MAX_SWEEP_WINDOWS = 512
"""The same for a sine sweep: 95 s at 44.1 kHz."""

PRE_TAPS, POST_TAPS = 128, 384
"""Decimated taps before and after time zero; the time map counts the device's own delay as lag."""

FILTER_MARGIN = 20
"""Samples that the decimation filter needs on either side."""

CONTEXT_BEFORE, CONTEXT_AFTER = DECIMATION * POST_TAPS + FILTER_MARGIN, DECIMATION * PRE_TAPS + FILTER_MARGIN
"""Dry samples before and after a range that a prediction of that range needs."""

NOISE_SIGMAS = 3.5
"""Standard deviations of the noise below which a tap is set to zero."""

_WINDOW = 4096
_ROW = 4096
_STRIP = 1024
_DECIMATION_TAPS = 32
PREEMPHASIS = 0.9
"""Coefficient of the pre-emphasis of `decimate`."""

_MIN_PEAK = 1e-3


def _decimation_filter() -> Signal:
    place = np.arange(_DECIMATION_TAPS) - (_DECIMATION_TAPS - 1) / 2.0
    taps = np.sinc(0.8 * place / DECIMATION) * np.kaiser(_DECIMATION_TAPS, 5.0)
    taps = taps / taps.sum()
    # The previous decimated sample is `DECIMATION` samples older at the full rate.
    zeros = np.zeros(DECIMATION)
    return np.asarray(np.append(zeros, taps) - PREEMPHASIS * np.append(taps, zeros), np.float32)


_FILTER = _decimation_filter()


@numba.njit(cache=True)
def _filter_phases(phases: Signal, taps: Signal, out: Signal) -> None:
    # Seven times as fast as `scipy.signal.upfirdn`. Four taps a turn over a strip that stays in the cache, in a fixed
    # order of summation.
    for start in range(0, out.shape[0], _STRIP):
        part = out[start : start + _STRIP]
        for j in range(part.shape[0]):
            part[j] = np.float32(0.0)
        for i in range(taps.shape[0] // DECIMATION):
            k = DECIMATION * i
            a, b, c, d = taps[k], taps[k + 1], taps[k + 2], taps[k + 3]
            first, second, third, fourth = (
                phases[0, start + i :], phases[1, start + i :], phases[2, start + i :], phases[3, start + i :]
            )  # fmt: skip
            for j in range(part.shape[0]):
                part[j] += (a * first[j] + b * second[j]) + (c * third[j] + d * fourth[j])


def decimate(samples: Signal) -> Signal:
    """Low-pass at 4.4 kHz, pre-emphasise and keep every fourth sample, float32.

    The filter shortens the signal by `FILTER_MARGIN` samples at either end.
    """
    out = np.empty((len(samples) - 2 * FILTER_MARGIN) // DECIMATION, np.float32)
    phases = np.ascontiguousarray(samples[: len(samples) // DECIMATION * DECIMATION].reshape(-1, DECIMATION).T)
    _filter_phases(phases, _FILTER, out)
    return out


def read_at_integer_lags(wet: Channel, timemap: TimeMap, start: int, stop: int, margin: int = 0) -> Signal:
    """Read the wet signal at dry positions [start, stop), to the nearest sample frame by frame, float32 `(frames,)`.

    Reads `margin` more samples on either side, at the lags of the first and the last frame.
    """
    lags = np.round(timemap.lags(frame_centres(start, stop))).astype(np.int64)
    out = np.empty(stop - start + 2 * margin, np.float32)
    edges = [0, *(np.flatnonzero(np.diff(lags)) + 1).tolist(), len(lags)]
    for first, last in pairwise(edges):
        low = first * FRAME + margin if first else 0
        high = last * FRAME + margin if last < len(lags) else len(out)
        shift = start - margin + int(lags[first])
        out[low:high] = wet.read(low + shift, high + shift)
    return out


def frame_centres(start: int, stop: int) -> npt.NDArray[np.float64]:
    """Return the centre of every frame of dry samples [start, stop), float64."""
    return np.arange(start, stop, FRAME, dtype=np.float64) + FRAME / 2.0


@dataclass(frozen=True)
class FirModel:
    """An FIR filter at the decimated rate; `taps` start `PRE_TAPS` samples before time zero."""

    taps: Signal

    @cached_property
    def _responses(self) -> tuple[Complex, Complex]:
        """The frequency response, and that of the derivative per sample at the full rate."""
        size = _ROW + PRE_TAPS + POST_TAPS
        response = scipy.fft.rfft(self.taps, size)
        derivative = (2j * np.pi / size / DECIMATION * np.arange(len(response))).astype(np.complex64)
        return response, response * derivative

    def predict(self, samples: Signal) -> tuple[Signal, Signal]:
        """Return the decimated wet signal predicted from dry samples, and its derivative per full-rate sample, float32.

        The samples include `CONTEXT_BEFORE` before and `CONTEXT_AFTER` after the predicted range, whose length is a
        multiple of `DECIMATION`.
        """
        x = decimate(samples)
        context = PRE_TAPS + POST_TAPS
        count, size = len(x) - context, _ROW + context
        # Overlap-save. Batched transforms take half the time of single transforms; circular wrap-around falls into the
        # context of each row.
        padded = np.concatenate((x, np.zeros(-count % _ROW, np.float32)))
        rows = np.lib.stride_tricks.sliding_window_view(padded, size)[::_ROW]
        spectra = scipy.fft.rfft(rows)
        predicted, slope = (scipy.fft.irfft(spectra * part, size)[:, context:] for part in self._responses)
        return predicted.reshape(-1)[:count], slope.reshape(-1)[:count]


def identify_fir(
    dry: Channel, wet: Channel, timemap: TimeMap, start: int, stop: int, polarity: int, is_sweep: bool = False
) -> FirModel:
    """Identify the device's FIR model, without the polarity, from windows spread over dry samples [start, stop).

    Iteratively reweighted least squares of the transfer function: the weight of a window does not depend on its level,
    and windows that disagree with the others have a small weight. The windows of a sweep overlap by half, because each
    holds other frequencies. Returns all zeros if the dry signal is silent.
    """
    taper = np.hanning(_WINDOW).astype(np.float32)
    last_start = max(start, stop - _WINDOW * DECIMATION)
    count = min(MAX_SWEEP_WINDOWS, 2 + 2 * (last_start - start) // (_WINDOW * DECIMATION)) if is_sweep else MAX_WINDOWS
    starts = np.linspace(start, last_start, count).astype(int) // FRAME * FRAME
    pairs: list[tuple[Complex, Complex]] = []
    for first in np.unique(starts).tolist():
        last = first + _WINDOW * DECIMATION
        recorded = read_at_integer_lags(wet, timemap, first, last, FILTER_MARGIN)
        x = decimate(dry.read(first - FILTER_MARGIN, last + FILTER_MARGIN))
        if float(np.abs(x).max()) > _MIN_PEAK:
            y = decimate(np.where(is_finite_audio(recorded), recorded, np.float32(0.0)))
            pairs.append((scipy.fft.rfft(x * taper), polarity * scipy.fft.rfft(y * taper)))
    if not pairs:
        return FirModel(np.zeros(PRE_TAPS + POST_TAPS, np.float32))
    x_spectra, y_spectra = (np.array(part) for part in zip(*pairs, strict=True))
    dry_power, wet_power = np.abs(x_spectra) ** 2, np.abs(y_spectra) ** 2
    energy = dry_power.sum(axis=1)
    if is_sweep:
        # Above the band of the model, little is left of a sweep but aliases.
        energy = np.maximum(energy, float(np.median(energy)))
    gain = wet_power.sum(axis=1) / energy
    # Otherwise a burst of noise in a soft passage would outweigh all other windows.
    trust = np.minimum(1.0, (np.median(gain) + 1e-12) / (gain + 1e-12))
    for _ in range(3):
        weights = (trust / energy)[:, None]
        power = (weights * dry_power).sum(axis=0)
        response = (weights * x_spectra.conj() * y_spectra).sum(axis=0) / (power + 1e-4 * power.mean())
        residual = np.abs(y_spectra - response * x_spectra) ** 2
        residual_share = residual.sum(axis=1) / (wet_power.sum(axis=1) + 1e-12)
        trust = 1.0 / (residual_share + np.median(residual_share) + 1e-6)
    impulse = np.roll(scipy.fft.irfft(response, _WINDOW), PRE_TAPS)
    taps = impulse[: PRE_TAPS + POST_TAPS].copy()
    # Noise in the taps would ring after every loud attack. Its level is that of the impulse response's empty part.
    noise = mad_sigma(impulse[PRE_TAPS + POST_TAPS :])
    taps[np.abs(taps) < NOISE_SIGMAS * noise] = 0.0
    taps[: PRE_TAPS // 2] *= np.hanning(PRE_TAPS)[: PRE_TAPS // 2]
    taps[-POST_TAPS // 2 :] *= np.hanning(POST_TAPS)[POST_TAPS // 2 :]
    return FirModel(taps.astype(np.float32))
