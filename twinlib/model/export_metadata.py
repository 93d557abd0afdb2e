"""Metadata of an exported twin: origin, accuracy, latency, loudness."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np

from twinlib.audio import Signal
from twinlib.contracts import EXPORTED_TWIN
from twinlib.db import amp_to_db, db_to_amp
from twinlib.model.streaming import Stream
from twinlib.model.twin import Twin

PINK_NOISE_DBFS = -14.968
"""RMS level of the noise for loudness: that of Neural Amp Modeler's `loudness_input.wav`."""


def export_metadata(
    twin: Twin,
    date: datetime | None,
    card: Mapping[str, Any] | None = None,
    verdict: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the metadata of a twin for any format: JSON values, equal for equal twins and dates.

    `latency_samples` is the guard: a real-time player cannot look ahead, so the delay remains in the output.
    `warm_up_samples` of silence bring an empty player to the initial state of `Stream`. `date` is the time of training,
    None if unknown; the twin does not store it, so that equal data give equal twins. `card` is the device card,
    `verdict` the verdict of the evaluation on the twin and on each of its takes; both are empty if unknown.
    """
    return {
        "contract": EXPORTED_TWIN,
        "device": twin.device,
        "model": twin.model,
        "dataset": twin.dataset,
        "provenance": twin.provenance,
        "date": None if date is None else date.isoformat(timespec="seconds"),
        "sample_rate": twin.sample_rate,
        "latency_samples": twin.guard_samples,
        "receptive_field": twin.network.receptive_field,
        "warm_up_samples": twin.network.receptive_field - 1,
        "validation_esr": twin.metadata.get("valid_esr"),
        "loudness_db": loudness(twin),
        "network": twin.network.model_dump(mode="json"),
        "training": dict(twin.metadata),
        "device_card": dict(card or {}),
        "verdict": dict(verdict or {}),
    }


def loudness(twin: Twin) -> float | None:
    """Return the output level for one second of pink noise, dBFS rms rounded to 0.01 dB; None if the output is silent.

    Corresponds to `metadata.loudness` of Neural Amp Modeler, by which players level their output. Pink noise at the
    twin's sample rate replaces NAM's input file: on untrained networks the two differ by 0.6 dB typically, 1.7 dB at
    most.
    """
    wet = Stream(twin).process(pink_noise(twin.sample_rate)).astype(np.float64)
    rms = math.sqrt(float(np.mean(wet**2)))
    return round(amp_to_db(rms), 2) if rms > 0 and math.isfinite(rms) else None


def pink_noise(sample_rate: int) -> Signal:
    """Return one second of deterministic pink noise `(sample_rate,)`, 20 Hz to 20 kHz, at `PINK_NOISE_DBFS`."""
    frequencies = np.fft.rfftfreq(sample_rate, 1 / sample_rate)
    audible = (frequencies >= 20) & (frequencies <= 20000)
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, len(frequencies))
    spectrum = np.where(audible, np.exp(1j * phases) / np.sqrt(np.maximum(frequencies, 1)), 0)
    noise = np.fft.irfft(spectrum, sample_rate)
    noise *= db_to_amp(PINK_NOISE_DBFS) / np.sqrt(np.mean(noise**2))
    return noise.astype(np.float32)
