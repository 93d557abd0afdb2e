"""All measurements of a probe reel, by the same code for device and twin, and the comparison of their harmonics."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from twinlib.audio import Signal
from twinlib.db import db_to_amp
from twinlib.excitation import ProbeLayout, Section
from twinlib.measurement.dynamics import measure_burst, measure_ramp
from twinlib.measurement.harmonics import (
    MASK_DB,
    Array,
    SweepResponse,
    bin_amplitudes,
    measure_sine,
    measure_sweep,
    response_length,
)
from twinlib.measurement.intermodulation import measure_ccif, measure_multitone, measure_smpte
from twinlib.measurement.noise import measure_noise, noise_floor_esr
from twinlib.progress import Progress, no_progress

ReadSamples = Callable[[int, int], Signal]
"""Reads samples [start, stop) of the probe reel or of its aligned take without the guard, `(stop - start,)` float32."""

COMPARED_ORDERS = (2, 3, 4, 5)
"""Orders of the compared harmonics."""
COMPARED_LEVELS = (-30.0, -3.0)
"""Range of the input levels in dBFS of the comparison."""
MIN_COMPARED_DBC = -70.0
"""Harmonics of the device below this level are not compared."""
MAX_DEVIATION_DB = 1.0
"""A harmonic of the twin is a miss if its level deviates by more than this."""
MAX_DEVIATION_DEGREES = 10.0
"""The tolerance of a harmonic's relative phase; this deviation adds as much error as 1.5 dB."""

IMPULSE_LEVEL_DBFS = -24.0
"""Level of the sweep for the linear impulse response: low distortion, high signal-to-noise ratio."""

LOOP_POINTS = 128
LOOP_HERTZ = (100.0, 1245.0)

_MUSIC_SETTLE_SECONDS = 0.5


def measure_probe_reel(
    layout: ProbeLayout,
    read_dry: ReadSamples,
    read_wet: ReadSamples,
    withdrawn: Sequence[str] = (),
    progress: Progress = no_progress,
) -> dict[str, Any]:
    """Measure one recording of a probe reel; return plain values for `measurements.json`.

    `sines` (`SineResponse`), `sweeps` (`SweepResponse` without the impulse response), `pairs` (`TwoTone`),
    `multitones`, `compression`, `bursts` (`BurstResponse`), `noise`, `loops` (output over input of one period),
    `impulse_samples` (`response_length`), and `esr_floor` (`noise_floor_esr` of the excerpt that the reel plays twice).
    If tracks of that excerpt are `withdrawn`, it is not read: `esr_floor` is None and `music_withdrawn` lists them.
    `progress` counts sections (`count_sections`).
    """
    rate = layout.sample_rate

    def wet(section: Section) -> Signal:
        progress(1, section.kind)
        return read_wet(*(section.window or (section.start, section.stop)))

    sines, loops = [], []
    max_level = max(section.level_dbfs or 0.0 for section in layout.of("sine"))
    for section in layout.of("sine"):
        tone, window = section.tones[0], wet(section)
        sines.append(measure_sine(window, tone.cycles, rate, tone.dbfs))
        if section.level_dbfs == max_level and any(abs(tone.hz / hz - 1) < 0.05 for hz in LOOP_HERTZ):
            loops.append(_measure_loop(window, tone.cycles, tone.hz, tone.dbfs))
    sweeps = []
    for section in layout.of("sweep"):
        progress(1, section.kind)
        sweeps.append(_measure_sweep_section(section, read_dry, read_wet, rate))
    impulse = next((sweep.impulse for sweep in sweeps if sweep.level_dbfs == IMPULSE_LEVEL_DBFS), np.zeros(1))
    pairs = []
    for section in layout.of("smpte", "ccif"):
        cycles, hertz = [tone.cycles for tone in section.tones], (section.tones[0].hz, section.tones[1].hz)
        measure = measure_smpte if section.kind == "smpte" else measure_ccif
        pairs.append(measure(wet(section), cycles, hertz, section.level_dbfs or 0.0))
    multitones = []
    for section in layout.of("multitone"):
        periods, hz, dbfs = zip(*((tone.cycles, tone.hz, tone.dbfs) for tone in section.tones), strict=True)
        multitones.append(measure_multitone(wet(section), periods, hz, dbfs, section.level_dbfs or 0.0))
    compression = [
        measure_ramp(wet(section), section.hz, rate, (section.from_dbfs or 0.0, section.level_dbfs or 0.0))
        for section in layout.of("ramp")
    ]
    (burst,) = layout.of("burst")
    return {
        "sines": [asdict(sine) for sine in sines],
        "sweeps": [_sweep_values(sweep) for sweep in sweeps],
        "pairs": [asdict(pair) for pair in pairs],
        "multitones": [asdict(multitone) for multitone in multitones],
        "compression": [asdict(ramp) for ramp in compression],
        "bursts": [asdict(step) for step in measure_burst(wet(burst), burst.hz, rate, burst.steps)],
        "noise": asdict(measure_noise(wet(layout.of("silence")[0]), rate)),
        "loops": loops,
        "impulse_samples": response_length(impulse),
        "esr_floor": None if withdrawn else _measure_esr_floor(layout, read_wet),
        "music_withdrawn": list(withdrawn),
    }


def count_sections(layout: ProbeLayout) -> int:
    """Return the number of sections that `measure_probe_reel` reports to `progress`."""
    return sum(section.kind not in ("marker", "silence", "music") for section in layout.sections) + 1


