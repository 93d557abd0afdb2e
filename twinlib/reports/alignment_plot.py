"""Plot of an alignment: the measured lag, the fitted time map, and the residual."""

from pathlib import Path
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes

from twinlib.alignment import Alignment
from twinlib.plotting import DEVICE, ERROR, EXCLUDED, TWIN, legend_below, stacked_axes

_POINT, _LINE, _OFF = DEVICE, ERROR, TWIN

_MAX_RESIDUAL = 0.5
"""Maximum residual in samples; larger residuals are drawn at the edge."""


def plot_alignment(alignment: Alignment, path: Path) -> None:
    """Write an SVG with the lag without its drift, measured and fitted (top), and the residuals (bottom).

    Excluded ranges are shaded. Equal alignments give equal bytes. The plot of a refused capture without windows shows
    the reasons.
    """
    with stacked_axes(path, 5.0, (1.0, 1.0)) as (above, below):
        above.set_title(
            f"{alignment.verdict}: lag {alignment.lag_samples:.3f} samples, drift {alignment.drift_ppm:.4f} ppm, "
            f"polarity {alignment.polarity:+d}",
            loc="left",
        )
        above.tick_params(labelbottom=False)
        if alignment.track:
            _lags(above, alignment)
            _residuals(below, alignment)
            for axes in (above, below):
                _shade(axes, alignment)
            legend_below(above, 3)
        else:
            reasons = "\n".join(line for reason in alignment.reasons for line in wrap(reason, 80))
            below.text(0.5, 0.5, reasons, ha="center", va="center", fontsize=8, transform=below.transAxes)
        above.set_ylabel(f"lag − {_constant(alignment)} − drift (samples)")
        below.set_ylabel("residual (samples)")
        below.set_xlabel("time on the dry file (s)")


def _constant(alignment: Alignment) -> int:
    return round(alignment.lag_samples)


def _lags(axes: Axes, alignment: Alignment) -> None:
    """Plot lags minus the line of the first piece: dropouts are steps, a wandering clock is a curve."""
    rate, drift = alignment.sample_rate, alignment.drift_ppm * 1e-6
    detected = [window for window in alignment.track if window.weight > 0]
    position = np.array([window.position for window in detected])
    lag = np.array([window.lag for window in detected]) - _constant(alignment) - drift * position
    axes.plot(position / rate, lag, "o", ms=3, color=_POINT, label="window")
    for number, piece in enumerate(alignment.pieces):
        grid = np.linspace(piece.start, piece.stop, 500)
        fitted = alignment.timemap.curve(number, grid) - _constant(alignment) - drift * grid
        label = f"fit, drift {alignment.drift_ppm:.4f} ppm" if number == 0 else None
        axes.plot(grid / rate, fitted, "-", lw=1, color=_LINE, label=label)


def _residuals(axes: Axes, alignment: Alignment) -> None:
    rate = alignment.sample_rate
    detected = [window for window in alignment.track if window.weight > 0]
    time = np.array([window.position / rate for window in detected])
    residual = np.array([window.residual for window in detected])
    inside = np.abs(residual) <= _MAX_RESIDUAL
    axes.axhline(0.0, lw=0.8, color=_LINE)
    axes.plot(time[inside], residual[inside], "o", ms=3, color=_POINT, label="window")
    if not inside.all():
        edge = np.clip(residual[~inside], -_MAX_RESIDUAL, _MAX_RESIDUAL)
        axes.plot(time[~inside], edge, "x", ms=5, color=_OFF, label=f"beyond ±{_MAX_RESIDUAL}, at the edge")
    missing = [window.position / rate for window in alignment.track if window.weight == 0]
    if missing:
        axes.plot(missing, [0.0] * len(missing), "|", ms=12, color=_OFF, label="not recognised")


def _shade(axes: Axes, alignment: Alignment) -> None:
    rate = alignment.sample_rate
    for number, excluded in enumerate(alignment.excluded):
        label = "excluded" if number == 0 else None
        # A dropout of a millisecond must be visible in a plot of ten minutes.
        min_width = 0.002 * alignment.dry_frames
        middle, half = (excluded.start + excluded.stop) / 2, max(excluded.stop - excluded.start, min_width) / 2
        span = ((middle - half) / rate, (middle + half) / rate)
        axes.axvspan(*span, color=EXCLUDED, alpha=0.35, lw=0, hatch="//", label=label)
