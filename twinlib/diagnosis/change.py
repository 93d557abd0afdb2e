"""The likely cause of a change of a device, from the levels of one excerpt by step of level and frequency band."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from twinlib.db import db_to_amp
from twinlib.diagnosis.repeats import BANDS_HZ, Array
from twinlib.findings import Finding, Span, suspect

Mask = npt.NDArray[np.bool_]

MIN_SNR_DB = 6.0
"""Level of a band above noise from which it is compared."""

UNIFORM_DB, UNIFORM_SHARE = 0.15, 0.2
"""Scatter of a change in dB, or relative to its mean, below which it is a change of gain alone."""

MIN_LEVEL_SHARE = 0.25
"""Share of the energy of a difference that a change of gain must explain."""

_ITERATIONS = 5


@dataclass(frozen=True)
class Change:
    """A change of level, drive or tone, in dB where it is largest: for a tone, in the band around `hertz`."""

    kind: Literal["level", "drive", "tone"]
    change_db: float
    hertz: float
    rms_db: float
    """Over all steps and bands."""

    def finding(self, span: Span) -> Finding:
        """Return the finding on a change at a place."""
        change_db = round(self.change_db, 2)
        if self.kind == "level":
            return suspect("witness-level", span, change_db=change_db)
        if self.kind == "drive":
            return suspect("witness-drive", span, change_db=change_db)
        return suspect("witness-tone", span, change_db=change_db, hertz=self.hertz)


def describe_change(change: Array, levels: Array, noise: Array, energy: float = 0.0) -> Change:
    """Return the likely cause of a `change` in dB `(steps, bands)`.

    `levels` are all compared levels in dBFS `(any, steps, bands)`, `noise` is the noise power `(bands,)`, and `energy`
    that of the difference of the signals relative to them, if known. The change is divided into a mean, a part by step
    and a part by band. A drive changes the response to soft and loud steps differently, a tone control that to low and
    high bands.
    """
    floor = 10.0 * np.log10(noise + 1e-16) + MIN_SNR_DB
    clear: Mask = np.all(levels > floor, axis=0)
    if not clear.any():
        clear = np.ones_like(clear)
    by_step, by_band = np.zeros(len(change)), np.zeros(change.shape[1])
    for _ in range(_ITERATIONS):
        by_step = _means(change - by_band, clear, axis=1)
        by_band = _means(change - by_step[:, None], clear, axis=0)
    mean = float(change[clear].mean())
    steps, bands = clear.any(axis=1), clear.any(axis=0)
    drive, tone = float(np.std(by_step[steps])), float(np.std(by_band[bands]))
    rms = float(np.sqrt(np.mean(np.square(change[clear]))))
    is_uniform = max(drive, tone) < max(UNIFORM_DB, UNIFORM_SHARE * abs(mean))
    if is_uniform and (db_to_amp(abs(mean)) - 1.0) ** 2 >= MIN_LEVEL_SHARE * energy:
        return Change("level", mean, 0.0, rms)
    if drive >= tone:
        totals = _means(change, clear, axis=1)
        return Change("drive", float(totals[np.argmax(np.abs(totals))]), 0.0, rms)
    totals = _means(change, clear, axis=0)
    band = int(np.argmax(np.abs(totals)))
    return Change("tone", float(totals[band]), float(round(np.sqrt(BANDS_HZ[band] * BANDS_HZ[band + 1]), -1)), rms)


def _means(values: Array, clear: Mask, axis: int) -> Array:
    """Return the means of the clear cells along an axis; 0 where there is none."""
    return np.asarray(np.where(clear, values, 0.0).sum(axis=axis) / np.maximum(1, clear.sum(axis=axis)))
