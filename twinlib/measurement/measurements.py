"""Everything that a probe reel tells of a device or of its twin, by the same code, and how far the two are apart."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from twinlib.audio import Signal
from twinlib.db import db_to_amp
from twinlib.evaluation.baselines import noise_floor_esr
from twinlib.excitation.probe_reel import ProbeLayout, Section
from twinlib.measurement.dynamics import measure_burst, measure_noise, measure_ramp
from twinlib.measurement.harmonics import MASK_DB, Array, amplitudes, measure_sine, measure_sweep, response_length
from twinlib.measurement.intermodulation import measure_ccif, measure_multitone, measure_smpte
from twinlib.progress import Progress, no_progress

Read = Callable[[int, int], Signal]
"""Samples [start, stop) on the clock of the probe reel, float32 `(stop - start,)`, without the guard."""

COMPARED = (2, 3, 4, 5)
"""The harmonics by which a twin is judged,"""
COMPARED_LEVELS = (-30.0, -3.0)
"""at these levels in dBFS,"""
LEAST_DBC = -70.0
"""where the device's are louder than this."""
MOST_DEVIATION_DB = 1.0
"""How far a harmonic of the twin may be off before it is named."""
MOST_DEVIATION_DEGREES = 10.0
"""And its phase, relative to the fundamental, before it is counted: this costs as much of its error as 1.5 dB."""

IMPULSE_LEVEL_DBFS = -24.0
"""The sweep that tells the linear impulse response: soft for the device, loud against its noise."""

LOOP_POINTS = 128
LOOP_HERTZ = (100.0, 1245.0)

_MUSIC_SETTLE_SECONDS = 0.5


def measure(
    layout: ProbeLayout, read_dry: Read, read_wet: Read, withdrawn: Sequence[str] = (), progress: Progress = no_progress
) -> dict[str, Any]:
    """All measurements of one recording of a probe reel, as JSON; `read_dry` gives what was played.

    `sines` (`Sine`), `sweeps` (`Swept`, without the impulse response), `pairs`, `multitones`, `compression`, `bursts`,
    `noise`, `loops` (output over input in one period), `impulse_samples` (`response_length`), and `esr_floor`, the best
    error-to-signal ratio that any twin can reach on the music, from the excerpt that was played twice. Where tracks of
    that excerpt are `withdrawn`, it is not read: `esr_floor` is None and `music_withdrawn` names them. Progress counts
    the sections that are measured (`measured_sections`).
    """
    rate = layout.sample_rate

    def wet(section: Section) -> Signal:
        progress(1, section.kind)
        return read_wet(*(section.window or (section.start, section.stop)))

    sines, loops = [], []
    loudest = max(section.level_dbfs or 0.0 for section in layout.of("sine"))
    for section in layout.of("sine"):
        tone, window = section.tones[0], wet(section)
        sines.append(measure_sine(window, tone.cycles, rate, tone.dbfs))
        if section.level_dbfs == loudest and any(abs(tone.hz / hz - 1) < 0.05 for hz in LOOP_HERTZ):
            loops.append(_loop(window, tone.cycles, tone.hz, tone.dbfs))
    sweeps, impulse = [], np.zeros(1)
    for section in layout.of("sweep"):
        assert section.constant is not None
        assert section.frames is not None
        assert section.low_hz is not None
        assert section.high_hz is not None
        level = section.level_dbfs or 0.0
        progress(1, section.kind)
        span = (section.start, section.stop)
        band = (section.low_hz, section.high_hz)
        swept = measure_sweep(
            read_dry(*span), read_wet(*span), rate, level, section.constant, band, section.frames, _twelfths(*band)
        )
        if level == IMPULSE_LEVEL_DBFS:
            impulse = swept.impulse
        sweeps.append(
            {
                "level_dbfs": level,
                "hz": _rounded(swept.hz),
                "gain_db": _rounded(swept.gain_db),
                "degrees": _rounded(swept.degrees),
                "dbc": {str(order): _rounded(levels) for order, levels in swept.dbc.items()},
            }
        )
    pairs = []
    for section in layout.of("smpte", "ccif"):
        numbers, hertz = [tone.cycles for tone in section.tones], (section.tones[0].hz, section.tones[1].hz)
        way = measure_smpte if section.kind == "smpte" else measure_ccif
        pairs.append(asdict(way(wet(section), numbers, hertz, section.level_dbfs or 0.0)))
    multitones = []
    for section in layout.of("multitone"):
        cycles, hz, dbfs = zip(*((tone.cycles, tone.hz, tone.dbfs) for tone in section.tones), strict=True)
        multitones.append(asdict(measure_multitone(wet(section), cycles, hz, dbfs, section.level_dbfs or 0.0)))
    compression = [
        asdict(measure_ramp(wet(section), section.hz, rate, (section.from_dbfs or 0.0, section.level_dbfs or 0.0)))
        for section in layout.of("ramp")
    ]
    (burst,) = layout.of("burst")
    return {
        "sines": [asdict(sine) for sine in sines],
        "sweeps": sweeps,
        "pairs": pairs,
        "multitones": multitones,
        "compression": compression,
        "bursts": [asdict(step) for step in measure_burst(wet(burst), burst.hz, rate, burst.steps)],
        "noise": asdict(measure_noise(wet(layout.of("silence")[0]), rate)),
        "loops": loops,
        "impulse_samples": response_length(impulse),
        "esr_floor": None if withdrawn else _floor(layout, read_wet),
        "music_withdrawn": list(withdrawn),
    }


