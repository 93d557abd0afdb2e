"""The figures of the datasheet as SVG. Equal facts give equal bytes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from twinlib.contracts import SPLITS
from twinlib.plotting import axes_grid
from twinlib.reports import draw_comparison

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
"""The colour-blind safe palette of Okabe and Ito; hatching distinguishes the bars in grey print."""

_HATCHES = ("", "//", "..", "xx", "\\\\", "++", "oo")
_OTHERS = "others"


def card_figures(facts: Mapping[str, Any]) -> dict[str, str]:
    """Draw the figures of the facts of `twinlib.audit.card.card` as SVG by name; omit empty figures."""
    devices = facts["devices"]
    licences: dict[tuple[str, str], dict[str, float]] = {
        (name, split): {
            licence or "not specified": amount["hours_by_split"][split]
            for licence, amount in device["music"]["by_licence"].items()
        }
        for name, device in devices.items()
        for split in SPLITS
    }
    genres: dict[tuple[str, str], dict[str, float]] = {
        (name, split): {genre or "not specified": hours[split] for genre, hours in device["genres"].items()}
        for name, device in devices.items()
        for split in SPLITS
    }
    evaluated = [twin for twin in facts["twins"].values() if twin["metrics"]]
    figures = {
        "licences": _svg(lambda path: _hours(path, licences, "licence")),
        "genres": _svg(lambda path: _hours(path, genres, "genre")) if any(genres.values()) else "",
        "gains": _svg(lambda path: _gains(path, facts["excitations"])) if facts["excitations"] else "",
        "residuals": _svg(lambda path: _residuals(path, devices)),
        "twins": draw_comparison(
            [
                (one["device"], one["model"], one["metrics"]["esr"], one["metrics"]["realtime_factor"])
                for one in evaluated
            ],
            {one["device"]: one["metrics"]["esr_floor"] for one in evaluated if "esr_floor" in one["metrics"]},
        )
        if evaluated
        else "",
    }
    return {name: svg for name, svg in figures.items() if svg}


def _svg(draw: Callable[[Path], None]) -> str:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "figure.svg"
        draw(path)
        return path.read_text(encoding="utf-8")


def _hours(path: Path, bars: Mapping[tuple[str, str], Mapping[str, float]], kind: str) -> None:
    """Draw a stacked bar per device and split; the rarest of many kinds are combined as `others`."""
    totals: dict[str, float] = {}
    for parts in bars.values():
        for name, hours in parts.items():
            totals[name] = totals.get(name, 0.0) + hours
    kinds = sorted(totals, key=lambda name: (-totals[name], name))
    most = len(COLOURS) - (len(kinds) > len(COLOURS))
    shown = [*kinds[:most], *([_OTHERS] if kinds[most:] else [])]
    grouped = [
        {
            **{name: parts.get(name, 0.0) for name in kinds[:most]},
            _OTHERS: sum(parts.get(one, 0.0) for one in kinds[most:]),
        }
        for parts in bars.values()
    ]
    longest = max((sum(parts.values()) for parts in grouped), default=0.0)
    scale, unit = (1.0, "hours") if longest >= 1 else (60.0, "minutes")
    with axes_grid(path, 1.0 + 0.24 * len(bars) + 0.16 * len(shown)) as (axes,):
        left = np.zeros(len(bars))
        for number, name in enumerate(shown):
            widths = scale * np.array([parts[name] for parts in grouped])
            style: dict[str, Any] = {"color": COLOURS[number], "hatch": _HATCHES[number], "edgecolor": "white"}
            axes.barh(range(len(bars)), widths, left=left, height=0.7, linewidth=0.4, label=name, **style)
            left += widths
        axes.set_yticks(range(len(bars)), [f"{device}, {split}" for device, split in bars])
        axes.invert_yaxis()
        axes.grid(False, axis="y")
        axes.set_xlabel(unit)
        axes.set_title(f"{unit} of each split, by {kind}", loc="left")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.5 / (0.6 + 0.24 * len(bars))), ncols=2)


def _gains(path: Path, excitations: Mapping[str, Any]) -> None:
    with axes_grid(path, 0.6 + 2.2 * len(excitations), len(excitations)) as grid:
        for axes, (name, found) in zip(grid, excitations.items(), strict=True):
            edges = found["gains"]["edges"]
            for number, split in enumerate(SPLITS):
                counts = np.array(found["gains"]["counts"][split], dtype=float)
                stroke = ("-", "--", ":")[number]
                share = 100 * counts / max(counts.sum(), 1.0)
                axes.stairs(share, edges, color=COLOURS[number], linestyle=stroke, linewidth=1.4, label=split)
            axes.margins(y=0.25)
            axes.set_ylabel("% of slices per dB")
            axes.set_title(f"{name}: playback gain of the slices", loc="left")
            axes.legend(loc="upper left", ncols=3)
        grid[-1].set_xlabel("gain (dB, relative to the source)")


def _residuals(path: Path, devices: Mapping[str, Any]) -> None:
    with axes_grid(path, 0.6 + 1.9 * len(devices), len(devices)) as grid:
        for axes, (name, device) in zip(grid, devices.items(), strict=True):
            for number, (capture, found) in enumerate(device["captures"].items()):
                track = np.array(found["alignment"]["track"], dtype=float).reshape(-1, 2)
                axes.plot(
                    track[:, 0] / 60,
                    track[:, 1],
                    color=COLOURS[number % len(COLOURS)],
                    marker="os^Dv"[number % 5],
                    markersize=2,
                    linewidth=0.6,
                    label=capture if number < len(COLOURS) else None,
                )
            axes.set_ylabel("lag (samples)")
            axes.set_title(f"{name}: residual lag of the windows", loc="left")
            axes.legend(loc="upper right", ncols=4)
            axes.margins(x=0.01, y=0.25)
        grid[-1].set_xlabel("time in the dry file (minutes)")
