"""What each window shows: the gains relative to the device model, and the dry signal that they depend on."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from twinlib.diagnosis.device_model import DeviceModel
from twinlib.diagnosis.spectra import Complex, Grid, Real, Spectra
from twinlib.estimation import mad_sigma
from twinlib.intervals import Range

HISTORY_SECONDS = (0.1, 0.4, 1.5)
"""Time constants of the past level of the dry signal, on which the gain of a compressor depends."""

ENERGY_FLOOR = 0.01
"""Share of the median energy that is added to every energy, so that silence does not count."""

RESIDUAL_FLOOR = 1e-7
"""Energy, relative to the median of the wet signal, that is added to residuals: dither does not count."""

MIN_LEVEL = 0.02
"""Level of the dry signal relative to its rms, below which a window counts as silent."""


@dataclass(frozen=True)
class Observations:
    """The windows of a grid, float64.

    `gain` is the wet signal relative to its prediction, `energy` half the log ratio of their energies, and `weight` the
    energy of the prediction, all `(bands + 1, windows)`: each band and then all together. Distortion that the model
    cannot predict disturbs the energy less than the gain. `level` is the dry rms, `tilt` the log of the dry energy of
    each band `(bands, windows)`, `correlation` that of wet and dry spectra without any filter, and
    `predicted_correlation` that of predicted and dry spectra. `residual` is the log of the energy of the wet signal in
    each band that neither the prediction nor its gain explains (NaN where it is not known), `wet_energy` the energy of
    the wet signal, and `match` the correlation of wet and predicted spectra.
    """

    gain: Real
    energy: Real
    weight: Real
    level: Real
    tilt: Real
    correlation: Real
    predicted_correlation: Real
    residual: Real
    wet_energy: Real
    match: Real

    @classmethod
    def concatenate(cls, parts: list["Observations"]) -> "Observations":
        """Return the windows of all parts."""
        columns = ([getattr(part, column.name) for part in parts] for column in fields(cls))
        return cls(*(np.concatenate(column, axis=-1) for column in columns))

    @property
    def audible(self) -> Real:
        """1 for windows with dry signal, else 0."""
        return (self.level > MIN_LEVEL).astype(np.float64)

    def without(self, windows: Sequence[Range]) -> "Observations":
        """Return the observations with some windows inaudible, so that no check counts them."""
        level = self.level.copy()
        for first, stop in windows:
            level[first:stop] = 0.0
        return replace(self, level=level)

    def conditions(self, hop_seconds: float) -> Real:
        """Return what the response of an unchanged device may depend on, `(windows, conditions)`.

        These are the level, its past with several time constants, their squares, and the colour of the dry signal.
        """
        now = np.log(self.level + 1e-2)
        columns = [now, now**2]
        for seconds in HISTORY_SECONDS:
            past = 0.5 * np.log(_smoothed_past(np.square(self.level), np.exp(-hop_seconds / seconds)) + 1e-4)
            columns += [past, past**2]
        return np.array([*columns, *(self.tilt[1:] - self.tilt.mean(axis=0))]).T


def observe(model: DeviceModel, spectra: Spectra, predicted: Complex, noise: Real, grid: Grid) -> Observations:
    """Return what windows show; `noise` is the mean relative error of the prediction in each bin."""
    wet, linear = spectra.wet, spectra.functions[0]
    weight = (1.0 / noise).astype(np.float32)
    product, power = weight * (predicted.conj() * wet).real, weight * np.square(np.abs(predicted))
    dry_power = np.square(np.abs(linear))
    recorded = weight * np.square(np.abs(wet))
    sums = np.array(
        [[part[:, band].sum(axis=1) for part in (product, power, recorded)] for band in (*grid.bands, slice(None))],
        np.float64,
    ).transpose(1, 0, 2)
    floor = ENERGY_FLOOR * np.median(sums[1:], axis=2, keepdims=True) + 1e-20
    dry_energy = np.array([dry_power[:, band].sum(axis=1) for band in grid.bands], np.float64)

    def correlation(output: Complex) -> Real:
        cross, energy = np.abs((linear.conj() * output).sum(axis=1)), np.square(np.abs(output)).sum(axis=1)
        return np.asarray(cross / np.sqrt(dry_power.sum(axis=1) * energy + 1e-20), np.float64)

    gain = sums[0] / (sums[1] + 1e-20)
    wet_energy = np.square(np.abs(wet)).sum(axis=1, dtype=np.float64)
    return Observations(
        gain=gain,
        energy=0.5 * np.log((sums[2] + floor[1]) / (sums[1] + floor[0])),
        weight=sums[1],
        level=spectra.level,
        tilt=np.log(dry_energy + 1e-4 * grid.size),
        correlation=correlation(wet),
        predicted_correlation=correlation(predicted),
        residual=np.log(_residual_energy(wet, predicted, gain, grid) + RESIDUAL_FLOOR * np.median(wet_energy)),
        wet_energy=wet_energy,
        match=sums[0][-1] / np.sqrt(sums[1][-1] * sums[2][-1] + 1e-20),
    )


def _residual_energy(wet: Complex, predicted: Complex, gain: Real, grid: Grid) -> Real:
    """Return the energy of `wet - gain * predicted` in each band, `(bands, windows)`."""
    rows = []
    for number, band in enumerate(grid.bands):
        rest = wet[:, band] - gain[number].astype(np.float32)[:, None] * predicted[:, band]
        rows.append(np.square(np.abs(rest)).sum(axis=1, dtype=np.float64))
    return np.array(rows)


def relative_error(spectra: Spectra, predicted: Complex) -> Real:
    """Return the mean error of the prediction in each bin, relative to the energy of each window."""
    energy = np.square(np.abs(spectra.wet)).sum(axis=1, keepdims=True)
    share = np.square(np.abs(spectra.wet - predicted)) / (energy + 1e-3 * np.median(energy) + 1e-20)
    return np.asarray(share.mean(axis=0) + 1e-9, np.float64)


def standardise(columns: Real) -> Real:
    """Return each column with zero mean and unit variance."""
    return np.asarray((columns - columns.mean(axis=0)) / (columns.std(axis=0) + 1e-9))


def limit_outliers(series: Real, inside: npt.NDArray[np.bool_]) -> Real:
    """Return a series `(windows,)` within six deviations of its median, both over the windows `inside`."""
    if not inside.any():
        return series
    middle = float(np.median(series[inside]))
    limit = 6.0 * mad_sigma(series[inside] - middle) + 1e-9
    return np.clip(series, middle - limit, middle + limit)


def _smoothed_past(values: Real, pole: float) -> Real:
    out, state = np.empty_like(values), float(values[0])
    for number, value in enumerate(values.tolist()):
        state += (1.0 - pole) * (value - state)
        out[number] = state
    return out
