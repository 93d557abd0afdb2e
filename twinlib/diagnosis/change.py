"""The likely cause of a change of a device, from two recordings of one excerpt with steps of level."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from twinlib.diagnosis.repeats import BANDS_HZ, Array, Unexplained
from twinlib.findings import Finding, Span, suspect

Mask = npt.NDArray[np.bool_]

MIN_SNR_DB = 6.0
"""Level of a band above noise from which it is compared."""

UNIFORM_DB, UNIFORM_SHARE = 0.15, 0.2
"""Scatter of the changes in dB, or relative to their mean, below which they are a change of gain alone."""

TONE_SHARE = 0.05
"""Energy of the changes in dB that the means of the bands leave, up to which they are a change of tone."""

RESOLUTION, FILTER_RESOLUTION, NOISE_RATIO = 5e-4, 3e-3, 0.3
"""Share of the energy of a difference that counts as nothing; the share of its filtered part, which the frames of
spectra limit; and the multiple of its noise."""

LEVEL_SHARE = 0.02
"""Share of the energy of a difference that a gain leaves, up to which it is a change of level."""

FILTERED_SHARE, DRIVEN_SHARE = 0.03, 0.08
"""Share of the energy of a difference that a filter leaves, relative to that of the device: up to the first, the device
is filtered otherwise; from the second on, it is driven otherwise."""

DRIVEN_GAIN = 1.0
"""That relative share of another drive of a nearly linear device: mostly its gain changes, and a little distortion."""

RANDOM_SHARE, MAX_DISTORTION = 0.9, 0.4
"""Share of the energy of a difference that neither a gain nor a filter explains, for the modulation of a device whose
distortion has at most the second share of its energy: another drive changes its gain."""

SOFT_SPREAD_DB, SOFT_SPREAD_SHARE = 0.3, 0.25
"""Scatter over the bands of the softest step, in dB and relative to the largest change, from which the tone changed:
there a drive is a gain."""

_ITERATIONS = 5

Kind = Literal["level", "drive", "level-or-drive", "tone", "any", "random"]


@dataclass(frozen=True)
class Change:
    """A change of a device, in dB where it is largest: for a tone, in the band around `hertz`.

    The kind `any` is a change of drive or tone, `random` a modulation.
    """

    kind: Kind
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
        if self.kind == "level-or-drive":
            return suspect("witness-level-or-drive", span, change_db=change_db)
        if self.kind == "tone":
            return suspect("witness-tone", span, change_db=change_db, hertz=self.hertz)
        if self.kind == "random":
            return suspect("witness-modulated", span)
        return suspect("witness-changed", span, change_db=change_db)


def find_kind(
    change: Unexplained, device: Unexplained, noise: float, by_cell: Array, levels: Array, clear: Mask
) -> Kind:
    """Return the likely cause of a change.

    `change` explains the difference of the signals, `device` the signal by the dry one, and `noise` is the energy of
    noise in the difference. `by_cell` is the change in dB `(steps, bands)`, `levels` are the levels in dBFS
    `(any, steps, bands)`, and `clear` marks the cells above noise.
    """
    total = max(change.total - noise, 1e-12)
    by_gain, by_filter = ((left - noise) / total for left in (change.gain, change.filter))
    distortion = device.filter / (device.total + 1e-30)
    resolution = RESOLUTION + FILTER_RESOLUTION * by_gain + NOISE_RATIO * noise / total
    if min(by_gain, by_filter) > RANDOM_SHARE and distortion < MAX_DISTORTION:
        return "random"
    if by_filter < max(FILTERED_SHARE * distortion, resolution):
        if by_gain > LEVEL_SHARE + resolution:
            return "tone"
        # What drives a linear device otherwise is a gain, too.
        return "level" if DRIVEN_GAIN * distortion > 2.0 * resolution else "level-or-drive"
    if by_filter < DRIVEN_SHARE * distortion:
        return "any"
    softest = int(np.argmin(np.where(clear.any(axis=1), levels.mean(axis=(0, 2)), np.inf)))
    spread = float(np.std(by_cell[softest][clear[softest]]))
    is_tone = spread > max(SOFT_SPREAD_DB, SOFT_SPREAD_SHARE * float(np.abs(by_cell[clear]).max()))
    return "any" if is_tone else "drive"


def clear_cells(levels: Array, noise: Array) -> Mask:
    """Return the mask `(steps, bands)` of levels in dBFS `(any, steps, bands)` above a noise power `(bands,)`."""
    clear: Mask = np.all(levels > 10.0 * np.log10(noise + 1e-16) + MIN_SNR_DB, axis=0)
    return clear if clear.any() else np.ones_like(clear)


def describe_change(change: Array, clear: Mask, kind: Kind | None = None) -> Change:
    """Return the `change` in dB `(steps, bands)` in the `clear` cells, with the likely cause unless it is known.

    A gain changes all steps and bands equally, a tone control changes the bands equally in all steps, and a drive
    changes the steps differently.
    """
    by_step, by_band = _means(change, clear, axis=1), _means(change, clear, axis=0)
    mean = float(change[clear].mean())
    energy = float(np.mean(np.square(change[clear])))
    rms = float(np.sqrt(energy))
    if kind is None:
        scatter = float(np.std(change[clear]))
        left = float(np.mean(np.square((change - by_band)[clear])))
        is_level = scatter < max(UNIFORM_DB, UNIFORM_SHARE * abs(mean))
        kind = "level" if is_level else "tone" if left < TONE_SHARE * energy else "drive"
    if kind in ("level", "level-or-drive"):
        return Change(kind, mean, 0.0, rms)
    if kind == "tone":
        band = int(np.argmax(np.abs(by_band)))
        hertz = float(round(np.sqrt(BANDS_HZ[band] * BANDS_HZ[band + 1]), -1))
        return Change(kind, float(by_band[band]), hertz, rms)
    largest = by_step if kind == "drive" else change[clear]
    return Change(kind, float(largest[np.argmax(np.abs(largest))]), 0.0, rms)


def _means(values: Array, clear: Mask, axis: int) -> Array:
    """Return the means of the clear cells along an axis; 0 where there is none."""
    return np.asarray(np.where(clear, values, 0.0).sum(axis=axis) / np.maximum(1, clear.sum(axis=axis)))
