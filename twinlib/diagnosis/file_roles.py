"""Whether the wet file is the output of a device for the dry file, not the dry signal itself or the device's input."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

from twinlib.db import amp_to_db
from twinlib.diagnosis.device_model import identify_device
from twinlib.diagnosis.spectra import Grid, Real, read_spectra
from twinlib.findings import Finding, suspect
from twinlib.intervals import Range
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

MAX_MILD = 0.03
"""Error of the linear prediction up to which the device is no envelope filter, which expands and sharpens, too: those
leave 0.05 and more."""

EVIDENT_GROWTH, EVIDENT_PEAKS = 1.5, 2.0
"""Growth and ratio of kurtoses that no envelope filter exceeds both."""

MAX_GAIN_ERROR = 0.5
"""Error that one gain for each window leaves, relative to that of the linear prediction, up to which the wet file is
that of an expander: 0.17 to 0.38 for exchanged files of compressors, 0.7 and more for envelope filters."""

MAX_REVERSED = 0.55
"""Error of the device model from the wet file to the dry one, relative to that of the linear prediction, up to which a
device made the dry file: 0.02 to 0.54 for exchanged files of clippers, valves and tapes, 0.64 and more for envelope
filters."""

MAX_UNEXPLAINED = 0.6
"""Error of the linear prediction up to which its growth and kurtosis are meaningful."""

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
        peaks = _kurtosis(windows, windows.wet) / _kurtosis(windows, windows.predicted)
        is_evident = growth > EVIDENT_GROWTH and peaks > EVIDENT_PEAKS
        if growth < MIN_GROWTH or peaks < MIN_PEAKS:
            return []
        if is_evident or not _follows_level(windows) or _is_reversed(dry, wet, time_map, grid):
            return [suspect("exchanged-files", growth_db=growth)]
    return []


def _follows_level(windows: _Windows) -> bool:
    """Whether the device may be a filter that follows the level: neither a fixed filter nor a variable gain."""
    predicted = windows.predicted
    gain = (predicted.conj() * windows.wet).real.sum(axis=1) / (_energy(predicted).sum(axis=1) + 1e-30)
    error = windows.error(predicted)
    return error > MAX_MILD and windows.error(gain[:, None] * predicted) > MAX_GAIN_ERROR * error


def _is_reversed(dry: Channel, wet: Channel, time_map: TimeMap, grid: Grid) -> bool:
    """Whether the dry file is what a device makes of the wet file, rather than the reverse."""
    start, stop = (round(time_map.wet(grid.start + count * grid.hop)) for count in (0, grid.count + 1))
    inverse, grid = time_map.inverse(), Grid.over(start, stop, grid.rate)
    model, windows = identify_device(wet, dry, inverse, grid), _read(wet, dry, inverse, grid)
    if model is None or windows is None:
        return False
    parts = [read_spectra(wet, dry, inverse, grid, *run, model.scale) for run in _runs(grid)]
    predicted = np.concatenate([model.predict(part) for part in parts]).astype(np.complex128)
    return windows.error(predicted) < MAX_REVERSED * windows.error(windows.predicted)


def _runs(grid: Grid) -> list[Range]:
    count = min(RUN_WINDOWS, grid.count)
    firsts = np.unique(np.linspace(0, grid.count - count, RUNS).astype(int)).tolist()
    return [(first, first + count) for first in firsts]


def _read(dry: Channel, wet: Channel, time_map: TimeMap, grid: Grid) -> _Windows | None:
    if grid.count < 1:
        return None
    runs = [read_spectra(dry, wet, time_map, grid, *run, 1.0) for run in _runs(grid)]
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
