"""Aliasing of a twin: what its output holds between the harmonics of steady sines."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import numpy as np

from twinlib.audio import Signal
from twinlib.db import db_to_amp
from twinlib.measurement.harmonics import measure_sine

ALIASING_HERTZ = (1000.0, 2000.0, 3000.0, 5000.0, 8000.0, 11000.0, 15000.0)
"""Nominal frequencies of the sines; those below 0.45 of the sample rate count."""

ALIASING_LEVELS = (0.0, -12.0)
"""Peak levels of the sines in dBFS."""

_SETTLE_SECONDS, _WINDOW = 0.25, 1 << 14


def measure_aliasing(process: Callable[[Signal], Signal], sample_rate: int) -> list[dict[str, Any]]:
    """Return `hz`, `level_dbfs` and `alias_db` (`SineResponse`) of a twin for loud sines from 1 to 15 kHz.

    `process` maps samples `(n,)` to as many. The sines of the probe reel, by which a device is measured, end at 5 kHz
    and -3 dBFS.
    """
    settle = round(_SETTLE_SECONDS * sample_rate)
    time = np.arange(settle + _WINDOW) / sample_rate
    rows = []
    for hz in ALIASING_HERTZ:
        if hz >= 0.45 * sample_rate:
            continue
        # With an odd number of periods in a power of two, no alias coincides with a harmonic.
        cycles = 2 * round((hz * _WINDOW / sample_rate - 1) / 2) + 1
        for level in ALIASING_LEVELS:
            tone = db_to_amp(level) * np.sin(2 * np.pi * cycles * sample_rate / _WINDOW * time)
            response = measure_sine(process(tone.astype(np.float32))[settle:], cycles, sample_rate, level)
            rows.append({key: asdict(response)[key] for key in ("hz", "level_dbfs", "alias_db")})
    return rows
