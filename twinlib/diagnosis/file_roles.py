"""Whether the wet file is the output of a device for the dry file, not the dry signal itself or the device's input."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

from twinlib.db import amp_to_db
from twinlib.diagnosis.spectra import Grid, Real, read_spectra
from twinlib.findings import Finding, suspect
from twinlib.resampling import Channel, TimeMap

RUNS, RUN_WINDOWS = 8, 32
"""Runs of consecutive windows that are compared, spread over the programme."""

MAX_ERROR = 1e-5
"""Share of the energy, -50 dB, that a gain or a filter may leave: less than any audible distortion."""

MAX_RIPPLE_DB = 1.0
"""Ripple of a flat response, from the lowest to the highest band."""

MIN_POWER = 1e-4
"""Power of the dry signal in a band, relative to the loudest, from which its response is known..."""

MIN_LEVEL_DB = 40.0
"""...and the level of a window below the loudest down to which its level counts."""

BAND_BINS = 8
"""Bins of a band of the response."""

MIN_GROWTH, MIN_PEAKS = 1.01, 1.05
"""Growth of the wet level in dB for 1 dB of the dry level, and ratio of the kurtosis of the wet signal to that of its
linear prediction, that no distortion exceeds both: it compresses, and rounds peaks. The devices of the tests and a Klon
are at 0.999 and 1.00 at most, and with exchanged files at 1.016 and 1.07 at least, if they distort by 1 %."""

MAX_UNEXPLAINED = 0.6
"""Error of the linear prediction up to which the two are meaningful."""

MIN_WINDOWS = 32
"""Windows with sound from which the growth is known."""


@dataclass(frozen=True)
class _Windows:
    """Spectra of dry and wet windows, `(windows, bins)`; `cross / power` is the linear response, `(bins,)`."""

    dry: npt.NDArray[np.complex128]
    wet: npt.NDArray[np.complex128]
    power: Real
    cross: npt.NDArray[np.complex128]
    grid: Grid

    @property
    def predicted(self) -> npt.NDArray[np.complex128]:
        """What the best linear filter makes of the dry windows."""
        return np.asarray(self.dry * self.cross / (self.power + 1e-30))

    def error(self, predicted: npt.NDArray[np.complex128]) -> float:
        """Return the energy that a prediction leaves, as a share of the wet energy."""
        return float(_energy(self.wet - predicted).sum() / (_energy(self.wet).sum() + 1e-30))


def check_roles(dry: Channel, wet: Channel, time_map: TimeMap, grid: Grid, is_steady_pair: bool) -> list[Finding]:
    """Return the findings on the roles of two aligned files.

    Only the files of a pair can be exchanged, and only a device that stays the same shows it.
    """
    windows = _read(dry, wet, time_map, grid)
    if windows is None:
        return []
    gain = float(windows.cross.sum().real / windows.power.sum())
    values = {"gain_db": amp_to_db(abs(gain)), "polarity": "inverted" if gain < 0 else "not inverted"}
    if windows.error(gain * windows.dry) < MAX_ERROR:
        return [suspect("dry-copy", **values)]
    if windows.error(windows.predicted) < MAX_ERROR and _is_flat(windows):
        return [suspect("device-bypassed", **values)]
    if is_steady_pair and windows.error(windows.predicted) < MAX_UNEXPLAINED:
        growth = _growth(windows)
        if growth > MIN_GROWTH and _kurtosis(windows, windows.wet) > MIN_PEAKS * _kurtosis(windows, windows.predicted):
            return [suspect("exchanged-files", growth_db=growth)]
    return []


def _read(dry: Channel, wet: Channel, time_map: TimeMap, grid: Grid) -> _Windows | None:
    count = min(RUN_WINDOWS, grid.count)
    if count < 1:
        return None
    firsts = np.unique(np.linspace(0, grid.count - count, RUNS).astype(int)).tolist()
    runs = [read_spectra(dry, wet, time_map, grid, first, first + count, 1.0) for first in firsts]
    x = np.concatenate([run.functions[0] for run in runs]).astype(np.complex128)
    y = np.concatenate([run.wet for run in runs]).astype(np.complex128)
    power = _energy(x).sum(axis=0)
    if not power.any() or not y.any():
        return None
    return _Windows(x, y, power, (x.conj() * y).sum(axis=0), grid)


def _is_flat(windows: _Windows) -> bool:
    """Whether the magnitude of the linear response is the same in all bands with signal."""
    edges = np.arange(0, len(windows.power), BAND_BINS)
    power, cross = (np.add.reduceat(each, edges) for each in (windows.power, np.abs(windows.cross)))
    known = power > MIN_POWER * power.max()
    return bool(np.ptp(amp_to_db(cross[known] / power[known])) < MAX_RIPPLE_DB)


def _growth(windows: _Windows) -> float:
    """Return the growth of the wet level in dB for 1 dB of the level of its linear prediction; 1 if it is unknown."""
    predicted, recorded = (_energy(each).sum(axis=1) for each in (windows.predicted, windows.wet))
    loud = predicted > 10 ** (-0.1 * MIN_LEVEL_DB) * predicted.max()
    if np.count_nonzero(loud) < MIN_WINDOWS:
        return 1.0
    x, y = (np.log(each[loud] + 1e-30) for each in (predicted, recorded))
    return float(np.cov(x, y)[0, 1] / (np.var(x, ddof=1) + 1e-30))


def _kurtosis(windows: _Windows, spectra: npt.NDArray[np.complex128]) -> float:
    """Return the kurtosis of the samples of all windows."""
    whole = np.zeros((len(spectra), windows.grid.size // 2 + 1), np.complex128)
    whole[:, windows.grid.bins] = spectra
    squares = np.square(scipy.fft.irfft(whole))
    return float(np.mean(np.square(squares)) / (np.mean(squares) ** 2 + 1e-60))


def _energy(spectra: npt.NDArray[np.complex128]) -> Real:
    return np.asarray(np.square(np.abs(spectra)))
