"""The figures of an evaluation and of the comparison of twins, as SVG."""

from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from twinlib.db import power_to_db
from twinlib.formatting import percent
from twinlib.plotting import (
    DASHED,
    DEVICE,
    DOTTED,
    DRY,
    ERROR,
    PALETTE,
    TWIN,
    figure_of,
    frequency_axis,
    legend_below,
    stacked_axes,
)

if TYPE_CHECKING:
    import pandas as pd

    from twinlib.evaluation import Curve, ExcerptAudio, TransferQuantiles

_MARKERS = "os^DvP*X<>ph"

_TICKS = ((range(1, 10), 1), ((1, 2, 5), 1), ((1, 3), 1), ((1,), 1), ((1,), 2), ((1,), 3), ((1,), 4), ((1,), 6))
"""Digits and steps in decades of the ticks of logarithmic axes, the densest first."""

_MIN_ESR = 1e-12
"""The lowest ESR on a logarithmic axis, below the resolution of 32-bit samples."""


def draw_waveform(path: Path, title: str, excerpt: "ExcerptAudio", sample_rate: int, start: float) -> None:
    """Draw the samples of dry, device and twin, and the error below; `start` is their position in seconds."""
    milliseconds = np.arange(len(excerpt.wet)) / sample_rate * 1000
    error = excerpt.twin.astype(np.float64) - excerpt.wet
    with stacked_axes(path, 4.2, (3.0, 1.2)) as (above, below):
        above.plot(milliseconds, excerpt.dry, color=DRY, linewidth=1.0, linestyle=":", label="dry")
        above.plot(milliseconds, excerpt.wet, color=DEVICE, linewidth=2.2, alpha=0.75, label="device")
        above.plot(milliseconds, excerpt.twin, color=TWIN, linewidth=1.1, linestyle=DASHED, label="twin")
        above.set_ylabel("level (full scale = 1)")
        above.set_title(f"{title}: the loudest {milliseconds[-1]:.0f} ms of the test split", loc="left")
        above.legend(loc="upper right", ncols=3)
        above.margins(x=0, y=0.25)
        above.tick_params(labelbottom=False)
        below.plot(milliseconds, 1000 * error, color=ERROR, linewidth=0.9)
        below.set_ylabel("twin − device\n(thousandths)")
        below.set_xlabel(f"time (ms from {start:.2f} s)")


def draw_spectrum(path: Path, title: str, frequencies: "Curve", device: "Curve", twin: "Curve", error: "Curve") -> None:
    """Draw power densities `(bins,)` (full scale squared per Hz) of device, twin and error, smoothed to 1/6 octave."""
    with stacked_axes(path, 3.4) as (axes,):
        hertz = _octave_centres(float(frequencies[-1]))
        levels = [power_to_db(_smooth(frequencies, density, hertz)) for density in (device, twin, error)]
        axes.plot(hertz, levels[0], color=DEVICE, linewidth=2.6, alpha=0.75, label="device")
        axes.plot(hertz, levels[1], color=TWIN, linewidth=1.2, linestyle=DASHED, label="twin")
        axes.plot(hertz, levels[2], color=ERROR, linewidth=1.0, label="error")
        frequency_axis(axes, 20, float(hertz[-1]))
        top = max(float(np.max(level)) for level in levels)
        axes.set_ylim(max(min(float(np.min(level)) for level in levels), top - 140) - 3, top + 9)
        axes.set_ylabel("power density (dBFS/Hz)")
        axes.set_title(f"{title}: spectra of the test split", loc="left")
        axes.legend(loc="upper right", ncols=3)


