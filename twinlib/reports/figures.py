"""The figures of an evaluation, as SVG with the same bytes for the same numbers.

The device and the twin have the same two colours everywhere (Okabe and Ito 2008, safe for colour-blind readers) and
different strokes, so that they stay apart in grey print too.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from twinlib.audio import Signal
from twinlib.db import power_to_db
from twinlib.files import atomic_path
from twinlib.formatting import percent

if TYPE_CHECKING:
    import pandas as pd

    from twinlib.evaluation.statistics import Curve, Quantiles

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
def _figure(path: Path | StringIO, height: float, rows: tuple[float, ...] = (1.0,)) -> Iterator[list[Axes]]:
    """Axes one above the other on a page 16 cm wide; the file is written when the context ends."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(6.3, height))
        grid = figure.add_gridspec(len(rows), 1, height_ratios=rows)
        first = figure.add_subplot(grid[0, 0])
        yield [first, *(figure.add_subplot(grid[row, 0], sharex=first) for row in range(1, len(rows)))]
        _save(figure, path)


@contextmanager
def figure_of(path: Path, height: float, rows: int = 1, columns: int = 1) -> Iterator[list[Axes]]:
    """A grid of axes of their own, row by row, on a page 16 cm wide; the file is written when the context ends."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(6.3, height))
        yield figure.subplots(rows, columns, squeeze=False).ravel().tolist()
        _save(figure, path)


def _save(figure: Figure, path: Path | StringIO) -> None:
    metadata = {"Date": None, "Creator": None}
    if isinstance(path, StringIO):
        figure.savefig(path, format="svg", metadata=metadata)
        return
    with atomic_path(path) as aside:
        figure.savefig(aside, format="svg", metadata=metadata)


def frequency_axis(axes: Axes, low: float, high: float) -> None:
    """A logarithmic axis of frequencies in Hz, from `low` to `high`."""
    axes.set_xscale("log")
    axes.set_xticks([20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000])
    axes.set_xticklabels(["20", "50", "100", "200", "500", "1k", "2k", "5k", "10k", "20k"])
    axes.minorticks_off()
    axes.set_xlim(low, high)
    axes.set_xlabel("frequency (Hz)")


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


def draw_spectrum(path: Path, title: str, frequencies: "Curve", device: "Curve", twin: "Curve", error: "Curve") -> None:
    """Power densities `(bins,)` (full scale squared a Hz) of device, twin and error, smoothed to 1/6 octave."""
    with _figure(path, 3.4) as (axes,):
        hertz = _sixths(float(frequencies[-1]))
        levels = [power_to_db(_smooth(frequencies, density, hertz)) for density in (device, twin, error)]
        axes.plot(hertz, levels[0], color=DEVICE, linewidth=2.6, alpha=0.75, label="device")
        axes.plot(hertz, levels[1], color=TWIN, linewidth=1.2, linestyle=(0, (4, 1.5)), label="twin")
        axes.plot(hertz, levels[2], color=ERROR, linewidth=1.0, label="error")
        frequency_axis(axes, 20, float(hertz[-1]))
        top = max(float(np.max(level)) for level in levels)
        axes.set_ylim(max(min(float(np.min(level)) for level in levels), top - 140) - 3, top + 9)
        axes.set_ylabel("power density (dBFS/Hz)")
        axes.set_title(f"{title}: spectra of the test split", loc="left")
        axes.legend(loc="upper right", ncols=3)


def draw_transfer(path: Path, title: str, device: "Quantiles", twin: "Quantiles") -> None:
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


def draw_learning(path: Path, title: str, curve: "pd.DataFrame") -> None:
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


_DOTTED: Any = (0, (1, 1.5))

_SMALLEST = 1e-12
"""An ESR of nothing has no place on a logarithmic axis; 32-bit samples hide what is smaller anyway."""


def draw_errors(path: Path, title: str, metrics: Mapping[str, Any], floor: float | None = None) -> None:
    """The test ESR of a twin beside those of what no distortion would reach, and the floor that no twin can pass.

    `metrics` has `esr`, `esr_dry`, `esr_gain` and `esr_linear`, as metrics.json does; `floor` is an ESR too.
    """
    bars = [
        ("dry signal", metrics["esr_dry"], DRY),
        ("best gain", metrics["esr_gain"], DRY),
        ("best linear filter", metrics["esr_linear"], DRY),
        ("twin", metrics["esr"], TWIN),
        *([] if floor is None else [("noise floor of the device", floor, DEVICE)]),
    ]
    values = np.maximum([value for _, value, _ in bars], _SMALLEST)
    # Room for the words at the end of the longest bar.
    left, longest = 10.0 ** np.floor(np.log10(np.min(values) / 2)), np.max(values)
    limits = (left, longest * (longest / left) ** 0.6)
    with _figure(path, 1.1 + 0.36 * len(bars)) as (axes,):
        for place, ((_, value, colour), length) in enumerate(zip(bars, values, strict=True)):
            axes.barh(place, length - left, left=left, height=0.62, color=colour)
            axes.annotate(
                f"{percent(value)}, {power_to_db(length):.1f} dB",
                (length, place),
                xytext=(4, 0),
                textcoords="offset points",
                verticalalignment="center",
            )
        axes.set_xlim(*limits)
        _ratios(axes, axes.xaxis, limits)
        axes.set_yticks(range(len(bars)), [name for name, _, _ in bars])
        axes.invert_yaxis()
        axes.grid(False, axis="y")
        axes.tick_params(left=False)
        axes.set_xlabel("error to signal ratio of the test split (shorter is better)")
        axes.set_title(f"{title}: the error and what to hold it against", loc="left")


def draw_over_time(path: Path, title: str, metrics: Mapping[str, Any], floor: float | None = None) -> None:
    """The ESR over the judged seconds of the test split, of the twin and of the best linear filter, and the floor.

    `metrics` has `esr`, `esr_linear` and `esr_over_time`, as metrics.json does; `floor` is an ESR too, of music as loud
    as the probe reel's. Silence leaves a gap.
    """
    track = metrics["esr_over_time"]
    seconds = np.arange(len(track["esr"]) + 1) * track["seconds"]
    with _figure(path, 3.4) as (axes,):
        for name, colour, strength, stroke in (("esr_linear", DRY, 0.8, "-"), ("esr", TWIN, 1.2, "-")):
            values = np.array([np.nan if value is None else max(value, _SMALLEST) for value in track[name]])
            axes.stairs(values, seconds, baseline=None, color=colour, linewidth=strength, linestyle=stroke)
        for name, colour, label in (("esr_linear", DRY, "best linear filter"), ("esr", TWIN, "twin")):
            axes.axhline(
                max(metrics[name], _SMALLEST),
                color=colour,
                linewidth=1.0,
                linestyle=(0, (4, 1.5)),
                label=f"{label}, all: {percent(metrics[name])}",
            )
        if floor is not None:
            axes.axhline(
                max(floor, _SMALLEST),
                color=DEVICE,
                linewidth=1.0,
                linestyle=_DOTTED,
                label=f"noise floor of the device: {percent(floor)}",
            )
        heard = [metrics["esr"], metrics["esr_linear"], *track["esr"], *track["esr_linear"], floor]
        heard = [max(value, _SMALLEST) for value in heard if value is not None]
        # Room for the legend above.
        room = 0.15 if floor is None else 0.25
        limits = (min(heard) / 1.5, max(heard) * 1.5 * (max(heard) / min(heard)) ** room)
        axes.set_ylim(*limits)
        _ratios(axes, axes.yaxis, limits)
        axes.set_xlim(0, seconds[-1])
        axes.set_xlabel(f"judged audio (s), {track['seconds']:g} s a step")
        axes.set_ylabel("error to signal ratio")
        axes.set_title(f"{title}: error over the test split", loc="left")
        axes.legend(loc="upper right", ncols=2)


_MARKERS = "os^DvP*X<>ph"
_PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours that are legible on white; a device is told by its marker too."""


