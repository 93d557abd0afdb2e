"""Fractional delay: windowed-sinc interpolation (Smith & Gossett 1984) along a slowly varying lag.

Output is computed in tiles of 64 samples on a fixed grid, so that samples do not depend on the requested ranges.
Within a tile the lag is linear. The kernel at each position is a parabola through the kernels at three positions (two,
if the lag hardly changes): three convolutions with constant taps, which vectorise, instead of one kernel per sample.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numba
import numpy as np
import numpy.typing as npt
from scipy.special import i0

from twinlib.resampling.channel import Channel
from twinlib.resampling.time_map import TimeMap

TILE = 64
"""Samples of a tile; tiles start at multiples of it."""

_PHASES = 4096
_MARGIN = 3 * _PHASES // 8
"""Rows of the table before fraction 0 and after 1, enough for a lag that changes by 11,000 ppm within a tile."""
_NODES = math.sqrt(0.5), math.sqrt(0.75)
"""Chebyshev nodes for a line and for a parabola on [-1, 1]."""
_NEARLY_STEADY = 7e-4
"""Change of the lag over half a tile, in samples, below which two kernels are exact to -120 dB: 22 ppm, more than the
drift of most clocks."""
_MOST_SLOPE = 0.36 / (TILE // 2)

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Kernel:
    """A Kaiser-windowed sinc with `half_width` taps on either side and the window parameter `beta`."""

    half_width: int
    beta: float

    @cached_property
    def table(self) -> Float32:
        """The kernel at fractions of a sample from -3/8 to 11/8, `(rows, taps)`; each row sums to one."""
        half = self.half_width
        table = np.empty((_PHASES + 2 * _MARGIN + 1, 2 * half), np.float32)
        for part in np.array_split(np.arange(len(table)), 20):
            offset = np.arange(1 - half, half + 1)[None, :] - (part[:, None] - _MARGIN) / _PHASES
            inside = np.clip(1.0 - (offset / half) ** 2, 0.0, None)
            rows = np.sinc(offset) * i0(self.beta * np.sqrt(inside)) * (np.abs(offset) < half)
            table[part] = rows / rows.sum(axis=1, keepdims=True)
        return table


WARP_KERNEL = Kernel(48, 13.0)
"""Kernel of the warp: error below -120 dB up to 20 kHz at 44.1 kHz."""

MEASURE_KERNEL = Kernel(16, 11.0)
"""Kernel for measurements, three times as fast: error below -100 dB up to 17 kHz at 44.1 kHz."""

MEASURE_BAND = 0.38
"""Upper band limit of that accuracy, relative to the sample rate."""


@numba.njit(cache=True)
def _convolve(taps: Float32, samples: Float32, out: Float32) -> None:
    # Eight taps per iteration, summed in a fixed order, give the same bits on every machine.
    for j in range(TILE):
        out[j] = np.float32(0.0)
    for i in range(0, taps.shape[0], 8):
        a, b, c, d = taps[i], taps[i + 1], taps[i + 2], taps[i + 3]
        e, f, g, h = taps[i + 4], taps[i + 5], taps[i + 6], taps[i + 7]
        x = samples[i : i + TILE + 8]
        for j in range(TILE):
            low = (a * x[j] + b * x[j + 1]) + (c * x[j + 2] + d * x[j + 3])
            high = (e * x[j + 4] + f * x[j + 5]) + (g * x[j + 6] + h * x[j + 7])
            out[j] = out[j] + (low + high)


@numba.njit(cache=True)
def _tiles(
    table: Float32, samples: Float32, origin: int, first_tile: int, lags: Float64, slopes: Float64, out: Float32
) -> None:
    count = table.shape[1]
    half, size = count // 2, TILE // 2
    taps = np.empty((3, count), np.float32)
    parts = np.empty((3, TILE), np.float32)
    for t in range(lags.shape[0]):
        whole = math.floor(lags[t])
        fraction = lags[t] - whole
        base = (first_tile + t) * TILE + int(whole) - origin
        if fraction == 0.0 and slopes[t] == 0.0:
            for j in range(TILE):
                out[t * TILE + j] = samples[base + j]
            continue
        nodes, node = (2, _NODES[0]) if abs(slopes[t]) * size < _NEARLY_STEADY else (3, _NODES[1])
        for m in range(nodes):
            side = node * (2.0 * m / (nodes - 1) - 1.0)
            place = (fraction + side * slopes[t] * size) * _PHASES + _MARGIN
            row = int(place)
            between = np.float32(place - row)
            low, high, kernel = table[row], table[row + 1], taps[m]
            for i in range(count):
                kernel[i] = low[i] + between * (high[i] - low[i])
        # The coefficients of the parabola: value, slope and curvature.
        for i in range(count):
            first, last = taps[0, i], taps[nodes - 1, i]
            mean = np.float32(0.5) * (first + last)
            middle = mean if nodes == 2 else taps[1, i]
            taps[0, i], taps[1, i], taps[2, i] = middle, np.float32(0.5) * (last - first), mean - middle
        window = samples[base + 1 - half : base + half + TILE]
        # If the lag hardly changes, the outer taps of the slope are below the error of the kernel.
        trim = count // 8 if nodes == 2 else 0
        _convolve(taps[0], window, parts[0])
        _convolve(taps[1, trim : count - trim], window[trim:], parts[1])
        if nodes == 3:
            _convolve(taps[2], window, parts[2])
        for j in range(TILE):
            u = np.float32((j + 0.5 - size) / size / node)
            value = parts[0, j] + u * parts[1, j]
            out[t * TILE + j] = value if nodes == 2 else value + u * (u * parts[2, j])


def interpolate(signal: Channel, timemap: TimeMap, start: int, stop: int, kernel: Kernel = WARP_KERNEL) -> Float32:
    """Return the wet signal at dry positions [start, stop), float32 `(frames,)`, zero outside of the file.

    The accuracy is that of the `kernel` for drifts up to 300 ppm. Integer lags without drift copy samples.
    """
    if stop <= start:
        return np.zeros(0, np.float32)
    first, last = start // TILE, -(-stop // TILE)
    centres: Float64 = (np.arange(first, last, dtype=np.float64) + 0.5) * TILE - 0.5
    lags, edges = timemap.lags(centres), timemap.lags(np.arange(first, last + 1, dtype=np.float64) * TILE - 0.5)
    slopes = np.diff(edges) / TILE
    # A tile across a dropout follows the piece of its centre; dropouts are excluded from the data.
    slopes[np.abs(slopes) > _MOST_SLOPE] = 0.0
    out = np.empty((last - first) * TILE, np.float32)
    half = kernel.half_width
    pieces = np.searchsorted([piece.start for piece in timemap.pieces[1:]], centres, side="right")
    borders = [0, *(np.flatnonzero(np.diff(pieces)) + 1).tolist(), last - first]
    for low, high in pairwise(borders):
        base = np.floor(lags[low:high]).astype(np.int64) + np.arange(first + low, first + high) * TILE
        origin = int(base.min()) - half
        samples = signal.read(origin, int(base.max()) + half + TILE + 1)
        tiles = out[low * TILE : high * TILE]
        _tiles(kernel.table, samples, origin, first + low, lags[low:high], slopes[low:high], tiles)
    return out[start - first * TILE : stop - first * TILE]
