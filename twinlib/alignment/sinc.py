"""Reading a signal between its samples: a windowed sinc (Smith & Gossett 1984) for a slowly varying rate."""

import math

import numba
import numpy as np
import numpy.typing as npt

HALF_WIDTH = 64
"""Samples on either side that one interpolated value is made of."""

_PHASES = 4096
_BETA = 14.0


def _table() -> npt.NDArray[np.float32]:
    """Kaiser-windowed sinc at `_PHASES` + 1 fractions of a sample, `(phases + 1, taps)`, each row of sum one."""
    fraction = np.arange(_PHASES + 1)[:, None] / _PHASES
    offset = np.arange(1 - HALF_WIDTH, HALF_WIDTH + 1)[None, :] - fraction
    inside = np.clip(1.0 - (offset / HALF_WIDTH) ** 2, 0.0, None)
    rows = np.sinc(offset) * np.i0(_BETA * np.sqrt(inside)) / np.i0(_BETA)
    return np.ascontiguousarray(rows / rows.sum(axis=1, keepdims=True), np.float32)


_TABLE = _table()


@numba.njit(cache=True)
def _interpolate(
    table: npt.NDArray[np.float32],
    samples: npt.NDArray[np.float32],
    origin: int,
    lag: float,
    slope: float,
    first: int,
    out: npt.NDArray[np.float32],
) -> None:
    phases, taps = table.shape[0] - 1, table.shape[1]
    half = taps // 2
    products = np.empty(taps, np.float32)
    for k in range(out.shape[0]):
        n = first + k
        shift = lag + slope * n
        whole = math.floor(shift)
        place = (shift - whole) * phases
        row = int(place)
        between = np.float32(place - row)
        low, high = table[row], table[row + 1 if row < phases else row]
        base = n + int(whole) - origin + 1 - half
        window = samples[base : base + taps]
        for i in range(taps):
            products[i] = window[i] * (low[i] + between * (high[i] - low[i]))
        # All 128 taps summed by halving: vector code in an order that is the same on every machine and for every block.
        for i in range(64):
            products[i] += products[i + 64]
        for i in range(32):
            products[i] += products[i + 32]
        for i in range(16):
            products[i] += products[i + 16]
        for i in range(8):
            products[i] += products[i + 8]
        for i in range(4):
            products[i] += products[i + 4]
        products[0] = (products[0] + products[1]) + (products[2] + products[3])
        out[k] = products[0]


def support(lag: float, slope: float, first: int, stop: int) -> tuple[int, int]:
    """The samples [start, stop) that the values at positions [first, stop) are made of."""
    ends = [n + math.floor(lag + slope * n) for n in (first, max(first, stop - 1))]
    return min(ends) + 1 - HALF_WIDTH, max(ends) + HALF_WIDTH + 1


def interpolate(
    samples: npt.NDArray[np.float32], origin: int, lag: float, slope: float, first: int, stop: int
) -> npt.NDArray[np.float32]:
    """The values of a signal at `n + lag + slope * n` for n in [first, stop), float32.

    `samples` are those at `support(...)`, whose first index is `origin`. Flat within 1e-6 and images below
    -120 dB up to 0.45 of the sample rate.
    """
    out = np.empty(stop - first, np.float32)
    _interpolate(_TABLE, np.ascontiguousarray(samples), origin, float(lag), float(slope), first, out)
    return out
