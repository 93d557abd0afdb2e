"""Circuit simulations: solve the differential equations sample by sample, oversampled, in double precision."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numba
import numpy as np

from twinlib.audio import Signal
from twinlib.simulation.oversampling import Array, Downsampler, Upsampler
from twinlib.simulation.settings import Circuit, DiodeClipper, Transformer

FACTOR = 8
"""The oversampling factor of the circuits."""

SATURATION_CURRENT = 2.52e-9
"""Saturation current of a 1N4148 in ampere."""
THERMAL_VOLTAGE = 1.752 * 25.85e-3
"""Thermal voltage of a 1N4148, including the ideality factor, in volt."""
BRANCH_OHM, BRANCH_FARAD = 4.7e3, 47e-9
"""The branch from the inverting input to ground: it restricts the gain to frequencies above 720 Hz."""
FEEDBACK_OHM, POT_OHM, FEEDBACK_FARAD = 51e3, 500e3, 51e-12
"""The feedback path across the diodes; the drive pot is in series with the resistor."""
CLIPPER_SCALE = 0.5
"""Full scale is 1 V at the input and 2 V at the output, because the stage reaches 1 V plus a diode drop."""

CORE_HZ = 20.0
"""The high-pass corner of the magnetising inductance of the unsaturated core."""
LEAKAGE_HZ = 28e3
"""The low-pass corner of leakage inductance and load."""
BIAS = 0.2
"""The remanence of the core as a fraction of its saturation flux, which adds even harmonics."""


@numba.njit(cache=True)
def diode_voltage(total: float, linear: float, diodes: float, thermal: float) -> float:
    """Solve `linear * v + diodes * sinh(v / thermal) = total` for v; all parameters must be positive.

    Newton's method on |total|, started at the smaller of two upper bounds. The function is convex, so the iteration
    decreases monotonically to the root.
    """
    size = abs(total)
    v = min(size / linear, thermal * math.asinh(size / diodes))
    for _ in range(50):
        up = math.exp(v / thermal)
        down = 1.0 / up
        step = (linear * v + 0.5 * diodes * (up - down) - size) / (linear + 0.5 * diodes / thermal * (up + down))
        v -= step
        if abs(step) <= 1e-8:  # Quadratic convergence: the error is below 1e-14.
            break
    return v if total >= 0.0 else -v


@numba.njit(cache=True)
def _run_clipper(samples: Any, state: Any, resistance: float, period: float) -> None:
    # In place. State: branch capacitor voltage; input, feedback voltage and current balance of the previous sample.
    half = 0.5 * period
    rate = half / (BRANCH_OHM * BRANCH_FARAD)
    charge = half / FEEDBACK_FARAD
    linear, diodes = 1.0 + charge / resistance, charge * 2.0 * SATURATION_CURRENT
    capacitor, before, feedback, balance = state[0], state[1], state[2], state[3]
    for n in range(len(samples)):
        volt = samples[n]
        capacitor = ((1.0 - rate) * capacitor + rate * (volt + before)) / (1.0 + rate)
        before = volt
        current = (volt - capacitor) / BRANCH_OHM
        feedback_next = diode_voltage(feedback + charge * (balance + current), linear, diodes, THERMAL_VOLTAGE)
        # The trapezoidal rule gives the capacitor current, which saves a second exponential.
        balance = (feedback_next - feedback) / charge - balance
        feedback = feedback_next
        samples[n] = CLIPPER_SCALE * (volt + feedback)
    state[0], state[1], state[2], state[3] = capacitor, before, feedback, balance


@numba.njit(cache=True)
def _run_transformer(samples: Any, state: Any, saturation: float, period: float) -> None:
    # In place. d flux / dt = v - w * (f(flux + bias) - f(bias)), f(x) = x + x^3 / s^2; the output is d flux / dt.
    half = 0.5 * period
    w = 2.0 * math.pi * CORE_HZ
    inverse = 1.0 / (saturation * saturation)
    bias = BIAS * saturation
    rest = bias + inverse * bias**3
    pole = math.tan(math.pi * LEAKAGE_HZ * period)
    flux, slope, low, before = state[0], state[1], state[2], state[3]
    for n in range(len(samples)):
        volt = samples[n]
        total = flux + half * (slope + volt)
        x = flux
        for _ in range(50):
            shifted = x + bias
            error = x + half * w * (shifted + inverse * shifted**3 - rest) - total
            step = error / (1.0 + half * w * (1.0 + 3.0 * inverse * shifted * shifted))
            x -= step
            if abs(step) <= 1e-10:
                break
        shifted = x + bias
        flux, slope = x, volt - w * (shifted + inverse * shifted**3 - rest)
        low = ((1.0 - pole) * low + pole * (slope + before)) / (1.0 + pole)
        before = slope
        samples[n] = low
    state[0], state[1], state[2], state[3] = flux, slope, low, before


class CircuitStream:
    """One channel through a circuit: float32 blocks `(frames,)` of any size give the same samples bit for bit.

    The filter delay is compensated: the output of `process` lags by 64 samples, and `flush` returns the rest. Full
    scale of the input is 1 V. The output of the clipper peaks near 0.85; that of the transformer near the peak of its
    input, or higher if the input is clipped.
    """

    def __init__(self, circuit: Circuit, sample_rate: int, factor: int = FACTOR) -> None:
        self._circuit, self._period = circuit, 1.0 / (sample_rate * factor)
        self._up, self._down, self._state = Upsampler(factor), Downsampler(factor), np.zeros(4)

    def _run(self, samples: Array) -> Array:
        if isinstance(self._circuit, DiodeClipper):
            _run_clipper(samples, self._state, clipper_resistance(self._circuit), self._period)
        else:
            _run_transformer(samples, self._state, saturation_flux(self._circuit), self._period)
        return samples

    def process(self, block: Signal) -> Signal:
        """Return the output samples that the input so far determines."""
        return self._down.process(self._run(self._up.process(block.astype(np.float64)))).astype(np.float32)

    def flush(self) -> Signal:
        """Return the remaining samples and end the stream."""
        rest = self._down.process(self._run(self._up.flush()))
        return np.concatenate((rest, self._down.flush())).astype(np.float32)


def clipper_resistance(circuit: DiodeClipper) -> float:
    """Return the feedback resistance in ohm."""
    return FEEDBACK_OHM + circuit.drive * POT_OHM


def saturation_flux(circuit: Transformer) -> float:
    """Return the flux, in volt-seconds at full scale 1 V, at which the core current has doubled."""
    return float(1.2e-3 * 0.05**circuit.drive)


def process_stream(circuit: Circuit, sample_rate: int, blocks: Iterable[Signal]) -> Iterator[Signal]:
    """Yield the blocks of one channel after a circuit; the total number of samples is that of the input."""
    stream = CircuitStream(circuit, sample_rate)
    for block in blocks:
        yield stream.process(block)
    yield stream.flush()
