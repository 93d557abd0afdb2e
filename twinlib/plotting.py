"""The common style of all figures: colours, fonts, frequency axes, and SVG files that depend on the numbers alone.

Device and twin have the same two colours everywhere (Okabe and Ito 2008, safe for colour-blind readers) and different
line styles, so that they differ in greyscale print too.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from twinlib.files import atomic_path

DEVICE, TWIN, DRY, ERROR = "#0072B2", "#D55E00", "#8C8C8C", "#000000"

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""The colours of Okabe and Ito that are legible on white."""

EXCLUDED = "#CC79A7"

WIDTH = 5.5
"""Width of all figures in inches: two fit beside each other on a screen, and one is readable on a phone."""

DASHED: Any = (0, (4, 1.5))
DOTTED: Any = (0, (1, 1.5))

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
    "legend.fontsize": 8,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


@contextmanager
def stacked_axes(path: Path | StringIO, height: float, rows: tuple[float, ...] = (1.0,)) -> Iterator[list[Axes]]:
    """Yield stacked axes with a common x axis in a figure `WIDTH` wide; write the SVG when the context ends.

    `height` is in inches, `rows` are the height ratios.
    """
    with rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height))
        grid = figure.add_gridspec(len(rows), 1, height_ratios=rows)
        first = figure.add_subplot(grid[0, 0])
        yield [first, *(figure.add_subplot(grid[row, 0], sharex=first) for row in range(1, len(rows)))]
        _save_svg(figure, path)


@contextmanager
def axes_grid(path: Path, height: float, rows: int = 1, columns: int = 1) -> Iterator[list[Axes]]:
    """Yield a grid of independent axes, row by row, in a figure `WIDTH` wide; write the SVG when the context ends."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(WIDTH, height))
        yield figure.subplots(rows, columns, squeeze=False).ravel().tolist()
        _save_svg(figure, path)


def _save_svg(figure: Figure, path: Path | StringIO) -> None:
    metadata = {"Date": None, "Creator": None}
    if isinstance(path, StringIO):
        figure.savefig(path, format="svg", metadata=metadata)
        return
    with atomic_path(path) as aside:
        figure.savefig(aside, format="svg", metadata=metadata)


def figure_of(axes: Axes) -> Figure:
    """Return the figure that contains the axes."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return figure


def legend_below(axes: Axes, columns: int, handles: Sequence[Artist] | None = None) -> None:
    """Add a legend below all axes of a figure, where it covers no data; by default with all labels, each once."""
    figure = figure_of(axes)
    if handles is None:
        labelled = [part.get_legend_handles_labels() for part in figure.axes]
        handles = list({str(label): handle for pair in labelled for handle, label in zip(*pair, strict=True)}.values())
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def frequency_axis(axes: Axes, low: float, high: float) -> None:
    """Make the x axis a logarithmic frequency axis from `low` to `high` Hz."""
    axes.set_xscale("log")
    axes.set_xticks([20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000])
    axes.set_xticklabels(["20", "50", "100", "200", "500", "1k", "2k", "5k", "10k", "20k"])
    axes.minorticks_off()
    axes.set_xlim(low, high)
    axes.set_xlabel("frequency (Hz)")
