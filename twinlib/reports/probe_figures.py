"""The figures of a probe reel: measurements of the device and of its twin."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from twinlib.db import db_to_power, power_to_db
from twinlib.evaluation import PROBE_FIGURES
from twinlib.measurement import MASK_DB
from twinlib.plotting import DASHED, DEVICE, DRY, TWIN, axes_grid, frequency_axis

_HERTZ = ((100.0, "o"), (498.0, "s"), (1245.0, "^"), (4978.0, "v"))
_LEVELS = ((-40.0, 0.8), (-18.0, 1.3), (-6.0, 2.0))
_MIN_DBC = -110.0
_MIN_PHASE_DBC = -80.0

Measured = dict[str, Any]


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
    handles = [
        axes.plot([], [], color=DEVICE, linewidth=2.6, alpha=0.6, label="device")[0],
        axes.plot([], [], color=TWIN, linewidth=1.3, linestyle=DASHED, label="twin")[0],
        *(axes.plot([], [], label=label, **style)[0] for label, style in extra),
    ]
    axes.legend(handles=handles, loc="best", fontsize=7, ncols=2)


def _harmonics(path: Path, title: str, device: Measured, twin: Measured) -> None:
    with axes_grid(path, 6.4, rows=2, columns=2) as grid:
        for axes, order, marker, theirs, ours in _iterate_harmonics(grid, device, twin):
            levels, noise, values = (
                np.array([sine[key][order - 2] for sine in sines])
                for sines, key in ((theirs, "dbc"), (theirs, "noise_dbc"), (ours, "dbc"))
            )
            shown = (levels > noise + MASK_DB) & (levels > _MIN_DBC)
            x = [sine["level_dbfs"] for sine in theirs]
            _plot_pair(axes, x, np.where(shown, levels, np.nan), np.where(shown, values, np.nan), marker)
        for axes in grid:
            axes.set_ylim(_MIN_DBC, 0)
            axes.axhline(-70, color=DRY, linewidth=0.8, linestyle=":")
        _label_harmonics(grid, f"{title}: H2", "harmonic (dBc)", device)


def _phases(path: Path, title: str, device: Measured, twin: Measured) -> None:
    with axes_grid(path, 6.4, rows=2, columns=2) as grid:
        for axes, order, marker, theirs, ours in _iterate_harmonics(grid, device, twin):
            levels, noise, phases, others = (
                np.array([sine[key][order - 2] for sine in sines])
                for sines, key in (
                    *((theirs, key) for key in ("dbc", "noise_dbc", "relative_degrees")),
                    (ours, "relative_degrees"),
                )
            )
            # The weaker a harmonic, the larger its phase error for the same absolute error.
            shown = (levels > noise + MASK_DB) & (levels > _MIN_PHASE_DBC)
            if shown.any():
                x = np.array([sine["level_dbfs"] for sine in theirs])
                unwrapped = np.unwrap(phases[shown], period=360)
                off = (others - phases + 180) % 360 - 180
                _plot_pair(axes, x[shown], unwrapped, unwrapped + off[shown], marker)
        _label_harmonics(grid, f"{title}: phase of H2", "phase relative to the fundamental (degrees)", device)


def _iterate_harmonics(
    grid: Sequence[Axes], device: Measured, twin: Measured
) -> Iterator[tuple[Axes, int, str, list[Measured], list[Measured]]]:
    """Yield axes, order, marker, and the sines of device and twin, for H2 to H5 and each frequency drawn."""
    for axes, order in zip(grid, (2, 3, 4, 5), strict=True):
        for hz, marker in _HERTZ:
            theirs, ours = _sines_at(device["sines"], hz), _sines_at(twin["sines"], hz)
            if len(theirs[0]["dbc"]) >= order - 1:
                yield axes, order, marker, theirs, ours


def _label_harmonics(grid: Sequence[Axes], first: str, unit: str, device: Measured) -> None:
    """Add titles, axis labels and legend to the panels of four harmonics."""
    levels = _sine_levels(device)
    for axes, order in zip(grid, (2, 3, 4, 5), strict=True):
        axes.set_title(f"H{order}", loc="left")
        axes.set_xlim(levels[0] - 1, levels[-1] + 1)
    for axes in grid[2:]:
        axes.set_xlabel("level of the sine (dBFS)")
    for axes in grid[::2]:
        axes.set_ylabel(unit)
    grid[0].set_title(first, loc="left")
    _add_legend(grid[0], *((f"{hz:.0f} Hz", {"color": DRY, "marker": mark, "linewidth": 0}) for hz, mark in _HERTZ))


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
        axes.set_title(f"{title}: several tones (circle: device)", loc="left")


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
