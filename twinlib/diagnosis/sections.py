"""Compare two sections of a take under the hypotheses of another level, another drive and another tone.

A model of the device is identified on one section and predicts the other: with a constant gain (another level), for a
louder or softer dry signal (another drive), or with a gain for each band (another tone). The hypothesis with the
smallest error is the likeliest cause; hypotheses with similar errors cannot be separated.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from twinlib.db import amp_to_db
from twinlib.diagnosis.device_model import RUN_WINDOWS, SOFT_SHARE, identify_device
from twinlib.diagnosis.observations import relative_error
from twinlib.diagnosis.spectra import Complex, Grid, Real, read_spectra
from twinlib.intervals import Range
from twinlib.resampling import Channel, TimeMap

OCTAVES = np.arange(-4, 5) / 3.0
"""Tried ratios of the level at the input of the device, in octaves (6 dB)."""

SHIFTS = np.arange(-20, 21) / 20.0
"""Changes of the drive in octaves that are compared."""

LIKELY_SHIFTS = 0.2, 0.9
"""Limits of the change of the drive that a change of the level by so many octaves suggests."""

LEVEL_SHARE, DRIVE_SHARE = 0.5, 0.8
"""Measured change of the drive relative to that one, below which the level and above which the drive was changed."""

MIN_RESOLUTION = 0.05
"""Variation of the log error with that change, below which drive and level cannot be separated."""

TONE_BANDS = 16
"""Bands, equally wide on a logarithmic axis, that have their own gain under the hypothesis of another tone."""

MAX_OTHER_WINDOWS = 80
"""Windows of the other section that are predicted."""

MIN_WINDOWS = 24
"""Windows of a section, 1.1 s, from which it is compared."""

AROUND_WINDOWS = 128
"""Windows before and after a section, 6 s, whose model is compared with its own."""

CLEAR_RATIO = 0.7
"""Ratio of two errors from which the hypothesis with the smaller one is likelier."""

SAME_DB = 0.3
"""Change of the level up to which two sections are the same, if their tones do not differ either."""

Cause = Literal["same", "level", "drive", "level-or-drive", "tone"]


@dataclass(frozen=True)
class Comparison:
    """The likeliest cause of the difference of two sections, and the gain of the second one relative to the first."""

    cause: Cause
    gain_db: float


@dataclass(frozen=True)
class _Errors:
    """The errors under each hypothesis relative to that of another level, and the gain of the predicted section.

    `drives` are the log errors for each ratio of `OCTAVES`, and `own_drives` those in the section of the model.
    """

    same: float
    tone: float
    drives: Real
    own_drives: Real
    gain_db: float

    def measure_shift(self) -> tuple[float, float]:
        """Return the change of the drive in octaves, the shift of the curve of errors, and the height of that curve.

        Noise makes the curve of a soft section flatter.
        """
        fits = [self._match(shift) for shift in SHIFTS.tolist()]
        best = int(np.argmin([rest for rest, _ in fits]))
        return float(SHIFTS[best]), fits[best][1] * float(np.ptp(self.own_drives[np.abs(OCTAVES) < 0.7]))

    def _match(self, shift: float) -> tuple[float, float]:
        """Return the variance that the shifted curve of the model's section leaves, and its scale."""
        inside = np.abs(OCTAVES - shift) <= OCTAVES[-1]
        own = np.interp(OCTAVES[inside] - shift, OCTAVES, self.own_drives)
        own, drives = own - own.mean(), self.drives[inside] - self.drives[inside].mean()
        scale = min(max(float(own @ drives) / (float(own @ own) + 1e-12), 0.0), 1.5)
        return float(np.mean(np.square(drives - scale * own)) / (np.mean(np.square(drives)) + 1e-12)), scale


def compare_sections(
    dry: Channel, wet: Channel, time_map: TimeMap, grid: Grid, first: Range, second: Range
) -> Comparison | None:
    """Compare two ranges of windows, each with a model of the other; None if one is too short or silent.

    A model of softer programme does not predict louder programme, so that the clearer direction counts.
    """
    if min(stop - start for start, stop in (first, second)) < MIN_WINDOWS:
        return None
    forth = _predict_section(dry, wet, time_map, grid, first, second)
    back = _predict_section(dry, wet, time_map, grid, second, first)
    if forth is None or back is None:
        return None
    gain_db = 0.5 * (forth.gain_db - back.gain_db)
    return Comparison(_likeliest((forth, back), gain_db), gain_db)


