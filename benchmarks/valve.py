"""A triode stage for the benchmarks: a 12AX7 with common cathode, as most preamps have it.

Koren's model of the plate current (Glass Audio 8/5, 1996), a cathode resistor with its capacitor, whose voltage follows
the programme, the Miller capacitance before the grid and a coupling capacitor after the plate. Solved at four times the
sample rate by Newton's method.
"""

import math
from typing import Any

import numba
import numpy as np

from twinlib.audio import Signal
from twinlib.simulation.oversampling import Downsampler, Upsampler

FACTOR = 4
GRID_VOLT = 1.0
"""Volts at the grid for full scale."""

SUPPLY, PLATE_OHM, CATHODE_OHM, CATHODE_FARAD = 250.0, 100e3, 1.5e3, 4.7e-6
MU, EXPONENT, KG, KP, KVB = 100.0, 1.4, 1060.0, 600.0, 300.0
MILLER_HZ, COUPLING_HZ = 15e3, 10.0
GAIN = -1 / 60.0
"""Full scale of the output per volt of the plate: the stage inverts and amplifies about 60 times."""

SETTLE_SECONDS = 0.5
"""Silence before the signal, in which the operating point settles."""


@numba.njit(cache=True)
def plate_current(plate: float, grid: float) -> float:
    """Return the current in ampere at voltages relative to the cathode."""
    x = KP * (1.0 / MU + grid / math.sqrt(KVB + plate * plate))
    drive = plate / KP * (math.log1p(math.exp(x)) if x < 30.0 else x)
    return 2.0 * drive**EXPONENT / KG if drive > 0.0 else 0.0


@numba.njit(cache=True)
def _run(samples: Any, period: float) -> None:
    # In place. All states but those of the valve are exact one-pole filters.
    miller = 1.0 - math.exp(-2.0 * math.pi * MILLER_HZ * period)
    coupling = 1.0 - math.exp(-2.0 * math.pi * COUPLING_HZ * period)
    grid, cathode, plate, coupled = 0.0, 1.2, 170.0, 170.0
    for n in range(len(samples)):
        grid += miller * (GRID_VOLT * samples[n] - grid)
        for _ in range(20):
            current = plate_current(plate - cathode, grid - cathode)
            slope = (plate_current(plate + 0.01 - cathode, grid - cathode) - current) / 0.01
            step = (plate - SUPPLY + PLATE_OHM * current) / (1.0 + PLATE_OHM * slope)
            plate -= step
            if abs(step) < 1e-8:
                break
        cathode += period / CATHODE_FARAD * ((SUPPLY - plate) / PLATE_OHM - cathode / CATHODE_OHM)
        coupled += coupling * (plate - coupled)
        samples[n] = GAIN * (plate - coupled)


def play_valve(rate: int, dry: Signal) -> Signal:
    """Return the output of the stage for a signal `(n,)`, on one clock with it."""
    settle = round(SETTLE_SECONDS * rate)
    up, down = Upsampler(FACTOR), Downsampler(FACTOR)
    high = np.concatenate([up.process(np.pad(dry.astype(np.float64), (settle, 0))), up.flush()])
    _run(high, 1.0 / (FACTOR * rate))
    wet: Signal = np.concatenate([down.process(high), down.flush()])[settle:].astype(np.float32)
    return wet
