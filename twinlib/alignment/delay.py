"""The delay between two signals from their cross-spectrum, in the band where a device keeps its phase."""

import math
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt
import scipy.fft

Real = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complexfloating]

LOW_HZ, MIDDLE_HZ, HIGH_HZ = 200.0, 8000.0, 16000.0
"""Below the low, a device's high-passes turn the phase. To the middle, every device passes signal: there is searched.
To the high there is measured, with weights: where its low-passes no longer delay, and converters do not yet."""


def band(size: int, sample_rate: int, high_hz: float = HIGH_HZ, low_hz: float = LOW_HZ) -> slice:
    """The bins of a real FFT of `size` samples from `low_hz` to `high_hz`, and never above `HIGH_HZ`."""
    low = max(1, int(np.ceil(low_hz * size / sample_rate)))
    high = int(min(HIGH_HZ, high_hz, 0.45 * sample_rate) * size / sample_rate) + 1
    return slice(low, max(high, low + 1))


def phat_weighted(cross: Complex, power: float = 1.0) -> Complex:
    """Cross-spectra `(..., bins)`, magnitudes raised to `1 - power`; bins far below the mean keep little weight.

    Knapp & Carter 1976 (power 1 is their phase transform). Plain correlation of music peaks at every period of it.
    """
    size = np.abs(cross)
    floor = 1e-3 * size.mean(axis=-1, keepdims=True) + 1e-30
    return np.asarray(cross * (1.0 / (size + floor) ** power))


@dataclass(frozen=True)
class Peak:
    """The best delay in samples, its sign, its height (1 = every bin agrees) and its height over the noise."""

    delay: float
    sign: int
    height: float
    prominence: float


def _courses(crosses: Complex, bins: slice, size: int, reach: int) -> Real:
    """The correlations at delays -reach to reach of cross-spectra `(windows, bins)`."""
    full = np.zeros((len(crosses), size // 2 + 1), crosses.dtype)
    full[:, bins] = crosses
    courses = scipy.fft.irfft(full, size)
    return np.concatenate((courses[:, -reach:], courses[:, : reach + 1]), axis=1)


def first_peak(cross: Complex, bins: slice, size: int, reach: int) -> float:
    """The whole-sample delay within +-`reach` of the first peak, 0.7 times the highest or more, its sign respected.

    A device's filters only ever delay: of two peaks alike the earlier one is the lag.
    """
    course = _courses(cross[np.newaxis], bins, size, reach)[0]
    peaks = (course[1:-1] >= course[:-2]) & (course[1:-1] >= course[2:]) & (course[1:-1] >= 0.7 * course.max())
    return float((int(np.argmax(peaks)) + 1 if peaks.any() else int(course.argmax())) - reach)


def integer_peaks(whites: Complex, bins: slice, size: int, reach: int, near: int = 4) -> list[Peak]:
    """The largest whole-sample peak, of either sign, of each whitened cross-spectrum within +-`reach` samples.

    `whites` is `(windows, bins)`. A peak within +-`near` wins if no other is half as high again: a tone has many
    periods, but one is expected.
    """
    courses = _courses(whites, bins, size, reach)
    return [
        _peak(course, float(np.abs(white).sum()), size, reach, near)
        for course, white in zip(courses, whites, strict=True)
    ]


def _peak(course: Real, weight: float, size: int, reach: int, near: int) -> Peak:
    heights = np.abs(course)
    best = int(heights.argmax())
    middle = reach - near + int(heights[reach - near : reach + near + 1].argmax())
    if heights[middle] > heights[best] / 1.5:
        best = middle
    away = np.ones(len(course), bool)
    away[max(0, best - 64) : best + 65] = False
    noise = float(np.sqrt(np.mean(course[away] ** 2))) if away.any() else 0.0
    total = 2.0 * weight / size + 1e-300
    sign = 1 if course[best] > 0 else -1
    return Peak(float(best - reach), sign, float(heights[best]) / total, float(heights[best]) / (noise + 1e-300))


@dataclass(frozen=True)
class Delay:
    """A delay in samples, its inverse variance, the normalised correlation at it, and how sure that is.

    `certainty` is the correlation over what chance gives as many bins as effectively count.
    """

    delay: float
    weight: float
    correlation: float
    certainty: float


@numba.njit(cache=True)
def _turned_back(cross: Complex, first: int, step: float, delay: float) -> tuple[float, float, float]:
    # The real part's sum and its two derivatives. The phasor of each bin is the one before, turned on.
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
    # Of the magnitudes, of their squares, and of the magnitudes by the squares of their frequencies.
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
    """The delay that maximises the real part of a cross-spectrum turned back by it: Newton from `start`.

    The peak of the band-limited correlation, without the bias of a parabola through samples. The inverse variance
    is that of Knapp & Carter 1976 for the coherence found.
    """
    step = 2.0 * np.pi / size
    delay = start
    for _ in range(20):
        height, slope, curve = _turned_back(cross, bins.start, step, delay)
        if curve >= 0.0:
            break
        change = min(max(-slope / curve, -0.5), 0.5)
        delay = min(max(delay + change, start - 2.0), start + 2.0)
        if abs(change) < 1e-5:
            break
    height, _, _ = _turned_back(cross, bins.start, step, delay)
    total, squares, breadth = _sums(cross, bins.start, step)
    total += 1e-300
    correlation = min(max(height / total, 0.0), 1.0 - 1e-9)
    effective = total**2 / (squares + 1e-300)
    weight = 2.0 * effective * (breadth / total) * correlation**2 / (1.0 - correlation**2)
    return Delay(delay, weight, correlation, correlation * math.sqrt(2.0 * effective))


def octave_smoothed(values: npt.NDArray[np.generic], bins: slice, octaves: float = 1 / 6) -> npt.NDArray[np.generic]:
    """The mean of in-band bins over a band of `octaves` about each."""
    number = np.arange(bins.start, bins.stop)
    half = 2.0 ** (octaves / 2)
    low = np.maximum(np.floor(number / half).astype(int) - bins.start, 0)
    high = np.minimum(np.ceil(number * half).astype(int) + 1 - bins.start, len(number))
    sums = np.concatenate((np.zeros(1, values.dtype), np.cumsum(values)))
    return np.asarray((sums[high] - sums[low]) / (high - low))