def draw_transfer(path: Path, title: str, device: "TransferQuantiles", twin: "TransferQuantiles") -> None:
    """Draw output over input: the median, and the band of 90 % of the samples."""
    with stacked_axes(path, 4.4) as (axes,):
        if len(device.level):
            limits = [float(device.level[0]), float(device.level[-1])]
            axes.plot(limits, limits, color=DRY, linewidth=0.9, linestyle=":", label="output = input")
        band = axes.fill_between(device.level, device.low, device.high, color=DEVICE, alpha=0.22, linewidth=0)
        band.set_label("device, 90 % of the samples")
        axes.plot(device.level, device.middle, color=DEVICE, linewidth=2.6, alpha=0.75, label="device, median")
        axes.plot(twin.level, twin.middle, color=TWIN, linewidth=1.2, linestyle=DASHED, label="twin, median")
        axes.plot(twin.level, twin.low, color=TWIN, linewidth=0.8, linestyle=DOTTED, label="twin, 90 % of the samples")
        axes.plot(twin.level, twin.high, color=TWIN, linewidth=0.8, linestyle=DOTTED)
        axes.set_xlabel("input, dry (full scale = 1)")
        axes.set_ylabel("output (full scale = 1)")
        axes.set_title(f"{title}: transfer on the test split", loc="left")
        axes.legend(loc="best")


def draw_learning(path: Path, title: str, curve: "pd.DataFrame") -> None:
    """Draw training loss and validation ESR over CPU minutes, from a table of contract `training/1`.

    Draws only the best of several seeds.
    """
    if "seed" in curve and curve["valid_esr"].notna().any():
        best = curve["seed"].to_numpy()[int(np.nanargmin(curve["valid_esr"].to_numpy(dtype=float)))]
        curve = curve.loc[curve["seed"] == best]
    minutes = curve["cpu_seconds"].to_numpy(dtype=float) / 60
    loss = curve["loss"].to_numpy(dtype=float)
    valid = curve["valid_esr"].to_numpy(dtype=float)
    with stacked_axes(path, 3.4) as (axes,):
        # A logarithmic axis excludes zero and missing values.
        shown = np.isfinite(loss) & (loss > 0)
        validated = np.isfinite(valid) & (valid > 0)
        axes.plot(minutes[shown], loss[shown], color=DRY, linewidth=0.8, label="training loss")
        if validated.any():
            best = float(np.min(valid[validated]))
            axes.plot(
                minutes[validated],
                valid[validated],
                color=TWIN,
                marker="o",
                markersize=3.5,
                label="validation ESR",
            )
            axes.axhline(best, color=TWIN, linewidth=0.7, linestyle=":", label=f"best: {percent(best)}")
        axes.set_yscale("log")
        axes.set_xlabel("CPU time (minutes)")
        axes.set_ylabel("loss, ESR (no unit)")
        axes.set_title(f"{title}: learning", loc="left")
        axes.legend(loc="upper right")


def draw_baselines(path: Path, title: str, metrics: Mapping[str, Any], floor: float | None = None) -> None:
    """Draw the test ESR of a twin next to its baselines, and the noise floor (an ESR) if known.

    `metrics` is the content of metrics.json.
    """
    bars = [
        ("dry signal", metrics["esr_dry"], DRY),
        ("best gain", metrics["esr_gain"], DRY),
        ("best linear filter", metrics["esr_linear"], DRY),
        ("twin", metrics["esr"], TWIN),
        *([] if floor is None else [("noise floor of the device", floor, DEVICE)]),
    ]
    values = np.maximum([value for _, value, _ in bars], _MIN_ESR)
    # Leave room for the label of the longest bar.
    left, longest = 10.0 ** np.floor(np.log10(np.min(values) / 2)), np.max(values)
    limits = (left, longest * (longest / left) ** 0.6)
    with stacked_axes(path, 1.1 + 0.36 * len(bars)) as (axes,):
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
        _logarithmic_axis(axes, axes.xaxis, (left, max(1.0, longest)))
        axes.set_yticks(range(len(bars)), [name for name, _, _ in bars])
        axes.invert_yaxis()
        axes.grid(False, axis="y")
        axes.tick_params(left=False)
        axes.set_xlabel("error-to-signal ratio of the test split (shorter is better)")
        axes.set_title(f"{title}: error and baselines", loc="left")


