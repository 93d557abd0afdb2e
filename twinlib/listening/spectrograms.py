"""Waveforms and spectrograms for the listening page, as PNG; equal samples give equal bytes."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.signal import ShortTimeFFT
from scipy.signal.windows import hann

from twinlib.audio import Signal
from twinlib.db import amp_to_db
from twinlib.plotting import DEVICE, DRY, ERROR, TWIN

COLOURS = {"dry": DRY, "device": DEVICE, "twin": TWIN, "difference": ERROR}

LEFT, WIDTH, BOTTOM, HEIGHT = 0.085, 0.815, 0.16, 0.80
"""The area of both panels along the time axis, as shares of the picture size from its lower left corner."""

_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
}
_SIZE_INCHES, _DPI = (8.6, 2.7), 150
_COLUMNS = 1000
_WINDOW = 2048
_RANGE_DB = 100.0

Levels = npt.NDArray[np.float64]


def draw_spectrograms(signals: Mapping[str, Signal], sample_rate: int) -> dict[str, bytes]:
    """Draw each signal `(frames,)`, by its name in `COLOURS`, as waveform and spectrogram on common scales."""
    spectra = {name: compute_spectrogram(signal, sample_rate) for name, signal in signals.items()}
    peak = max(float(np.max(np.abs(signal))) for signal in signals.values())
    top = max(float(np.max(levels)) for levels in spectra.values())
    peak, top_db = (peak, 5 * np.ceil(top / 5)) if peak > 0.0 else (1.0, 0.0)
    return {name: _draw_picture(name, signals[name], sample_rate, spectra[name], peak, top_db) for name in signals}


def compute_spectrogram(signal: Signal, sample_rate: int) -> Levels:
    """Return levels `(bins, columns)` in dB, 0 for a full-scale sine, -300 for silence; about 1000 columns."""
    window = hann(_WINDOW, sym=False)
    hop = max(len(signal) // _COLUMNS, 1)
    if len(signal) < _WINDOW:
        signal = np.pad(signal, (0, _WINDOW - len(signal)))
    columns = -(-len(signal) // hop)
    spectra = ShortTimeFFT(window, hop, sample_rate).stft(signal.astype(np.float64), p0=0, p1=columns)
    levels: Levels = amp_to_db(np.abs(spectra) * 2 / window.sum(), 1e-15)
    return levels


def _draw_picture(name: str, signal: Signal, sample_rate: int, levels: Levels, peak: float, top_db: float) -> bytes:
    seconds = len(signal) / sample_rate
    with rc_context(_STYLE):
        figure = Figure(figsize=_SIZE_INCHES, dpi=_DPI)
        FigureCanvasAgg(figure)
        above = figure.add_axes((LEFT, BOTTOM + 0.6 * HEIGHT, WIDTH, 0.4 * HEIGHT))
        below = figure.add_axes((LEFT, BOTTOM, WIDTH, 0.56 * HEIGHT))
        bar = figure.add_axes((LEFT + WIDTH + 0.012, BOTTOM, 0.012, 0.56 * HEIGHT))
        low, high = _column_extremes(signal)
        times = (np.arange(len(low)) + 0.5) * seconds / len(low)
        above.fill_between(times, low, high, color=COLOURS[name], linewidth=0.4)
        above.set_ylim(-1.05 * peak, 1.05 * peak)
        above.set_ylabel("level\n(of full scale)")
        above.tick_params(labelbottom=False, bottom=False)
        above.set_xlim(0, seconds)
        image = below.imshow(
            levels,
            origin="lower",
            aspect="auto",
            extent=(0, seconds, 0, sample_rate / 2000),
            vmin=top_db - _RANGE_DB,
            vmax=top_db,
            cmap="magma_r",
            interpolation="bilinear",
        )
        below.set_xlim(0, seconds)
        below.set_ylabel("frequency (kHz)")
        below.set_xlabel("time (s)")
        figure.colorbar(image, cax=bar, label="level (dBFS)")
        figure.align_ylabels([above, below])
        stream = io.BytesIO()
        figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def _column_extremes(signal: Signal) -> tuple[Signal, Signal]:
    """Return the minimum and the maximum sample of each column."""
    starts = np.unique(np.linspace(0, len(signal), _COLUMNS, endpoint=False).astype(np.int64))
    return np.minimum.reduceat(signal, starts), np.maximum.reduceat(signal, starts)