def measured_sections(layout: ProbeLayout) -> int:
    """How many sections `measure` reads before the music: the total for its progress."""
    return sum(section.kind not in ("marker", "silence", "music") for section in layout.sections) + 1


def _floor(layout: ProbeLayout, read_wet: Read) -> float:
    settle = round(_MUSIC_SETTLE_SECONDS * layout.sample_rate)
    first, second = (read_wet(section.start + settle, section.stop) for section in layout.of("music"))
    return noise_floor_esr(first, second)


def compare(device: dict[str, Any], twin: dict[str, Any]) -> dict[str, Any]:
    """How far the twin's harmonics (`COMPARED`) are from the device's, in dB, wherever these count.

    They count at `COMPARED_LEVELS`, above `LEAST_DBC` and above the device's noise. `compared` and `within` are numbers
    of harmonics, `worst_db` is the largest deviation (None if none counts), `misses` the ones beyond
    `MOST_DEVIATION_DB`, worst first. `within_degrees`, `worst_degrees` and `rms_degrees` say the same of their phases.
    """
    rows = []
    for ours, theirs in zip(twin["sines"], device["sines"], strict=True):
        if not COMPARED_LEVELS[0] - 1e-9 <= theirs["level_dbfs"] <= COMPARED_LEVELS[1] + 1e-9:
            continue
        for order in COMPARED[: len(theirs["dbc"])]:
            level, noise = theirs["dbc"][order - 2], theirs["noise_dbc"][order - 2]
            if level >= LEAST_DBC and level > noise + MASK_DB:
                off = ours["dbc"][order - 2] - level
                turned = ours["relative_degrees"][order - 2] - theirs["relative_degrees"][order - 2]
                about = {"hz": theirs["hz"], "level_dbfs": theirs["level_dbfs"], "harmonic": order}
                levels = {"device_dbc": level, "twin_dbc": ours["dbc"][order - 2], "off_db": off}
                rows.append({**about, **levels, "off_degrees": (turned + 180) % 360 - 180})
    rows.sort(key=lambda row: -abs(row["off_db"]))
    misses = [row for row in rows if abs(row["off_db"]) > MOST_DEVIATION_DB]
    degrees = [abs(row["off_degrees"]) for row in rows]
    return {
        "compared": len(rows),
        "within": len(rows) - len(misses),
        "worst_db": abs(rows[0]["off_db"]) if rows else None,
        "rms_db": _rms([row["off_db"] for row in rows]),
        "within_degrees": sum(one <= MOST_DEVIATION_DEGREES for one in degrees),
        "worst_degrees": max(degrees, default=None),
        "rms_degrees": _rms(degrees),
        "misses": misses,
    }


def _rms(values: list[float]) -> float | None:
    return math.sqrt(sum(value**2 for value in values) / len(values)) if values else None


def _loop(window: Signal, cycles: int, hz: float, level_dbfs: float) -> dict[str, Any]:
    """Output over input in one period, all periods averaged, in phase with the fundamental: a loop tells memory."""
    found = amplitudes(window)
    angle = 2 * np.pi * np.arange(LOOP_POINTS) / LOOP_POINTS
    orders = np.arange(1, (len(found) - 1) // cycles + 1)
    turned = found[orders * cycles] * np.exp(-1j * orders * np.angle(found[cycles]))
    wave = (turned[:, None] * np.exp(1j * orders[:, None] * angle)).imag.sum(axis=0)
    mean = float(np.mean(window, dtype=np.float64))
    size = db_to_amp(level_dbfs)
    return {"hz": hz, "level_dbfs": level_dbfs, "dry": _rounded(size * np.sin(angle)), "wet": _rounded(wave + mean)}


def _twelfths(low: float, high: float) -> Array:
    """Frequencies a twelfth of an octave apart, within the band of a sweep, its edges left out."""
    count = int(12 * np.log2(0.98 * high / (1.1 * low)))
    hertz: Array = 1.1 * low * 2 ** (np.arange(count + 1) / 12)
    return hertz


def _rounded(values: Array) -> list[float | None]:
    """Six digits: more would be noise; what is not a number is None."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values.tolist()]