def draw_over_time(path: Path, title: str, metrics: Mapping[str, Any], floor: float | None = None) -> None:
    """Draw the ESR of twin and best linear filter over the evaluated seconds of the test split, and the noise floor.

    `metrics` is the content of metrics.json. `floor` is an ESR for music at the level of the probe reel. Silence leaves
    a gap.
    """
    track = metrics["esr_over_time"]
    seconds = np.arange(len(track["esr"]) + 1) * track["seconds"]
    with stacked_axes(path, 3.4) as (axes,):
        # The two columns of the legend.
        steps: list[Artist] = []
        lines: list[Artist] = []
        for name, colour, strength, label in (
            ("esr_linear", DRY, 0.8, "best linear filter"),
            ("esr", TWIN, 1.2, "twin"),
        ):
            values = np.array([np.nan if value is None else max(value, _MIN_ESR) for value in track[name]])
            steps.append(axes.stairs(values, seconds, baseline=None, color=colour, linewidth=strength, label=label))
            style: Any = {"color": colour, "linewidth": 1.0, "linestyle": DASHED}
            lines.append(
                axes.axhline(max(metrics[name], _MIN_ESR), label=f"{label}, all: {percent(metrics[name])}", **style)
            )
        if floor is not None:
            style = {"color": DEVICE, "linewidth": 1.0, "linestyle": DOTTED}
            steps.append(axes.axhline(max(floor, _MIN_ESR), label=f"noise floor: {percent(floor)}", **style))
        shown = [metrics["esr"], metrics["esr_linear"], *track["esr"], *track["esr_linear"], floor]
        shown = [max(value, _MIN_ESR) for value in shown if value is not None]
        # Leave room for the legend.
        limits = (min(shown) / 1.5, max(shown) * 1.5 * (max(shown) / min(shown)) ** 0.25)
        axes.set_ylim(*limits)
        _logarithmic_axis(axes, axes.yaxis, (limits[0], max(1.0, max(shown))))
        axes.set_xlim(0, seconds[-1])
        axes.set_xlabel(f"evaluated audio (s), {track['seconds']:g} s per step")
        axes.set_ylabel("error-to-signal ratio")
        axes.set_title(f"{title}: error over the test split", loc="left")
        axes.legend(handles=[*steps, *lines], loc="upper right", ncols=2)


def draw_comparison(twins: Sequence[tuple[str, str, float, float]], floors: Mapping[str, float] | None = None) -> str:
    """Return an SVG of test ESR over speed, for (device, model, ESR, real-time factor) of each twin.

    Each device has its own marker and colour. `floors` holds the noise-floor ESR of devices where it is known, drawn as
    lines.
    """
    floors = floors or {}
    devices = list(dict.fromkeys(device for device, *_ in twins))
    drawn = StringIO()
    # The legend has two columns.
    with stacked_axes(drawn, 3.6 + 0.09 * (len(devices) + len(floors))) as (axes,):
        for index, device in enumerate(devices):
            own = [(speed, max(esr, _MIN_ESR), model) for name, model, esr, speed in twins if name == device]
            axes.scatter(
                [speed for speed, _, _ in own],
                [esr for _, esr, _ in own],
                marker=_MARKERS[index % len(_MARKERS)],
                color=PALETTE[index % len(PALETTE)],
                label=device,
            )
            if device in floors:
                axes.axhline(
                    max(floors[device], _MIN_ESR),
                    color=PALETTE[index % len(PALETTE)],
                    linewidth=1.0,
                    linestyle=DOTTED,
                    label=f"noise floor of {device}: {percent(floors[device])}",
                )
        errors = [max(esr, _MIN_ESR) for esr in (*(esr for *_, esr, _ in twins), *floors.values())]
        speeds = [speed for *_, speed in twins]
        heights, widths = (min(errors) / 2, 2 * max(errors)), (min(speeds) / 1.5, 2 * max(speeds))
        axes.set_ylim(*heights)
        axes.set_xlim(*widths)
        _logarithmic_axis(axes, axes.yaxis, heights)
        _logarithmic_axis(axes, axes.xaxis, widths, "x", 1.0)
        axes.set_xlabel("speed (seconds of audio per second of one CPU; right is better)")
        axes.set_ylabel("test error-to-signal ratio (lower is better)")
        legend_below(axes, 2)
        _label_points(axes, [(speed, max(esr, _MIN_ESR), model) for _, model, esr, speed in twins])
    return drawn.getvalue()


