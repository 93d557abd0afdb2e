"""Simulated devices: circuit equations solved sample by sample, oversampled, in double precision."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import numba
import numpy as np

from twinlib.audio import Signal
from twinlib.simulation.oversampling import Array, Downsampler, Upsampler
from twinlib.simulation.settings import Circuit, DiodeClipper, Transformer

FACTOR = 8
"""Times the sample rate at which circuits run."""

SATURATION_CURRENT = 2.52e-9
"""Of a 1N4148, in ampere."""
THERMAL_VOLTAGE = 1.752 * 25.85e-3
"""Of a 1N4148, ideality factor included, in volt."""
BRANCH_OHM, BRANCH_FARAD = 4.7e3, 47e-9
"""From the inverting input to ground: gain only above 720 Hz."""
FEEDBACK_OHM, POT_OHM, FEEDBACK_FARAD = 51e3, 500e3, 51e-12
"""Across the diodes; the pot is in series with the resistor."""
CLIPPER_SCALE = 0.5
"""Full scale of the input is 1 V, of the output 2 V: the stage reaches 1 V and a diode more."""

CORE_HZ = 20.0
"""Where the magnetising inductance of the unsaturated core starts to carry the signal."""
LEAKAGE_HZ = 28e3
"""The pole of leakage inductance and load."""
BIAS = 0.2
"""The remanence of the core in parts of its saturation flux: the even harmonics."""


@numba.njit(cache=True)
def diode_voltage(total: float, linear: float, diodes: float, thermal: float) -> float:
    """The v that solves `linear * v + diodes * sinh(v / thermal) = total`; all parameters > 0.

    Newton's method on |total|, from the smaller of two upper bounds: the function is convex, so it falls onto the root.
    """
    size = abs(total)
    v = min(size / linear, thermal * math.asinh(size / diodes))
    for _ in range(50):
        up = math.exp(v / thermal)
        down = 1.0 / up
        step = (linear * v + 0.5 * diodes * (up - down) - size) / (linear + 0.5 * diodes / thermal * (up + down))
        v -= step
        if abs(step) <= 1e-8:  # Quadratic: the error left is below 1e-14.
            break
    return v if total >= 0.0 else -v


@numba.njit(cache=True)
def _run_clipper(phases: Any, state: Any, resistance: float, period: float) -> None:
    # State: branch capacitor, input and feedback current balance of the sample before (trapezoidal rule).
    half = 0.5 * period
    rate = half / (BRANCH_OHM * BRANCH_FARAD)
    charge = half / FEEDBACK_FARAD
    linear, diodes = 1.0 + charge / resistance, charge * 2.0 * SATURATION_CURRENT
    capacitor, before, feedback, balance = state[0], state[1], state[2], state[3]
    for n in range(phases.shape[1]):
        for p in range(phases.shape[0]):
            volt = phases[p, n]
            capacitor = ((1.0 - rate) * capacitor + rate * (volt + before)) / (1.0 + rate)
            before = volt
            current = (volt - capacitor) / BRANCH_OHM
            feedback_next = diode_voltage(feedback + charge * (balance + current), linear, diodes, THERMAL_VOLTAGE)
            # What flows into the capacitor, by the trapezoidal rule itself: no second exponential.
            balance = (feedback_next - feedback) / charge - balance
            feedback = feedback_next
            phases[p, n] = CLIPPER_SCALE * (volt + feedback)
    state[0], state[1], state[2], state[3] = capacitor, before, feedback, balance


@numba.njit(cache=True)
def _run_transformer(phases: Any, state: Any, saturation: float, period: float) -> None:
    # d flux / dt = v - w * (f(flux + bias) - f(bias)), f(x) = x + x^3 / s^2; the output is d flux / dt.
    half = 0.5 * period
    w = 2.0 * math.pi * CORE_HZ
    inverse = 1.0 / (saturation * saturation)
    bias = BIAS * saturation
    rest = bias + inverse * bias**3
    pole = math.tan(math.pi * LEAKAGE_HZ * period)
    flux, slope, low, before = state[0], state[1], state[2], state[3]
    for n in range(phases.shape[1]):
        for p in range(phases.shape[0]):
            volt = phases[p, n]
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
            phases[p, n] = low
    state[0], state[1], state[2], state[3] = flux, slope, low, before


class CircuitStream:
    """One channel through a circuit: blocks of any size, float32 `(frames,)`, give the same samples bit for bit.

    The filters' delay is taken out: `process` is 64 samples behind and `flush` gives them. Full scale of the input
    is 1 V. The clipper's output peaks near 0.85; the transformer's as the input does, more where that is clipped.
    """

    def __init__(self, circuit: Circuit, sample_rate: int, factor: int = FACTOR) -> None:
        self._circuit, self._period = circuit, 1.0 / (sample_rate * factor)
        self._up, self._down, self._state = Upsampler(factor), Downsampler(factor), np.zeros(4)

    def _run(self, phases: Array) -> Array:
        if isinstance(self._circuit, DiodeClipper):
            _run_clipper(phases, self._state, clipper_resistance(self._circuit), self._period)
        else:
            _run_transformer(phases, self._state, saturation_flux(self._circuit), self._period)
        return phases

    def process(self, block: Signal) -> Signal:
        """The next samples, as far as they are known."""
        return self._down.process(self._run(self._up.process(block.astype(np.float64)))).astype(np.float32)

    def flush(self) -> Signal:
        """The last samples; the stream ends here."""
        rest = self._down.process(self._run(self._up.flush()))
        return np.concatenate((rest, self._down.flush())).astype(np.float32)


def clipper_resistance(circuit: DiodeClipper) -> float:
    """The feedback resistance in ohm."""
    return FEEDBACK_OHM + circuit.drive * POT_OHM


def saturation_flux(circuit: Transformer) -> float:
    """The flux, in volt-seconds at full scale 1 V, at which the core's current has doubled."""
    return float(1.2e-3 * 0.05**circuit.drive)


def process_stream(circuit: Circuit, sample_rate: int, blocks: Iterable[Signal]) -> Iterator[Signal]:
    """The blocks of one channel through a circuit; as many samples come out as went in."""
    stream = CircuitStream(circuit, sample_rate)
    for block in blocks:
        yield stream.process(block)
    yield stream.flush()
