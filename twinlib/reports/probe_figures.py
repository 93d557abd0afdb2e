"""The figures of a probe reel: measurements of the device and of its twin."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from twinlib.db import db_to_power, power_to_db
from twinlib.evaluation import PROBE_FIGURES
from twinlib.measurement import MASK_DB, MIN_COMPARED_DBC
from twinlib.plotting import DASHED, DEVICE, DRY, TWIN, axes_grid, figure_of, frequency_axis, legend_below

_HERTZ = ((100.0, "o"), (498.0, "s"), (1245.0, "^"), (4978.0, "v"))
_LEVELS = ((-40.0, 0.8), (-18.0, 1.3), (-6.0, 2.0))
_MIN_DBC = -110.0
_MIN_PHASE_DBC = -80.0

Measured = dict[str, Any]
Values = NDArray[np.float64]


def draw_probe(folder: Path, title: str, device: Measured, twin: Measured) -> None:
    """Write an SVG for each of `PROBE_FIGURES` from two measurements (`measure_probe_reel`)."""
    drawers = (
        _harmonics,
        _phases,
        _distortion,
        _response,
        _compression,
        _loops,
        _intermodulation,
        _aliasing,
    )
    for name, draw in zip(PROBE_FIGURES, drawers, strict=True):
        draw(folder / f"{name}.svg", title, device, twin)


def _sine_levels(measured: Measured) -> list[float]:
    """Return the levels in dBFS of the sines, in ascending order."""
    return sorted({float(sine["level_dbfs"]) for sine in measured["sines"]})


def _sines_at(sines: Sequence[Measured], hz: float) -> list[Measured]:
    """Return the sines of the frequency nearest to `hz`, in ascending order of level."""
    nearest = min((sine["hz"] for sine in sines), key=lambda other: abs(np.log(other / hz)))
    return sorted((sine for sine in sines if sine["hz"] == nearest), key=lambda sine: float(sine["level_dbfs"]))


def _plot_pair(axes: Axes, x: Any, device: Any, twin: Any, marker: str | None = None, width: float = 1.3) -> None:
    """Plot a wide curve of the device, and a dashed one of the twin on top."""
    axes.plot(x, device, color=DEVICE, linewidth=2 * width, alpha=0.6, marker=marker, markersize=4)
    axes.plot(x, twin, color=TWIN, linewidth=width, linestyle=DASHED, marker=marker, markersize=2.5)


def _add_legend(axes: Axes, *extra: tuple[str, dict[str, Any]]) -> None:
    axes.legend(handles=_legend_handles(axes, *extra), loc="best", ncols=2)


def _legend_handles(axes: Axes, *extra: tuple[str, dict[str, Any]]) -> list[Line2D]:
    return [
        axes.plot([], [], color=DEVICE, linewidth=2.6, alpha=0.6, label="device")[0],
        axes.plot([], [], color=TWIN, linewidth=1.3, linestyle=DASHED, label="twin")[0],
        *(axes.plot([], [], label=label, **style)[0] for label, style in extra),
    ]


def _harmonics(path: Path, title: str, device: Measured, twin: Measured) -> None:
    with _harmonic_panels(path, f"{title}: harmonics", device, twin, _MIN_DBC) as panels:
        lowest = 0.0
        for axes, order, marker, theirs, ours in panels.lines:
            levels, shown = _levels_shown(theirs, order, _MIN_DBC)
            values = np.array([sine["dbc"][order - 2] for sine in ours])
            x = [sine["level_dbfs"] for sine in theirs]
            _plot_pair(axes, x, np.where(shown, levels, np.nan), np.where(shown, values, np.nan), marker)
            lowest = min([lowest, *levels[shown], *values[shown]])
        low = max(_MIN_DBC, 10 * np.floor((lowest - 3) / 10))
        style: dict[str, Any] = {"color": DRY, "linewidth": 0.8, "linestyle": ":"}
        for axes in panels.grid:
            axes.set_ylim(low, 0)
            if low < MIN_COMPARED_DBC:
                axes.axhline(MIN_COMPARED_DBC, **style)
        panels.label("level (dBc)", *([("limit of the comparison", style)] if low < MIN_COMPARED_DBC else []))


def _phases(path: Path, title: str, device: Measured, twin: Measured) -> None:
    # The weaker a harmonic, the larger its phase error for the same absolute error.
    with _harmonic_panels(path, f"{title}: phases", device, twin, _MIN_PHASE_DBC) as panels:
        for axes, order, marker, theirs, ours in panels.lines:
            _, shown = _levels_shown(theirs, order, _MIN_PHASE_DBC)
            if shown.any():
                phases, others = (
                    np.array([sine["relative_degrees"][order - 2] for sine in sines]) for sines in (theirs, ours)
                )
                x = np.array([sine["level_dbfs"] for sine in theirs])
                unwrapped = np.unwrap(phases[shown], period=360)
                off = (others - phases + 180) % 360 - 180
                _plot_pair(axes, x[shown], unwrapped, unwrapped + off[shown], marker)
        panels.label("relative to the fundamental (degrees)")


def _levels_shown(sines: Sequence[Measured], order: int, lowest: float) -> tuple[Values, NDArray[np.bool_]]:
    """Return the levels of a harmonic in dBc, and which of them are above the noise and `lowest`."""
    levels, noise = (np.array([sine[key][order - 2] for sine in sines]) for key in ("dbc", "noise_dbc"))
    return levels, (levels > noise + MASK_DB) & (levels > lowest)


@dataclass(frozen=True)
class _Panels:
    """A panel for each harmonic that the device has, and the lines in them."""

    grid: list[Axes]
    lines: list[tuple[Axes, int, str, list[Measured], list[Measured]]]
    """Axes, order, marker, and the sines of device and twin, of each harmonic and frequency."""

    def label(self, unit: str, *extra: tuple[str, dict[str, Any]]) -> None:
        """Add the unit and the legend, below the panels."""
        for axes in self.grid[::2]:
            axes.set_ylabel(unit)
        hertz = ((f"{hz:.0f} Hz", {"color": DRY, "marker": mark, "linewidth": 0}) for hz, mark in _HERTZ)
        handles = _legend_handles(self.grid[0], *hertz, *extra)
        legend_below(self.grid[0], 4, handles)


@contextmanager
def _harmonic_panels(path: Path, title: str, device: Measured, twin: Measured, lowest: float) -> Iterator[_Panels]:
    """Yield the panels of the harmonics with at least two values above the noise and `lowest`, or one empty panel.

    The title names the other harmonics.
    """
    lines = [
        (order, marker, theirs, ours)
        for order in (2, 3, 4, 5)
        for hz, marker in _HERTZ
        for theirs, ours in [(_sines_at(device["sines"], hz), _sines_at(twin["sines"], hz))]
        if len(theirs[0]["dbc"]) >= order - 1
    ]
    orders = sorted({order for order, _, theirs, _ in lines if sum(_levels_shown(theirs, order, lowest)[1]) > 1})
    absent = ", ".join(f"H{order}" for order in (2, 3, 4, 5) if order not in orders)
    drawn = orders or [2]
    columns = min(2, len(drawn))
    rows = -(-len(drawn) // columns)
    with axes_grid(path, 0.8 + 2.6 * rows, rows=rows, columns=columns) as grid:
        axes_of = dict(zip(drawn, grid, strict=False))
        for axes in grid[len(drawn) :]:
            axes.set_visible(False)
        levels = _sine_levels(device)
        for order, axes in axes_of.items():
            axes.set_title(f"H{order}", loc="left")
            axes.set_xlim(levels[0] - 1, levels[-1] + 1)
            axes.set_xlabel("level of the sine (dBFS)")
        words = f"{title} (too weak to measure: {absent})" if absent else title
        figure_of(grid[0]).suptitle(words, x=0.01, horizontalalignment="left", fontsize=10)
        yield _Panels([*axes_of.values()], [(axes_of[one[0]], *one) for one in lines if one[0] in axes_of])


def _distortion(path: Path, title: str, device: Measured, twin: Measured) -> None:
    with axes_grid(path, 3.6) as (axes,):
        for level, width in _LEVELS:
            curves = []
            for measured in (device, twin):
                (sweep,) = [sweep for sweep in measured["sweeps"] if sweep["level_dbfs"] == level]
                parts = np.array([[np.nan if v is None else v for v in row] for row in sweep["dbc"].values()])
                power = np.nansum(db_to_power(parts), axis=0)
                # Above the band of the third harmonic, the sum would omit its largest term.
                complete = ~np.isnan(parts[1])
                curves.append(np.where(complete, power_to_db(power), np.nan))
            _plot_pair(axes, sweep["hz"], curves[0], curves[1], width=width)
        frequency_axis(axes, 20, 7000)
        axes.set_ylabel("harmonics 2 to 5 together (dBc)")
        axes.set_ylim(_MIN_DBC, 5)
        axes.set_title(f"{title}: distortion over frequency", loc="left")
        widths = [(f"{level:.0f} dBFS", {"color": DRY, "linewidth": width}) for level, width in _LEVELS]
        _add_legend(axes, *widths)


def _response(path: Path, title: str, device: Measured, twin: Measured) -> None:
    with axes_grid(path, 5.0, rows=2) as (above, below):
        for level, width in _LEVELS:
            theirs, ours = [next(s for s in one["sweeps"] if s["level_dbfs"] == level) for one in (device, twin)]
            _plot_pair(above, theirs["hz"], theirs["gain_db"], ours["gain_db"], width=width)
            _plot_pair(below, theirs["hz"], theirs["degrees"], ours["degrees"], width=width)
        above.set_ylabel("gain (dB)")
        below.set_ylabel("phase (degrees)")
        for axes in (above, below):
            frequency_axis(axes, 20, 20000)
        above.set_xlabel("")
        above.set_title(f"{title}: response of the fundamental", loc="left")
        widths = [(f"{level:.0f} dBFS", {"color": DRY, "linewidth": width}) for level, width in _LEVELS]
        _add_legend(above, *widths)


def _compression(path: Path, title: str, device: Measured, twin: Measured) -> None:
    with axes_grid(path, 3.4) as (axes,):
        marks = []
        for theirs, ours, marker in zip(device["compression"], twin["compression"], ("o", "s", "^"), strict=False):
            x = theirs["level_dbfs"]
            _plot_pair(axes, x, theirs["gain_db"], ours["gain_db"])
            axes.plot(x[::6], theirs["gain_db"][::6], color=DEVICE, marker=marker, markersize=4, linewidth=0)
            marks.append((f"{theirs['hz']:.0f} Hz", {"color": DEVICE, "marker": marker, "linewidth": 0}))
        axes.set_xlabel("level of the tone (dBFS)")
        axes.set_ylabel("gain (dB)")
        axes.set_title(f"{title}: compression", loc="left")
        _add_legend(axes, *marks)


def _loops(path: Path, title: str, device: Measured, twin: Measured) -> None:
    count = max(1, len(device["loops"]))
    with axes_grid(path, 3.4, columns=count) as grid:
        for axes, theirs, ours in zip(grid, device["loops"], twin["loops"], strict=False):
            _plot_pair(axes, theirs["dry"], theirs["wet"], ours["wet"])
            axes.set_title(f"{theirs['hz']:.0f} Hz, {theirs['level_dbfs']:.0f} dBFS", loc="left")
            axes.set_xlabel("dry (full scale = 1)")
        grid[0].set_ylabel("output (full scale = 1)")
        if device["loops"]:
            grid[0].set_title(f"{title}: {device['loops'][0]['hz']:.0f} Hz", loc="left")
            _add_legend(grid[0])


def _intermodulation(path: Path, title: str, device: Measured, twin: Measured) -> None:
    names, values = [], []
    for theirs, ours in zip(device["pairs"], twin["pairs"], strict=True):
        for key, word in (("imd_db", "SMPTE"), ("d2_db", "CCIF, 2nd order"), ("d3_db", "CCIF, 3rd order")):
            if theirs[key] is not None:
                names.append(f"{word}, {theirs['level_dbfs']:.0f} dBFS")
                values.append((theirs[key], ours[key]))
    for theirs, ours in zip(device["multitones"], twin["multitones"], strict=True):
        names.append(f"32 tones, {theirs['level_dbfs']:.0f} dBFS")
        values.append((theirs["distortion_db"], ours["distortion_db"]))
    with axes_grid(path, 1.0 + 0.32 * len(names)) as (axes,):
        for place, (theirs, ours) in enumerate(values):
            axes.plot([theirs, ours], [place, place], color=DRY, linewidth=0.8)
            axes.plot(theirs, place, color=DEVICE, marker="o", markersize=8, alpha=0.6, linewidth=0)
            axes.plot(ours, place, color=TWIN, marker="D", markersize=4, linewidth=0)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.set_xlabel("intermodulation and noise against the tones (dB)")
        axes.set_title(f"{title}: several tones", loc="left")
        marks = [
            axes.plot([], [], color=DEVICE, marker="o", markersize=8, alpha=0.6, linewidth=0, label="device")[0],
            axes.plot([], [], color=TWIN, marker="D", markersize=4, linewidth=0, label="twin")[0],
        ]
        legend_below(axes, 2, marks)


def _aliasing(path: Path, title: str, device: Measured, twin: Measured) -> None:
    with axes_grid(path, 3.4) as (axes,):
        marks = []
        for hz, marker in _HERTZ[1:]:
            theirs, ours = _sines_at(device["sines"], hz), _sines_at(twin["sines"], hz)
            x = [sine["level_dbfs"] for sine in theirs]
            _plot_pair(axes, x, [sine["alias_db"] for sine in theirs], [sine["alias_db"] for sine in ours], marker)
            marks.append((f"{hz:.0f} Hz", {"color": DRY, "marker": marker, "linewidth": 0}))
        axes.set_xlabel("level of the sine (dBFS)")
        axes.set_ylabel("inharmonic part (dB)")
        axes.set_title(f"{title}: noise of the device, aliases of the twin", loc="left")
        _add_legend(axes, *marks)