def _label_points(axes: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Write the names of points (x, y, name) beside them, so that no name covers a point or another name.

    A name without such a place is right of its point.
    """
    size, gap = 7.0, 5.0
    # The layout must be final.
    figure_of(axes).draw_without_rendering()
    placed = axes.transData.transform([(x, y) for x, y, _ in points]) * 72 / figure_of(axes).dpi
    covered = [(x - 4, y - 4, x + 4, y + 4) for x, y in placed]
    for (x, y), (speed, esr, name) in zip(placed, points, strict=True):
        width = 0.62 * size * len(name)
        beside = [(dx, dy) for dx in (gap, -gap - width) for dy in (-3.0, 5.0, -12.0, 14.0, -21.0)]
        offsets = [*beside, (-width / 2, 6.0), (-width / 2, -14.0)]
        boxes = [(x + dx, y + dy, x + dx + width, y + dy + 1.2 * size) for dx, dy in offsets]
        free = [place for place, box in enumerate(boxes) if not any(_overlap(box, other) for other in covered)]
        chosen = free[0] if free else 0
        covered.append(boxes[chosen])
        axes.annotate(name, (speed, esr), xytext=offsets[chosen], textcoords="offset points", fontsize=size)


_Box = tuple[float, float, float, float]


def _overlap(one: _Box, other: _Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _logarithmic_axis(
    axes: Axes, axis: Axis, limits: tuple[float, float], unit: str = "%", scale: float = 100.0
) -> None:
    """Make an axis logarithmic, with labels within the limits in plain numbers instead of powers of ten."""
    across = axis is axes.xaxis
    (axes.set_xscale if across else axes.set_yscale)("log")

    def label(value: float) -> str:
        return f"{np.format_float_positional(scale * value, 3, fractional=False, trim='-')} {unit}"

    # In points, with room for the labels of the other axis.
    length = 72 * figure_of(axes).get_size_inches()[0 if across else 1] * (0.62 if across else 0.75)
    first, last = int(np.floor(np.log10(limits[0]))), int(np.ceil(np.log10(limits[1])))
    for digits, step in _TICKS:
        ticks = [float(f"{digit}e{power}") for power in range(first, last + 1, step) for digit in digits]
        ticks = [tick for tick in ticks if limits[0] <= tick <= limits[1]]
        room = 5.5 * max((len(label(tick)) for tick in ticks), default=0) + 8 if across else 16.0
        if room * len(ticks) <= length:
            break
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: label(value)))


def _octave_centres(top: float) -> "Curve":
    """Return centres from 20 Hz to `top` in steps of 1/24 octave."""
    return 20.0 * 2 ** (np.arange(int(24 * np.log2(top / 20)) + 1) / 24)


def _smooth(frequencies: "Curve", density: "Curve", centres: "Curve") -> "Curve":
    """Return the mean density within 1/12 octave of the centres, and at least over one bin."""
    width = frequencies[1] - frequencies[0]
    sums = np.concatenate([[0.0], np.cumsum(density)])
    edges = (np.arange(len(sums)) - 0.5) * width
    low = np.minimum(centres * 2 ** (-1 / 12), centres - width / 2)
    high = np.maximum(centres * 2 ** (1 / 12), centres + width / 2)
    low, high = np.clip(low, edges[0], edges[-1]), np.clip(high, edges[0], edges[-1])
    mean: Curve = (np.interp(high, edges, sums) - np.interp(low, edges, sums)) * width / (high - low)
    return mean
