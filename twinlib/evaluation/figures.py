"""The figures of an evaluation, as SVG with the same bytes for the same numbers.

The device and the twin have the same two colours everywhere (Okabe and Ito 2008, safe for colour-blind readers) and
different strokes, so that they stay apart in grey print too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from twinlib.audio import Signal
from twinlib.evaluation.statistics import Curve, Quantiles
from twinlib.files import written_aside

DEVICE, TWIN, DRY, ERROR = "#0072B2", "#D55E00", "#8C8C8C", "#000000"

_STYLE: Any = {
    "svg.hashsalt": "twin",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.4,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


@contextmanager
def _figure(path: Path, height: float, rows: tuple[float, ...] = (1.0,)) -> Iterator[list[Axes]]:
    """Axes one above the other on a page 16 cm wide; the file is written when the context ends."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(6.3, height))
        grid = figure.add_gridspec(len(rows), 1, height_ratios=rows)
        first = figure.add_subplot(grid[0, 0])
        yield [first, *(figure.add_subplot(grid[row, 0], sharex=first) for row in range(1, len(rows)))]
        with written_aside(path) as aside:
            figure.savefig(aside, format="svg", metadata={"Date": None, "Creator": None})


def draw_waveform(
    path: Path, title: str, dry: Signal, wet: Signal, twin: Signal, sample_rate: int, start: float
) -> None:
    """Dry, device and twin `(frames,)` in step, and below them the error; `start` is their place in seconds."""
    milliseconds = np.arange(len(wet)) / sample_rate * 1000
    error = twin.astype(np.float64) - wet
    with _figure(path, 4.2, (3.0, 1.2)) as (above, below):
        above.plot(milliseconds, dry, color=DRY, linewidth=1.0, linestyle=":", label="dry")
        above.plot(milliseconds, wet, color=DEVICE, linewidth=2.2, alpha=0.75, label="device")
        above.plot(milliseconds, twin, color=TWIN, linewidth=1.1, linestyle=(0, (4, 1.5)), label="twin")
        above.set_ylabel("level (full scale = 1)")
        above.set_title(f"{title}: the loudest {milliseconds[-1]:.0f} ms of the test split", loc="left")
        above.legend(loc="upper right", ncols=3)
        above.margins(x=0, y=0.25)
        above.tick_params(labelbottom=False)
        below.plot(milliseconds, 1000 * error, color=ERROR, linewidth=0.9)
        below.set_ylabel("twin − device\n(thousandths)")
        below.set_xlabel(f"time (ms from {start:.2f} s)")


def draw_spectrum(path: Path, title: str, frequencies: Curve, device: Curve, twin: Curve, error: Curve) -> None:
    """Power densities `(bins,)` (full scale squared a Hz) of device, twin and error, smoothed to 1/6 octave."""
    with _figure(path, 3.4) as (axes,):
        hertz = _sixths(float(frequencies[-1]))
        levels = [_decibels(_smooth(frequencies, density, hertz)) for density in (device, twin, error)]
        axes.plot(hertz, levels[0], color=DEVICE, linewidth=2.6, alpha=0.75, label="device")
        axes.plot(hertz, levels[1], color=TWIN, linewidth=1.2, linestyle=(0, (4, 1.5)), label="twin")
        axes.plot(hertz, levels[2], color=ERROR, linewidth=1.0, label="error")
        axes.set_xscale("log")
        axes.set_xlim(20, hertz[-1])
        axes.set_xticks([20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000])
        axes.set_xticklabels(["20", "50", "100", "200", "500", "1k", "2k", "5k", "10k", "20k"])
        axes.minorticks_off()
        axes.set_xlim(20, hertz[-1])
        top = max(float(np.max(level)) for level in levels)
        axes.set_ylim(max(min(float(np.min(level)) for level in levels), top - 140) - 3, top + 9)
        axes.set_xlabel("frequency (Hz)")
        axes.set_ylabel("power density (dBFS/Hz)")
        axes.set_title(f"{title}: spectra of the test split", loc="left")
        axes.legend(loc="upper right", ncols=3)


