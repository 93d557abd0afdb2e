"""Harmonic distortion: exact for steady sines (FFT of whole periods), and over frequency from exponential sweeps.

Phases are relative to sines: a harmonic `b sin(h w t + q)` of a fundamental `a sin(w t + p)` has the relative phase
`q - h p`, which is independent of delay. Levels are in dB relative to the fundamental (dBc).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft

from twinlib.audio import Signal
from twinlib.db import MIN_AMPLITUDE, amp_to_db, db_to_amp, db_to_power

Array = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]

MAX_ORDER = 10
"""Order of the highest measured harmonic."""

MASK_DB = 6.0
"""A harmonic is audible if its level exceeds the noise around it by more than this."""

_NOISE_BINS = 12
"""Bins on either side of a harmonic for the estimate of the noise."""


@dataclass(frozen=True)
class SineResponse:
    """The response to a steady sine of frequency `hz` and peak level `level_dbfs`.

    `gain_db` and `degrees` are gain and phase of the fundamental. `dbc`, `noise_dbc` (level of the noise around it)
    and `relative_degrees` hold a value per harmonic 2, 3, ..., `MAX_ORDER` below half the sample rate. `thd_db` sums
    the audible harmonics (None without any), `thd_n_db` everything except the fundamental and DC. `alias_db` is
    the ratio of the inharmonic part to the harmonic part (Sato and Smith 2025, arXiv 2505.04082): noise and, for a
    network, aliases.
    """

    hz: float
    level_dbfs: float
    gain_db: float
    degrees: float
    dbc: tuple[float, ...]
    noise_dbc: tuple[float, ...]
    relative_degrees: tuple[float, ...]
    thd_db: float | None
    thd_n_db: float
    alias_db: float

    @property
    def audible(self) -> list[bool]:
        """Whether each harmonic exceeds the noise around it by more than `MASK_DB`."""
        return [level > noise + MASK_DB for level, noise in zip(self.dbc, self.noise_dbc, strict=True)]


def bin_amplitudes(window: Signal) -> Complex:
    """Return the complex amplitudes of the bins `(n / 2 + 1,)` of samples `(n,)`.

    A sine `a sin(w t + p)` with whole periods in the window gives `a e^(jp)`.
    """
    spectrum: Complex = 2j * fft.rfft(window.astype(np.float64)) / len(window)
    return spectrum


SINE_WINDOW = 1 << 14
"""Samples of the measured window of `play_sine`."""

_SETTLE_SECONDS = 0.25


def play_sine(process: Callable[[Signal], Signal], sample_rate: int, hz: float, level_dbfs: float) -> SineResponse:
    """Measure the harmonics of a steady sine of frequency `hz` and peak level `level_dbfs`, after it has settled.

    `process` maps samples `(n,)` to as many. The frequency is moved to the nearest one with an odd number of periods in
    `SINE_WINDOW` samples, at which no alias coincides with a harmonic; the result holds it.
    """
    settle = round(_SETTLE_SECONDS * sample_rate)
    cycles = 2 * round((hz * SINE_WINDOW / sample_rate - 1) / 2) + 1
    time = np.arange(settle + SINE_WINDOW) / sample_rate
    tone = db_to_amp(level_dbfs) * np.sin(2 * np.pi * cycles * sample_rate / SINE_WINDOW * time)
    return measure_sine(process(tone.astype(np.float32))[settle:], cycles, sample_rate, level_dbfs)


def measure_sine(window: Signal, cycles: int, sample_rate: int, level_dbfs: float) -> SineResponse:
    """Measure the harmonics of a settled response `(n,)` that holds `cycles` whole periods of the fundamental."""
    spectrum = bin_amplitudes(window)
    sizes = np.abs(spectrum)
    bins = np.arange(cycles, len(window) // 2, cycles)
    first = max(float(sizes[cycles]), MIN_AMPLITUDE)
    overtones = bins[1:MAX_ORDER]
    dbc = tuple(amp_to_db(float(sizes[k]) / first) for k in overtones)
    noise_dbc = tuple(amp_to_db(_noise_around(sizes, cycles, k) / first) for k in overtones.tolist())
    audible = [level for level, noise in zip(dbc, noise_dbc, strict=True) if level > noise + MASK_DB]
    phase = float(np.angle(spectrum[cycles]))
    relative = tuple(
        _wrapped_degrees(float(np.angle(spectrum[k])) - order * phase) for order, k in enumerate(overtones.tolist(), 2)
    )
    total = float(np.square(sizes[1:]).sum())
    harmonic = float(np.square(sizes[bins]).sum())
    return SineResponse(
        hz=cycles * sample_rate / len(window),
        level_dbfs=level_dbfs,
        gain_db=amp_to_db(first) - level_dbfs,
        degrees=_wrapped_degrees(phase),
        dbc=dbc,
        noise_dbc=noise_dbc,
        relative_degrees=relative,
        thd_db=amp_to_db(float(np.sqrt(sum(db_to_power(level) for level in audible)))) if audible else None,
        thd_n_db=amp_to_db(float(np.sqrt(max(total - first**2, 0.0))) / first),
        alias_db=amp_to_db(float(np.sqrt(max(total - harmonic, 0.0) / max(harmonic, MIN_AMPLITUDE**2)))),
    )


def _noise_around(sizes: Array, cycles: int, harmonic: int) -> float:
    """Return the rms amplitude of the inharmonic bins around a harmonic."""
    around = np.arange(max(1, harmonic - _NOISE_BINS), min(len(sizes), harmonic + _NOISE_BINS + 1))
    around = around[around % cycles != 0]
    return float(np.sqrt(np.mean(np.square(sizes[around])))) if len(around) else 0.0


def _wrapped_degrees(phase: float) -> float:
    return float(np.degrees(np.angle(np.exp(1j * phase))))


@dataclass(frozen=True)
class SweepResponse:
    """The response to a synchronised sweep of peak level `level_dbfs`, at the frequencies `hz` `(n,)`.

    `gain_db` and `degrees` (unwrapped) are the linear response. `dbc[h]` and `relative_degrees[h]` are level and phase
    of harmonic h (2 to 5) of the fundamental `hz`, NaN where the harmonic exceeds the sweep's band. `impulse` is the
    linear impulse response `(frames,)`, starting at zero delay.
    """

    level_dbfs: float
    hz: Array
    gain_db: Array
    degrees: Array
    dbc: dict[int, Array]
    relative_degrees: dict[int, Array]
    impulse: Array


def measure_sweep(
    dry: Signal,
    wet: Signal,
    sample_rate: int,
    level_dbfs: float,
    constant: float,
    band: tuple[float, float],
    frames: int,
    hz: Array,
) -> SweepResponse:
    """Measure linear response and harmonics from a sweep.

    `dry` and `wet` `(samples,)` hold the sweep of `frames` samples and the silence after it. Their spectral ratio is a
    series of impulse responses; that of harmonic h leads the linear one by `constant * ln h` seconds (Farina 2000;
    Novák et al. 2015).
    """
    size = 1 << int(np.ceil(np.log2(2 * len(dry))))
    x, y = fft.rfft(dry.astype(np.float64), size), fft.rfft(wet.astype(np.float64), size)
    power = np.square(np.abs(x))
    response = fft.irfft(y * x.conj() / (power + 1e-9 * float(power.max())), size)
    # The band edge at 20 Hz causes ringing of that duration before the arrival.
    before = round(0.04 * sample_rate)
    reach = len(dry) - frames - before
    parts = {}
    for order in range(1, 6):
        lead = constant * np.log(order) * sample_rate
        start = -int(np.round(lead)) - before
        # Each response must end before that of the next lower harmonic begins.
        room = reach if order == 1 else int(constant * np.log(order / (order - 1)) * sample_rate) - before
        part = np.take(response, np.arange(start, start + before + min(room, reach)), mode="wrap")
        edge = before // 2
        fade = np.sin(np.pi / 2 * (np.arange(edge) + 0.5) / edge) ** 2
        part[:edge] *= fade
        part[-edge:] *= fade[::-1]
        # The time origin is between two samples.
        parts[order] = (part, before + float(np.round(lead) - lead))
    linear = _spectrum_at(*parts[1], hz, sample_rate)
    dbc, relative = {}, {}
    for order in range(2, 6):
        in_band = order * hz <= 0.98 * band[1]
        harmonic = _spectrum_at(*parts[order], np.where(in_band, order * hz, hz), sample_rate)
        dbc[order] = np.where(in_band, amp_to_db(np.abs(harmonic / linear)), np.nan)
        phase = np.angle(harmonic) - order * np.angle(linear)
        relative[order] = np.where(in_band, np.degrees(np.angle(np.exp(1j * phase))), np.nan)
    return SweepResponse(
        level_dbfs,
        hz,
        amp_to_db(np.abs(linear)),
        np.degrees(np.unwrap(np.angle(linear))),
        dbc,
        relative,
        impulse=parts[1][0][before:],
    )


def _spectrum_at(impulse: Array, origin: float, hz: Array, sample_rate: int) -> Complex:
    """Interpolate the spectrum of an impulse response at frequencies `(n,)`; time zero is its sample `origin`."""
    size = 1 << int(np.ceil(np.log2(4 * len(impulse))))
    spectrum = fft.rfft(impulse, size)
    bins = np.arange(len(spectrum))
    shifted = spectrum * np.exp(2j * np.pi * bins * origin / size)
    position = hz * size / sample_rate
    values: Complex = np.interp(position, bins, shifted.real) + 1j * np.interp(position, bins, shifted.imag)
    return values


def response_length(impulse: Array, decay_db: float = 40.0) -> int:
    """Return the samples after which an impulse response holds at most -`decay_db` of its energy, without the noise.

    The noise is estimated from the last fifth. At 40 dB, a model of this memory loses an error-to-signal ratio of 1e-4.
    """
    power = np.square(impulse)
    tail = power[-max(1, len(power) // 5) :]
    # The remaining energy is significant only where it exceeds its own uncertainty, three standard deviations.
    rest = np.cumsum((power - float(np.mean(tail)))[::-1])[::-1]
    uncertainty = 3.0 * float(np.std(tail)) * np.sqrt(np.arange(len(power), 0, -1))
    significant = np.flatnonzero(rest > np.maximum(db_to_power(-decay_db) * float(rest[0]), uncertainty))
    return int(significant[-1]) + 1 if len(significant) else 1
