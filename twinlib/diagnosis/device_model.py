"""A model of the device over a whole take: one short filter for each function of the dry signal, summed."""

from dataclasses import dataclass

import numpy as np

from twinlib.diagnosis.spectra import FUNCTIONS, Complex, Grid, Real, Spectra, read_spectra
from twinlib.resampling import Channel, TimeMap

MAX_WINDOWS = 512
"""Windows of the identification, however long the take is."""

RUN_WINDOWS = 16
"""Consecutive windows that are read together."""

RIDGE = 1e-3
"""Relative regularisation: the functions resemble each other."""

SOFT_SHARE = 0.05
"""Energy of a window relative to the median, below which its weight falls."""

MIN_SCALE = 1e-4
"""Rms of the dry signal, -80 dB of full scale, below which a take is silent."""


@dataclass(frozen=True)
class DeviceModel:
    """The response of each function, complex64 `(functions, bins)`, and the `scale` of the dry signal."""

    response: Complex
    scale: float

    def predict(self, spectra: Spectra) -> Complex:
        """Return the predicted wet spectra, complex64 `(windows, bins)`."""
        out = np.zeros_like(spectra.wet)
        for response, function in zip(self.response, spectra.functions, strict=True):
            out += response * function
        return out


def identify_device(dry: Channel, wet: Channel, time_map: TimeMap, grid: Grid) -> DeviceModel | None:
    """Identify the model from windows spread over the take, by least squares; None if the dry signal is silent.

    The weight of a window does not depend on its level. The responses are smooth over frequency, about a tenth of an
    octave, so that the model cannot learn the programme.
    """
    count = min(grid.count, MAX_WINDOWS)
    runs = max(1, count // RUN_WINDOWS)
    firsts = np.unique(np.linspace(0, max(0, grid.count - RUN_WINDOWS), runs).astype(int)).tolist()
    stops = [min(first + RUN_WINDOWS, grid.count) for first in firsts]
    places = [
        (grid.start + first * grid.hop, grid.start + stop * grid.hop) for first, stop in zip(firsts, stops, strict=True)
    ]
    scale = float(np.sqrt(np.mean([np.mean(np.square(dry.read(*place)), dtype=np.float64) for place in places])))
    if scale < MIN_SCALE:
        return None
    parts = [read_spectra(dry, wet, time_map, grid, *run, scale) for run in zip(firsts, stops, strict=True)]
    functions = np.concatenate([part.functions for part in parts], axis=1)
    recorded = np.concatenate([part.wet for part in parts])
    energy = np.square(np.abs(recorded)).sum(axis=1)
    weight = (1.0 / (energy + SOFT_SHARE * np.median(energy) + 1e-20)).astype(np.float32)
    # Bins in front: one matrix product for each.
    u = np.ascontiguousarray(functions.transpose(2, 0, 1))
    weighted = u.conj() * weight
    products = weighted @ u.transpose(0, 2, 1)
    targets = weighted @ recorded.T[:, :, None]
    nodes, smoothing = _smoothing(grid)
    shape = len(nodes), FUNCTIONS, FUNCTIONS
    gram = (smoothing @ products.reshape(len(products), -1)).reshape(shape)
    right = smoothing @ targets[:, :, 0]
    norm = np.sqrt(np.einsum("nkk->nk", gram).real) + 1e-20
    gram = gram / norm[:, :, None] / norm[:, None, :] + RIDGE * np.eye(FUNCTIONS)
    solved = np.linalg.solve(gram, (right / norm)[..., None])[..., 0] / norm
    bins = np.arange(u.shape[0], dtype=np.float64)
    response = [np.interp(bins, nodes, row.real) + 1j * np.interp(bins, nodes, row.imag) for row in solved.T]
    return DeviceModel(np.array(response, np.complex64), scale)


def _smoothing(grid: Grid) -> tuple[Real, Real]:
    """Return the bins at which the response is solved for, and the weights of all bins about each of them."""
    first, count = grid.bins.start, grid.bins.stop - grid.bins.start
    nodes, place = [], 0.0
    while place < count - 1:
        nodes.append(place)
        place += _width(place + first)
    at = np.array(nodes)
    width = np.array([_width(place + first) for place in nodes])
    distance = np.abs(np.arange(count) - at[:, None]) / (1.5 * width[:, None])
    return at, np.asarray(np.maximum(0.0, 1.0 - distance))


def _width(bin_number: float) -> float:
    return float(np.clip(bin_number / 10.0, 2.0, 20.0))
