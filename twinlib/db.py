"""Conversions between ratios and decibels.

A power ratio p is 10 log10(p) dB and an amplitude ratio a is 20 log10(a) dB. Levels in dBFS use full scale, 1, as
reference. Each function takes a float or a float64 array `(...)` and returns the same type.
"""

import math
from typing import overload

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

MIN_POWER = 1e-24
"""The default floor of power ratios: -240 dB."""

MIN_ESR = 1e-20
"""The floor of error-to-signal ratios: a perfect twin has -200 dB."""

MIN_AMPLITUDE = 1e-12
"""The default floor of amplitude ratios: -240 dB."""


@overload
def power_to_db(power: float, floor: float = ...) -> float: ...
@overload
def power_to_db(power: Array, floor: float = ...) -> Array: ...
def power_to_db(power: float | Array, floor: float = MIN_POWER) -> float | Array:
    """Return 10 log10 of a power ratio; ratios below `floor` count as `floor`."""
    return _scaled_log10(10.0, power, floor)


@overload
def amp_to_db(amplitude: float, floor: float = ...) -> float: ...
@overload
def amp_to_db(amplitude: Array, floor: float = ...) -> Array: ...
def amp_to_db(amplitude: float | Array, floor: float = MIN_AMPLITUDE) -> float | Array:
    """Return 20 log10 of an amplitude ratio; ratios below `floor` count as `floor`."""
    return _scaled_log10(20.0, amplitude, floor)


@overload
def db_to_power(db: float) -> float: ...
@overload
def db_to_power(db: Array) -> Array: ...
def db_to_power(db: float | Array) -> float | Array:
    """Return the power ratio 10 ** (db / 10)."""
    power: float | Array = 10.0 ** (db / 10.0)
    return power


@overload
def db_to_amp(db: float) -> float: ...
@overload
def db_to_amp(db: Array) -> Array: ...
def db_to_amp(db: float | Array) -> float | Array:
    """Return the amplitude ratio 10 ** (db / 20)."""
    amplitude: float | Array = 10.0 ** (db / 20.0)
    return amplitude


def _scaled_log10(scale: float, ratio: float | Array, floor: float) -> float | Array:
    if isinstance(ratio, np.ndarray):
        levels: Array = scale * np.log10(np.maximum(ratio, floor))
        return levels
    # The logarithm of the C library gives the same bits on every CPU, unlike that of NumPy.
    return scale * math.log10(max(ratio, floor))