def own_model_ratio(dry: Channel, wet: Channel, time_map: TimeMap, grid: Grid, section: Range) -> float:
    """Return the error of a model of a section itself, relative to that of a model of the windows around it.

    The two models leave alike errors of a foreign sound, which is unrelated to the dry signal, but not of programme
    that the rest of the take does not hold.
    """
    first, stop = section
    errors = []
    for start, end in (section, (max(0, first - AROUND_WINDOWS), min(grid.count, stop + AROUND_WINDOWS))):
        model = identify_device(
            dry, wet, time_map, replace(grid, start=grid.start + start * grid.hop, count=end - start)
        )
        if model is None:
            return 1.0
        spectra = read_spectra(dry, wet, time_map, grid, first, stop, model.scale)
        recorded, predicted = spectra.wet, model.predict(spectra)
        errors.append(float(np.square(np.abs(recorded - predicted)).sum()) + 1e-20)
    return errors[0] / errors[1]


def _predict_section(
    dry: Channel, wet: Channel, time_map: TimeMap, grid: Grid, known: Range, other: Range
) -> _Errors | None:
    """Predict the windows `other` with a model of the windows `known`."""
    part = replace(grid, start=grid.start + known[0] * grid.hop, count=known[1] - known[0])
    model = identify_device(dry, wet, time_map, part)
    if model is None:
        return None
    own = read_spectra(dry, wet, time_map, part, 0, min(part.count, MAX_OTHER_WINDOWS), model.scale)
    noise = relative_error(own, model.predict(own))

    def read(section: Range, drive: float) -> tuple[Complex, Complex, Real]:
        spectra = [read_spectra(dry, wet, time_map, grid, *run, model.scale / drive) for run in _runs(section)]
        recorded = np.concatenate([each.wet for each in spectra])
        energy = np.square(np.abs(recorded)).sum(axis=1, keepdims=True)
        weight = 1.0 / (energy + SOFT_SHARE * np.median(energy) + 1e-20) / noise
        return recorded, np.concatenate([model.predict(each) for each in spectra]), weight

    def errors(section: Range) -> Real:
        return np.log([_fit(*read(section, drive), 1)[0] + 1e-20 for drive in (2.0**OCTAVES).tolist()])

    recorded, predicted, weight = read(other, 1.0)
    level, gain = _fit(recorded, predicted, weight, 1)
    level += 1e-20
    tone, _ = _fit(recorded, predicted, weight, TONE_BANDS)
    same = float((weight * np.square(np.abs(recorded - predicted))).sum())
    drives = errors(other) - float(np.log(level))
    return _Errors(same / level, tone / level, drives, errors(known), amp_to_db(max(gain, 1e-6)))


def _likeliest(directions: tuple[_Errors, _Errors], gain_db: float) -> Cause:
    """Return the likeliest cause, given the errors of both directions."""
    same = max(errors.same for errors in directions)
    tone = min(errors.tone for errors in directions)
    drive = min(float(np.exp(errors.drives.min())) for errors in directions)
    if abs(gain_db) < SAME_DB and CLEAR_RATIO * same < min(1.0, tone, drive):
        return "same"
    if tone < CLEAR_RATIO * min(1.0, drive):
        return "tone"
    return _separate(directions, gain_db)


def _separate(directions: tuple[_Errors, _Errors], gain_db: float) -> Cause:
    """Return whether level or drive have changed. Devices compress: the drive changes at least as much as the level."""
    (forth, height), (back, other_height) = (errors.measure_shift() for errors in directions)
    shift, height = (forth, height) if height > other_height else (-back, other_height)
    likely = float(np.clip(abs(gain_db) / amp_to_db(2.0), *LIKELY_SHIFTS))
    if height * likely < MIN_RESOLUTION:
        return "level-or-drive"
    measured = shift * float(np.sign(gain_db)) if abs(gain_db) > SAME_DB else abs(shift)
    if measured < LEVEL_SHARE * likely:
        return "level"
    return "drive" if measured > DRIVE_SHARE * likely else "level-or-drive"


def _fit(recorded: Complex, predicted: Complex, weight: Real, bands: int) -> tuple[float, float]:
    """Return the weighted error that one complex gain for each band leaves, and the gain of all bands together."""
    product, power = (
        (weight * predicted.conj() * recorded).sum(axis=0),
        (weight * np.square(np.abs(predicted))).sum(axis=0),
    )
    total = float((weight * np.square(np.abs(recorded))).sum())
    edges = np.unique(np.geomspace(1, len(power) + 1, bands + 1).round().astype(int) - 1)
    products, powers = (np.add.reduceat(each, edges[:-1]) for each in (product, power))
    explained = float((np.square(np.abs(products)) / (powers + 1e-20)).sum())
    return total - explained, float(np.abs(product.sum()) / (power.sum() + 1e-20))


def _runs(section: Range) -> list[Range]:
    """Return runs of windows that are spread over a section."""
    first, stop = section
    count = max(1, min(stop - first, MAX_OTHER_WINDOWS) // RUN_WINDOWS)
    starts = np.unique(np.linspace(first, max(first, stop - RUN_WINDOWS), count).astype(int)).tolist()
    return [(start, min(start + RUN_WINDOWS, stop)) for start in starts]