def comparison_figure(twins: Sequence[tuple[str, str, float, float]], floors: Mapping[str, float] | None = None) -> str:
    """Test ESR against speed as SVG: (device, model, ESR, real-time factor) of each twin; a marker a device.

    `floors` has the ESR that the noise of a device leaves to its twins, by device, where it is known: a line each.
    """
    floors = floors or {}
    devices = list(dict.fromkeys(device for device, *_ in twins))
    drawn = StringIO()
    with _figure(drawn, 4.2) as (axes,):
        for index, device in enumerate(devices):
            own = [(speed, max(esr, _SMALLEST), model) for name, model, esr, speed in twins if name == device]
            axes.scatter(
                [speed for speed, _, _ in own],
                [esr for _, esr, _ in own],
                marker=_MARKERS[index % len(_MARKERS)],
                color=_PALETTE[index % len(_PALETTE)],
                label=device,
            )
            for speed, esr, model in own:
                axes.annotate(model, (speed, esr), xytext=(5, 3), textcoords="offset points", fontsize=7)
            if device in floors:
                floor, colour = max(floors[device], _SMALLEST), _PALETTE[index % len(_PALETTE)]
                axes.axhline(floor, color=colour, linewidth=1.0, linestyle=_DOTTED)
                axes.annotate(
                    f"noise floor of {device}: {percent(floors[device])}",
                    (1.0, floor),
                    xycoords=("axes fraction", "data"),
                    xytext=(-3, 2),
                    textcoords="offset points",
                    horizontalalignment="right",
                    fontsize=7,
                    color=colour,
                )
        errors = [max(esr, _SMALLEST) for esr in (*(esr for *_, esr, _ in twins), *floors.values())]
        speeds = [speed for *_, speed in twins]
        heights, widths = (min(errors) / 2, 2 * max(errors)), (min(speeds) / 1.5, 2 * max(speeds))
        axes.set_ylim(*heights)
        axes.set_xlim(*widths)
        _ratios(axes, axes.yaxis, heights)
        _ratios(axes, axes.xaxis, widths, "x", 1.0)
        axes.set_xlabel("speed (seconds of audio a second of one CPU; to the right is better)")
        axes.set_ylabel("error to signal ratio of the test split (lower is better)")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), title="device")
    return drawn.getvalue()


