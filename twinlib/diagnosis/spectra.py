"""Spectra of windows of the programme: a set of nonlinear functions of the dry signal, and the aligned wet signal.

The nonlinear functions span what memoryless distortion of several amounts, symmetries and bands does to the dry signal,
so that one short filter for each predicts the wet signal of most devices (a parallel Hammerstein model). They are
applied at the full rate, because treble takes part in distortion; computed after the decimation, they leave 14 dB more
of a clipper's output unexplained. All signals are then decimated by 4 (pre-emphasised, below 4.4 kHz at 44.1 kHz),
where most of the energy of music is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numba
import numpy as np
import numpy.typing as npt
import scipy.fft

from twinlib.audio import Signal
from twinlib.estimation import DECIMATION, FILTER_MARGIN, decimate
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
    warm_up = round(WARM_UP_SECONDS * grid.rate)
    x = dry.read(begin - warm_up - FILTER_MARGIN, begin + length + FILTER_MARGIN) / np.float32(scale)
    functions = np.empty((FUNCTIONS, stop - first, grid.bins.stop - grid.bins.start), np.complex64)
    for out, signal in zip(functions, _apply_functions(x, grid.rate), strict=True):
        out[:] = _transform(signal[warm_up:], grid, taper)
    energy = np.square(x[warm_up + FILTER_MARGIN : len(x) - FILTER_MARGIN]).reshape(-1, grid.hop).mean(axis=1)
    level = np.sqrt(0.5 * (energy[1:] + energy[:-1]), dtype=np.float64)
    return Spectra(first, functions, _read_wet(wet, time_map, grid, first, stop, taper), level)


def _transform(samples: Signal, grid: Grid, taper: Signal) -> Complex:
    """Return the spectra of windows that tile samples with `FILTER_MARGIN` on either side."""
    windows = np.lib.stride_tricks.sliding_window_view(decimate(samples), grid.size)[:: grid.size // 2]
    return np.asarray(scipy.fft.rfft(windows * taper)[:, grid.bins])


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
        y = wet.read(begin - FILTER_MARGIN, begin + (high - low + 1) * grid.hop + FILTER_MARGIN)
        out[low:high] = _transform(y, grid, taper)
    fraction = lags - whole
    if np.abs(fraction).max(initial=0.0) > MIN_FRACTION:
        turn = (2j * np.pi / grid.rate * fraction).astype(np.complex64)
        out *= np.exp(turn[:, None] * grid.hertz.astype(np.float32))
    return out


def _apply_functions(x: Signal, rate: int) -> Iterator[Signal]:
    """Yield the signal and eight distortions of it and of its parts above and below 60 and 700 Hz."""
    low, middle = (_low_pass(x, _pole(hertz, rate)) for hertz in (_LOW_HZ, _MID_HZ))
    treble = x - middle
    yield x
    yield _saturate(x)
    yield _saturate(4.0 * x)
    yield _saturate(16.0 * x)
    yield _square(4.0 * x)
    yield _saturate(4.0 * treble)
    yield _saturate(16.0 * treble)
    yield _square(16.0 * (x - low))
    yield _saturate(2.0 * middle)


def _pole(hertz: float, rate: int) -> np.float32:
    return np.float32(np.exp(-2.0 * np.pi * hertz / rate))


@numba.njit(cache=True, fastmath={"reassoc", "contract"})
def _low_pass(samples: Signal, pole: np.float32) -> Signal:
    out, state, gain = np.empty_like(samples), np.float32(0.0), np.float32(1.0) - pole
    for n in range(samples.shape[0]):
        state += gain * (samples[n] - state)
        out[n] = state
    return out


def _saturate(u: Signal) -> Signal:
    return np.asarray(u / np.sqrt(1.0 + u * u))


def _square(u: Signal) -> Signal:
    square = u * u
    return np.asarray(square / (1.0 + square))
