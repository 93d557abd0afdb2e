"""What an exported twin says of itself: where it comes from, how good it is, how late it is, how loud it plays."""

import math
from datetime import datetime
from typing import Any

import numpy as np

from twinlib.audio import Signal
from twinlib.contracts import EXPORTED_TWIN
from twinlib.db import amp_to_db, db_to_amp
from twinlib.model.streaming import Stream
from twinlib.model.twin import Twin

LEVEL = -14.968
"""dBFS rms of the noise by which loudness is measured: that of Neural Amp Modeler's `loudness_input.wav`."""


def card(twin: Twin, date: datetime | None) -> dict[str, Any]:
    """What to tell of a twin in any format: JSON values, the same for equal twins and dates.

    `latency_samples` is the guard: the output of an exported twin is late by it, for a player cannot look ahead.
    `warm_up_samples` of silence bring a player that starts from nothing to the state of `Stream`. `date` is when the
    twin was trained, None where that is not known: it cannot stand in the twin, which depends on its data alone.
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
    }


def loudness(twin: Twin) -> float | None:
    """The level, in dBFS rms, of what the twin makes of one second of pink noise, to 0.01 dB; None if it is silent.

    Neural Amp Modeler measures `metadata.loudness` so, with a file of its own; players level their output by it. Pink
    noise of the same level stands for that file, at the twin's own rate; on untrained networks the two figures lay up
    to 1.7 dB apart, mostly 0.6 dB.
    """
    wet = Stream(twin).process(pink_noise(twin.sample_rate)).astype(np.float64)
    rms = math.sqrt(float(np.mean(wet**2)))
    return round(amp_to_db(rms), 2) if rms > 0 and math.isfinite(rms) else None


def pink_noise(sample_rate: int) -> Signal:
    """One second of pink noise `(sample_rate,)`, 20 Hz to 20 kHz, at `LEVEL`: always the same samples."""
    frequencies = np.fft.rfftfreq(sample_rate, 1 / sample_rate)
    heard = (frequencies >= 20) & (frequencies <= 20000)
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, len(frequencies))
    spectrum = np.where(heard, np.exp(1j * phases) / np.sqrt(np.maximum(frequencies, 1)), 0)
    noise = np.fft.irfft(spectrum, sample_rate)
    noise *= db_to_amp(LEVEL) / np.sqrt(np.mean(noise**2))
    return noise.astype(np.float32)