def compare_harmonics(device: dict[str, Any], twin: dict[str, Any]) -> dict[str, Any]:
    """Compare the harmonics of a twin with those of its device, both results of `measure_probe_reel`.

    Harmonics `COMPARED_ORDERS` at `COMPARED_LEVELS` count if the device's exceed `MIN_COMPARED_DBC` and the noise.
    `compared` and `within` are numbers of harmonics, `worst_db` is the largest deviation (None if none is compared),
    `misses` lists deviations beyond `MAX_DEVIATION_DB`, worst first. `within_degrees`, `worst_degrees`, `rms_degrees`
    and `phase_misses`, beyond `MAX_DEVIATION_DEGREES`, are the same for their phases.
    """
    rows = []
    for twin_sine, sine in zip(twin["sines"], device["sines"], strict=True):
        if not COMPARED_LEVELS[0] - 1e-9 <= sine["level_dbfs"] <= COMPARED_LEVELS[1] + 1e-9:
            continue
        for order in COMPARED_ORDERS[: len(sine["dbc"])]:
            level, noise = sine["dbc"][order - 2], sine["noise_dbc"][order - 2]
            if level >= MIN_COMPARED_DBC and level > noise + MASK_DB:
                twin_level = twin_sine["dbc"][order - 2]
                phase_error = twin_sine["relative_degrees"][order - 2] - sine["relative_degrees"][order - 2]
                rows.append(
                    {
                        "hz": sine["hz"],
                        "level_dbfs": sine["level_dbfs"],
                        "harmonic": order,
                        "device_dbc": level,
                        "twin_dbc": twin_level,
                        "off_db": twin_level - level,
                        "off_degrees": (phase_error + 180) % 360 - 180,
                    }
                )
    rows.sort(key=lambda row: -abs(row["off_db"]))
    misses = [row for row in rows if abs(row["off_db"]) > MAX_DEVIATION_DB]
    by_phase = sorted(rows, key=lambda row: -abs(row["off_degrees"]))
    phase_misses = [row for row in by_phase if abs(row["off_degrees"]) > MAX_DEVIATION_DEGREES]
    degrees = [abs(row["off_degrees"]) for row in by_phase]
    return {
        "compared": len(rows),
        "within": len(rows) - len(misses),
        "worst_db": abs(rows[0]["off_db"]) if rows else None,
        "rms_db": _rms([row["off_db"] for row in rows]),
        "within_degrees": len(rows) - len(phase_misses),
        "worst_degrees": max(degrees, default=None),
        "rms_degrees": _rms(degrees),
        "misses": misses,
        "phase_misses": phase_misses,
    }


def _measure_sweep_section(
    section: Section, read_dry: ReadSamples, read_wet: ReadSamples, sample_rate: int
) -> SweepResponse:
    assert section.constant is not None
    assert section.frames is not None
    assert section.low_hz is not None
    assert section.high_hz is not None
    band = (section.low_hz, section.high_hz)
    return measure_sweep(
        read_dry(section.start, section.stop),
        read_wet(section.start, section.stop),
        sample_rate,
        section.level_dbfs or 0.0,
        section.constant,
        band,
        section.frames,
        _twelfth_octaves(*band),
    )


def _sweep_values(sweep: SweepResponse) -> dict[str, Any]:
    return {
        "level_dbfs": sweep.level_dbfs,
        "hz": _rounded(sweep.hz),
        "gain_db": _rounded(sweep.gain_db),
        "degrees": _rounded(sweep.degrees),
        "dbc": {str(order): _rounded(levels) for order, levels in sweep.dbc.items()},
    }


def _measure_esr_floor(layout: ProbeLayout, read_wet: ReadSamples) -> float:
    settle = round(_MUSIC_SETTLE_SECONDS * layout.sample_rate)
    first, second = (read_wet(section.start + settle, section.stop) for section in layout.of("music"))
    return noise_floor_esr(first, second)


def _measure_loop(window: Signal, cycles: int, hz: float, level_dbfs: float) -> dict[str, Any]:
    """Return output over input of one period, averaged over all periods and in phase with the fundamental.

    A device without memory gives a line, a device with memory a loop.
    """
    spectrum = bin_amplitudes(window)
    angle = 2 * np.pi * np.arange(LOOP_POINTS) / LOOP_POINTS
    orders = np.arange(1, (len(spectrum) - 1) // cycles + 1)
    aligned = spectrum[orders * cycles] * np.exp(-1j * orders * np.angle(spectrum[cycles]))
    wave = (aligned[:, None] * np.exp(1j * orders[:, None] * angle)).imag.sum(axis=0)
    mean = float(np.mean(window, dtype=np.float64))
    dry = db_to_amp(level_dbfs) * np.sin(angle)
    return {"hz": hz, "level_dbfs": level_dbfs, "dry": _rounded(dry), "wet": _rounded(wave + mean)}


def _twelfth_octaves(low: float, high: float) -> Array:
    """Return frequencies in steps of a twelfth of an octave within a sweep's band, without its edges."""
    count = int(12 * np.log2(0.98 * high / (1.1 * low)))
    hertz: Array = 1.1 * low * 2 ** (np.arange(count + 1) / 12)
    return hertz


def _rms(values: list[float]) -> float | None:
    return math.sqrt(sum(value**2 for value in values) / len(values)) if values else None


def _rounded(values: Array) -> list[float | None]:
    """Round to six digits; values that are not finite become None."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values.tolist()]