def _ratios(axes: Axes, axis: Axis, limits: tuple[float, float], unit: str = "%", scale: float = 100.0) -> None:
    """Makes an axis logarithmic, labelled in plain numbers: percent and no powers of ten."""
    (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
    decades = np.log10(limits[1] / limits[0])
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2.5 else (1.0,)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(
        FuncFormatter(
            lambda value, _: f"{np.format_float_positional(scale * value, 3, fractional=False, trim='-')} {unit}"
        )
    )


def _sixths(top: float) -> "Curve":
    """Twenty-four centres an octave from 20 Hz up to `top`."""
    return 20.0 * 2 ** (np.arange(int(24 * np.log2(top / 20)) + 1) / 24)


def _smooth(frequencies: "Curve", density: "Curve", centres: "Curve") -> "Curve":
    """The mean density within 1/12 octave to either side of the centres, at least between the two nearest bins."""
    width = frequencies[1] - frequencies[0]
    sums = np.concatenate([[0.0], np.cumsum(density)])
    edges = (np.arange(len(sums)) - 0.5) * width
    low = np.minimum(centres * 2 ** (-1 / 12), centres - width / 2)
    high = np.maximum(centres * 2 ** (1 / 12), centres + width / 2)
    low, high = np.clip(low, edges[0], edges[-1]), np.clip(high, edges[0], edges[-1])
    mean: Curve = (np.interp(high, edges, sums) - np.interp(low, edges, sums)) * width / (high - low)
    return mean
