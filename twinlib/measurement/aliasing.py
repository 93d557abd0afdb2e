"""Aliasing of a twin: what its output holds between the harmonics of steady sines."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from twinlib.audio import Signal
from twinlib.measurement.harmonics import play_sine

ALIASING_HERTZ = (1000.0, 2000.0, 3000.0, 5000.0, 8000.0, 11000.0, 15000.0)
"""Nominal frequencies of the sines; those below 0.45 of the sample rate count."""

ALIASING_LEVELS = (0.0, -12.0)
"""Peak levels of the sines in dBFS."""


def measure_aliasing(process: Callable[[Signal], Signal], sample_rate: int) -> list[dict[str, Any]]:
    """Return `hz`, `level_dbfs` and `alias_db` (`SineResponse`) of a twin for loud sines from 1 to 15 kHz.

    `process` maps samples `(n,)` to as many. The sines of the probe reel, by which a device is measured, end at 5 kHz
    and -3 dBFS.
    """
    rows = []
    for hz in ALIASING_HERTZ:
        if hz >= 0.45 * sample_rate:
            continue
        for level in ALIASING_LEVELS:
            response = asdict(play_sine(process, sample_rate, hz, level))
            rows.append({key: response[key] for key in ("hz", "level_dbfs", "alias_db")})
    return rows