def draw_transfer(path: Path, title: str, device: Quantiles, twin: Quantiles) -> None:
    """What comes out for what goes in: medians, and the band that holds 90 % of the samples."""
    with _figure(path, 4.4) as (axes,):
        if len(device.level):
            limits = [float(device.level[0]), float(device.level[-1])]
            axes.plot(limits, limits, color=DRY, linewidth=0.9, linestyle=":", label="output = input")
        axes.fill_between(device.level, device.low, device.high, color=DEVICE, alpha=0.22, linewidth=0)
        axes.plot(device.level, device.middle, color=DEVICE, linewidth=2.6, alpha=0.75, label="device, median and 90 %")
        axes.plot(
            twin.level, twin.middle, color=TWIN, linewidth=1.2, linestyle=(0, (4, 1.5)), label="twin, median and 90 %"
        )
        axes.plot(twin.level, twin.low, color=TWIN, linewidth=0.8, linestyle=(0, (1, 1.5)))
        axes.plot(twin.level, twin.high, color=TWIN, linewidth=0.8, linestyle=(0, (1, 1.5)))
        axes.set_xlabel("input, dry (full scale = 1)")
        axes.set_ylabel("output (full scale = 1)")
        axes.set_title(f"{title}: transfer on the test split", loc="left")
        axes.legend(loc="best")


def draw_learning(path: Path, title: str, curve: pd.DataFrame) -> None:
    """Training loss and validation ESR over CPU minutes, from the table of contract `training/1`.

    Of several seeds the one that became the twin is drawn.
    """
    if "seed" in curve and curve["valid_esr"].notna().any():
        best = curve["seed"].to_numpy()[int(np.nanargmin(curve["valid_esr"].to_numpy(dtype=float)))]
        curve = curve.loc[curve["seed"] == best]
    minutes = curve["cpu_seconds"].to_numpy(dtype=float) / 60
    loss = curve["loss"].to_numpy(dtype=float)
    valid = curve["valid_esr"].to_numpy(dtype=float)
    with _figure(path, 3.4) as (axes,):
        # A loss of exactly zero, or none yet, has no place on a logarithmic axis.
        shown = np.isfinite(loss) & (loss > 0)
        judged = np.isfinite(valid) & (valid > 0)
        axes.plot(minutes[shown], loss[shown], color=DRY, linewidth=0.8, label="training loss")
        if judged.any():
            best = float(np.min(valid[judged]))
            axes.plot(
                minutes[judged],
                valid[judged],
                color=TWIN,
                marker="o",
                markersize=3.5,
                label=f"validation ESR, best {best:.2g}",
            )
            axes.axhline(best, color=TWIN, linewidth=0.7, linestyle=":")
        axes.set_yscale("log")
        axes.set_xlabel("CPU time (minutes)")
        axes.set_ylabel("loss, ESR (no unit)")
        axes.set_title(f"{title}: learning", loc="left")
        axes.legend(loc="upper right")


def _sixths(top: float) -> Curve:
    """Twenty-four centres an octave from 20 Hz up to `top`."""
    return 20.0 * 2 ** (np.arange(int(24 * np.log2(top / 20)) + 1) / 24)


def _smooth(frequencies: Curve, density: Curve, centres: Curve) -> Curve:
    """The mean density within 1/12 octave to either side of the centres, at least between the two nearest bins."""
    width = frequencies[1] - frequencies[0]
    sums = np.concatenate([[0.0], np.cumsum(density)])
    edges = (np.arange(len(sums)) - 0.5) * width
    low = np.minimum(centres * 2 ** (-1 / 12), centres - width / 2)
    high = np.maximum(centres * 2 ** (1 / 12), centres + width / 2)
    low, high = np.clip(low, edges[0], edges[-1]), np.clip(high, edges[0], edges[-1])
    mean: Curve = (np.interp(high, edges, sums) - np.interp(low, edges, sums)) * width / (high - low)
    return mean


def _decibels(density: Curve) -> Curve:
    found: Curve = 10 * np.log10(np.maximum(density, 1e-20))
    return found
