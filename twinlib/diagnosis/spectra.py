"""Spectra of windows of the programme: a set of nonlinear functions of the dry signal, and the aligned wet signal.

All signals are decimated by 4 (pre-emphasised, below 4.4 kHz at 44.1 kHz), where most of the energy of music is. The
nonlinear functions span what memoryless distortion of several amounts, symmetries and bands does to the dry signal, so
that one short filter for each predicts the wet signal of most devices (a parallel Hammerstein model).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numba
import numpy as np
import numpy.typing as npt
import scipy.fft

from twinlib.audio import Signal
from twinlib.estimation import DECIMATION, FILTER_MARGIN, PREEMPHASIS, decimate
from twinlib.resampling import Channel, TimeMap

Complex = npt.NDArray[np.complex64]
Real = npt.NDArray[np.float64]

WINDOW_SECONDS = 0.093
"""Duration of a window: it resolves tones and contains the response of most devices."""

FUNCTIONS = 9
"""Number of functions of the dry signal."""

BAND_EDGES_HZ = (60.0, 150.0, 300.0, 600.0, 1200.0, 2400.0, 4200.0)
"""Edges of the bands in which gains are compared."""

BLOCK_WINDOWS = 512
"""Windows transformed together."""

WARM_UP_SECONDS = 0.05
"""Dry signal before a block that settles the filters of the functions."""

MIN_FRACTION = 1e-3
"""Fraction of a sample from which spectra are shifted by it."""

_LOW_HZ, _MID_HZ = 60.0, 700.0
"""Corners of the filters before some functions: coupling capacitors, and the branch of an overdrive."""


@dataclass(frozen=True)
class Grid:
    """Windows of `size` decimated samples every `size // 2`, from dry sample `start` on."""

    start: int
    count: int
    size: int
    rate: int

    @classmethod
    def over(cls, start: int, stop: int, rate: int) -> "Grid":
        """Return the grid over dry samples [start, stop) at a sample rate in Hz."""
        size = 1 << round(np.log2(WINDOW_SECONDS * rate / DECIMATION))
        return cls(start, max(0, (stop - start) // DECIMATION // (size // 2) - 1), size, rate)

    @property
    def hop(self) -> int:
        """The distance of two windows in dry samples."""
        return self.size // 2 * DECIMATION

    @property
    def hop_seconds(self) -> float:
        """The distance of two windows in seconds."""
        return self.hop / self.rate

    @property
    def bins(self) -> slice:
        """The bins that are compared."""
        return slice(self._bin(BAND_EDGES_HZ[0]), self._bin(BAND_EDGES_HZ[-1]))

    @property
    def bands(self) -> list[slice]:
        """The bins of each band, counted from the first compared bin."""
        return [
            slice(self._bin(low) - self.bins.start, self._bin(high) - self.bins.start)
            for low, high in pairwise(BAND_EDGES_HZ)
        ]

    @property
    def hertz(self) -> Real:
        """The frequency of each compared bin."""
        return np.arange(self.bins.start, self.bins.stop) * (self.rate / DECIMATION / self.size)

    @property
    def emphasis(self) -> Complex:
        """The response of the pre-emphasis, which wet spectra have and spectra of functions do not."""
        turn = np.exp(-2j * np.pi * np.arange(self.bins.start, self.bins.stop) / self.size)
        return np.asarray(1.0 - PREEMPHASIS * turn, np.complex64)

    def centre(self, window: float) -> float:
        """Return the dry position of the centre of a window."""
        return self.start + window * self.hop + 0.5 * self.size * DECIMATION

    def _bin(self, hertz: float) -> int:
        return round(hertz * self.size * DECIMATION / self.rate)


@dataclass(frozen=True)
class Spectra:
    """Spectra of windows from `first` on: `functions` `(functions, windows, bins)` and `wet` `(windows, bins)`.

    `level` is the rms of the dry signal in each window, relative to `scale`.
    """

    first: int
    functions: Complex
    wet: Complex
    level: Real


def read_spectra(
    dry: Channel, wet: Channel, time_map: TimeMap, grid: Grid, first: int, stop: int, scale: float
) -> Spectra:
    """Return the spectra of windows [first, stop) of a grid; `scale` is the rms of the loud dry signal."""
    taper = np.hanning(grid.size).astype(np.float32)
    begin, length = grid.start + first * grid.hop, (stop - first + 1) * grid.hop
    warm_up = round(WARM_UP_SECONDS * grid.rate) // DECIMATION * DECIMATION
    x = decimate(dry.read(begin - warm_up - FILTER_MARGIN, begin + length + FILTER_MARGIN))
    rate = grid.rate / DECIMATION
    out = np.empty((FUNCTIONS, len(x)), np.float32)
    poles = np.exp(-2.0 * np.pi * np.array([_LOW_HZ, _MID_HZ]) / rate).astype(np.float32)
    _apply_functions(x, np.float32(1.0 / scale), poles, out)
    inside = out[:, warm_up // DECIMATION :]
    windows = np.lib.stride_tricks.sliding_window_view(inside, grid.size, axis=1)[:, :: grid.size // 2]
    functions = scipy.fft.rfft(windows * taper)[..., grid.bins]
    level = np.sqrt(np.mean(np.square(windows[0]), axis=1, dtype=np.float64))
    return Spectra(first, functions, _read_wet(wet, time_map, grid, first, stop, taper), level)


def blocks(grid: Grid) -> Iterator[tuple[int, int]]:
    """Yield ranges [first, stop) of windows that tile a grid."""
    for first in range(0, grid.count, BLOCK_WINDOWS):
        yield first, min(first + BLOCK_WINDOWS, grid.count)


def _read_wet(wet: Channel, time_map: TimeMap, grid: Grid, first: int, stop: int, taper: Signal) -> Complex:
    """Return the spectra of the wet windows: whole samples of the lag shift the signal, the fraction the phase."""
    centres = grid.centre(0.0) + grid.hop * np.arange(first, stop, dtype=np.float64)
    lags = time_map.lags(centres)
    whole = np.round(lags).astype(np.int64)
    out = np.empty((stop - first, grid.bins.stop - grid.bins.start), np.complex64)
    edges = [0, *(np.flatnonzero(np.diff(whole)) + 1).tolist(), stop - first]
    for low, high in pairwise(edges):
        begin = grid.start + (first + low) * grid.hop + int(whole[low])
        y = decimate(wet.read(begin - FILTER_MARGIN, begin + (high - low + 1) * grid.hop + FILTER_MARGIN))
        windows = np.lib.stride_tricks.sliding_window_view(y, grid.size)[:: grid.size // 2]
        out[low:high] = scipy.fft.rfft(windows * taper)[:, grid.bins]
    fraction = lags - whole
    if np.abs(fraction).max(initial=0.0) > MIN_FRACTION:
        turn = (2j * np.pi / grid.rate * fraction).astype(np.complex64)
        out *= np.exp(turn[:, None] * grid.hertz.astype(np.float32))
    return out


@numba.njit(cache=True, fastmath={"reassoc", "contract"})
def _apply_functions(samples: Signal, factor: np.float32, poles: Signal, out: Signal) -> None:
    # Undo the pre-emphasis of the decimation, then saturate the signal and its parts above and below 60 and 700 Hz.
    one, low, middle, signal = np.float32(1.0), np.float32(0.0), np.float32(0.0), np.float32(0.0)
    for n in range(samples.shape[0]):
        signal = samples[n] * factor + np.float32(PREEMPHASIS) * signal
        low += (one - poles[0]) * (signal - low)
        middle += (one - poles[1]) * (signal - middle)
        out[0, n] = signal
        out[1, n] = middle
        out[2, n] = signal - low
    for n in range(samples.shape[0]):
        u, m, b = out[0, n], out[1, n], out[2, n]
        h = u - m
        out[1, n] = u / np.sqrt(one + u * u)
        u4, u16, h4, h16 = np.float32(4.0) * u, np.float32(16.0) * u, np.float32(4.0) * h, np.float32(16.0) * h
        b16, m2 = np.float32(16.0) * b, np.float32(2.0) * m
        out[2, n] = u4 / np.sqrt(one + u4 * u4)
        out[3, n] = u16 / np.sqrt(one + u16 * u16)
        out[4, n] = u4 * u4 / (one + u4 * u4)
        out[5, n] = h4 / np.sqrt(one + h4 * h4)
        out[6, n] = h16 / np.sqrt(one + h16 * h16)
        out[7, n] = b16 * b16 / (one + b16 * b16)
        out[8, n] = m2 / np.sqrt(one + m2 * m2)
