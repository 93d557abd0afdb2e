"""Delay estimation from cross-spectra: GCC-PHAT (Knapp & Carter 1976), integer peaks, sub-sample refinement."""

import math
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt
import scipy.fft

Real = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complexfloating]

LOW_HZ, MIDDLE_HZ, HIGH_HZ = 200.0, 8000.0, 16000.0
"""Band edges. Below `LOW_HZ`, high-pass filters of the device shift the phase. Every device passes signal up to
`MIDDLE_HZ`, so searches use that band. Measurements use weights up to `HIGH_HZ`, where the device's low-pass filters no
longer delay and those of converters do not yet."""


def band(size: int, sample_rate: int, high_hz: float = HIGH_HZ, low_hz: float = LOW_HZ) -> slice:
    """Return the bins of a real FFT of `size` samples from `low_hz` to `high_hz`, never above `HIGH_HZ`."""
    low = max(1, int(np.ceil(low_hz * size / sample_rate)))
    high = int(min(HIGH_HZ, high_hz, 0.45 * sample_rate) * size / sample_rate) + 1
    return slice(low, max(high, low + 1))


def phat_weighted(cross: Complex, power: float = 1.0) -> Complex:
    """Weight cross-spectra `(..., bins)` to magnitudes raised to `1 - power`; weak bins keep a small weight.

    Power 1 is the phase transform of Knapp & Carter (1976). It sharpens the correlation of music, which otherwise has
    a peak at every period.
    """
    size = np.abs(cross)
    floor = 1e-3 * size.mean(axis=-1, keepdims=True) + 1e-30
    return np.asarray(cross * (1.0 / (size + floor) ** power))


@dataclass(frozen=True)
class Peak:
    """A correlation peak: delay in samples, sign, and height over the noise."""

    delay: float
    sign: int
    prominence: float


def _correlations(crosses: Complex, bins: slice, size: int, reach: int) -> Real:
    """Return the correlations at delays -reach to reach of cross-spectra `(windows, bins)`."""
    full = np.zeros((len(crosses), size // 2 + 1), crosses.dtype)
    full[:, bins] = crosses
    correlations = scipy.fft.irfft(full, size)
    return np.concatenate((correlations[:, -reach:], correlations[:, : reach + 1]), axis=1)


def first_peak(cross: Complex, bins: slice, size: int, reach: int) -> float:
    """Return the integer delay within +-`reach` of the first positive peak of at least 0.7 times the maximum.

    The filters of a device are causal: of two similar peaks, the earlier peak is the lag.
    """
    values = _correlations(cross[np.newaxis], bins, size, reach)[0]
    peaks = (values[1:-1] >= values[:-2]) & (values[1:-1] >= values[2:]) & (values[1:-1] >= 0.7 * values.max())
    return float((int(np.argmax(peaks)) + 1 if peaks.any() else int(values.argmax())) - reach)


def integer_peaks(whites: Complex, bins: slice, size: int, reach: int, near: int = 4) -> list[Peak]:
    """Return the largest integer peak, of either sign, of each weighted cross-spectrum within +-`reach` samples.

    `whites` is `(windows, bins)`. A peak within +-`near` of the expected delay wins unless another is 1.5 times as
    high: a tone has a peak at every period.
    """
    return [_peak(values, reach, near) for values in _correlations(whites, bins, size, reach)]


def _peak(values: Real, reach: int, near: int) -> Peak:
    heights = np.abs(values)
    best = int(heights.argmax())
    middle = reach - near + int(heights[reach - near : reach + near + 1].argmax())
    if heights[middle] > heights[best] / 1.5:
        best = middle
    away = np.ones(len(values), bool)
    away[max(0, best - 64) : best + 65] = False
    noise = float(np.sqrt(np.mean(values[away] ** 2))) if away.any() else 0.0
    sign = 1 if values[best] > 0 else -1
    return Peak(float(best - reach), sign, float(heights[best]) / (noise + 1e-300))


@dataclass(frozen=True)
class Delay:
    """A delay in samples and its inverse variance.

    `certainty` is the correlation there relative to that of noise with the same effective number of bins.
    """

    delay: float
    weight: float
    certainty: float


@numba.njit(cache=True)
def _phase_derivatives(cross: Complex, first: int, step: float, delay: float) -> tuple[float, float, float]:
    # The sum of the real part and its two derivatives. Each phasor is the previous phasor times a constant.
    turn = complex(math.cos(step * delay), math.sin(step * delay))
    phase = complex(math.cos(first * step * delay), math.sin(first * step * delay))
    height, slope, curve = 0.0, 0.0, 0.0
    for i in range(cross.shape[0]):
        real = cross[i].real * phase.real - cross[i].imag * phase.imag
        imag = cross[i].real * phase.imag + cross[i].imag * phase.real
        omega = step * (first + i)
        height += real
        slope -= omega * imag
        curve -= omega * omega * real
        phase = phase * turn
    return height, slope, curve


@numba.njit(cache=True)
def _sums(cross: Complex, first: int, step: float) -> tuple[float, float, float]:
    # Sums of the magnitudes, of their squares, and of the magnitudes weighted by squared frequency.
    total, squares, breadth = 0.0, 0.0, 0.0
    for i in range(cross.shape[0]):
        real, imag = float(cross[i].real), float(cross[i].imag)
        square = real * real + imag * imag
        size = math.sqrt(square)
        omega = step * (first + i)
        total += size
        squares += square
        breadth += omega * omega * size
    return total, squares, breadth


def subsample_delay(cross: Complex, bins: slice, size: int, start: float) -> Delay:
    """Return the delay that maximises the band-limited correlation, by Newton's method from `start`.

    This avoids the bias of parabolic interpolation. The inverse variance is that of Knapp & Carter (1976) for the
    measured coherence.
    """
    step = 2.0 * np.pi / size
    delay = start
    for _ in range(20):
        height, slope, curve = _phase_derivatives(cross, bins.start, step, delay)
        if curve >= 0.0:
            break
        change = min(max(-slope / curve, -0.5), 0.5)
        delay = min(max(delay + change, start - 2.0), start + 2.0)
        if abs(change) < 1e-5:
            break
    height, _, _ = _phase_derivatives(cross, bins.start, step, delay)
    total, squares, breadth = _sums(cross, bins.start, step)
    total += 1e-300
    correlation = min(max(height / total, 0.0), 1.0 - 1e-9)
    effective = total**2 / (squares + 1e-300)
    weight = 2.0 * effective * (breadth / total) * correlation**2 / (1.0 - correlation**2)
    return Delay(delay, weight, correlation * math.sqrt(2.0 * effective))


def octave_smoothed(values: npt.NDArray[np.generic], bins: slice, octaves: float = 1 / 6) -> npt.NDArray[np.generic]:
    """Return the mean of in-band bins over a band of `octaves` around each."""
    number = np.arange(bins.start, bins.stop)
    half = 2.0 ** (octaves / 2)
    low = np.maximum(np.floor(number / half).astype(int) - bins.start, 0)
    high = np.minimum(np.ceil(number * half).astype(int) + 1 - bins.start, len(number))
    sums = np.concatenate((np.zeros(1, values.dtype), np.cumsum(values)))
    return np.asarray((sums[high] - sums[low]) / (high - low))
