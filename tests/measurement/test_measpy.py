"""Comparison of harmonics with measpy, an independent library for acoustic measurements."""

from collections.abc import Callable

import numpy as np
import pytest
import soxr
from measpy.signal import Signal as Measured
from scipy.signal import butter, lfilter

from twinlib.audio import Signal
from twinlib.excitation.probe_reel import Section, probe_layout, synthesise
from twinlib.measurement.harmonics import SweepResponse, measure_sine, measure_sweep

RATE = 44100
PLAN = probe_layout(RATE)
LEVEL = -6.0
HERTZ = np.array([100.0, 200.0, 440.0, 1000.0, 2500.0])
ORDERS = (2, 3, 4, 5)
LEAST_DBC = -60.0
"""The lowest harmonic level to compare: measpy's sweep has a ripple of about -85 dBc."""

Curve = Callable[[np.ndarray], np.ndarray]


def polynomial(x: np.ndarray) -> np.ndarray:
    return 0.8 * x + 0.3 * x**2 - 0.2 * x**3


def amplifier(x: np.ndarray) -> np.ndarray:
    """An asymmetric tanh between two filters, with frequency-dependent H2 to H5."""
    before = lfilter(*butter(1, 300, "high", fs=4 * RATE), x)
    return lfilter(*butter(1, 3000, fs=4 * RATE), np.tanh(5 * before + 0.5) - np.tanh(0.5))


def played(curve: Curve, section: Section) -> tuple[Signal, Signal]:
    """A section of the probe reel, and the output of the curve for it with fourfold oversampling."""
    dry = np.pad(synthesise(section, RATE), 4096)
    wet = soxr.resample(curve(soxr.resample(dry.astype(np.float64), 1, 4, "VHQ")), 4, 1, "VHQ")[: len(dry)]
    return dry[4096:-4096], wet[4096:-4096].astype(np.float32)


def swept(curve: Curve, hz: np.ndarray) -> tuple[SweepResponse, Section, Signal]:
    (section,) = [one for one in PLAN.of("sweep") if one.level_dbfs == LEVEL]
    dry, wet = played(curve, section)
    band = (section.low_hz, section.high_hz)
    found = measure_sweep(dry, wet, RATE, LEVEL, section.constant, band, section.frames, hz)
    return found, section, wet


@pytest.mark.parametrize(("curve", "orders"), [(polynomial, (2, 3)), (amplifier, ORDERS)])
def test_sweep_levels_agree_with_measpy(curve: Curve, orders: tuple[int, ...]) -> None:
    """Levels and fundamental agree to 0.05 dB.

    measpy divides by the stationary-phase spectrum of an unfaded sweep and truncates its responses without a window,
    which causes 0.1 dB of ripple below 100 Hz. twinlib uses the spectrum of the actual sweep and has no such ripple.
    """
    ours, section, wet = swept(curve, HERTZ)
    # measpy derives the time constant from the duration and the last frequency: pass the sweep without trailing
    # silence, and the frequency at its last sample.
    last = section.low_hz * np.exp((section.frames - 1) / RATE / section.constant)
    theirs, *_ = Measured(raw=wet[: section.frames].astype(np.float64), fs=RATE).harmonic_disto(
        nh=len(ORDERS) + 1, freq_min=section.low_hz, freq_max=last, delay=0.0
    )
    sizes = {
        order: np.interp(order * HERTZ, theirs[order - 1].freqs, np.abs(theirs[order - 1].values))
        for order in (1, *ORDERS)
    }
    np.testing.assert_allclose(ours.gain_db, 20 * np.log10(sizes[1]) - LEVEL, atol=0.05)
    compared = set()
    for order in ORDERS:
        levels = 20 * np.log10(sizes[order] / sizes[1])
        for level, own in zip(levels, ours.dbc[order], strict=True):
            if max(level, own) > LEAST_DBC:
                assert own == pytest.approx(level, abs=0.05)
                compared.add(order)
    assert compared == set(orders)


@pytest.mark.parametrize("curve", [polynomial, amplifier])
def test_steady_sines_agree_with_the_sweep(curve: Curve) -> None:
    """They agree to 0.05 dB and 0.5 degrees at the sine frequencies of the probe reel."""
    sines = [one for one in PLAN.of("sine") if one.level_dbfs == LEVEL and 90 < one.hz < 3000]
    swept_at, *_ = swept(curve, np.array([section.hz for section in sines]))
    compared = 0
    for place, section in enumerate(sines):
        first, last = section.window[0] - section.start, section.window[1] - section.start
        steady = measure_sine(played(curve, section)[1][first:last], section.tones[0].cycles, RATE, LEVEL)
        assert swept_at.gain_db[place] == pytest.approx(steady.gain_db, abs=0.05)
        for order in ORDERS:
            if steady.dbc[order - 2] > LEAST_DBC:
                assert swept_at.dbc[order][place] == pytest.approx(steady.dbc[order - 2], abs=0.05)
                apart = swept_at.relative_degrees[order][place] - steady.relative_degrees[order - 2]
                assert abs((apart + 180) % 360 - 180) < 0.5
                compared += 1
    assert compared >= 2 * len(sines)
