"""The picture of an alignment: the lag along the recording, the line through it, and what is left."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure

from twinlib.alignment.result import Alignment
from twinlib.files import written_aside

# Okabe & Ito's colours, told apart by the colour-blind; markers differ too.
_POINT, _LINE, _OFF = "#0072B2", "#000000", "#D55E00"


def draw_alignment(alignment: Alignment, path: Path) -> None:
    """Write an SVG: above, the lag without its constant and the fitted line; below, the residual of each window.

    Equal alignments give equal bytes. A refused capture without windows gives a picture that says why.
    """
    rate = alignment.sample_rate
    with rc_context({"svg.hashsalt": "twin", "svg.fonttype": "none", "font.size": 9}):
        figure = Figure(figsize=(8.0, 5.0), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True)
        heard = [window for window in alignment.track if window.weight > 0]
        deaf = [window for window in alignment.track if window.weight == 0]
        time = np.array([window.position / rate for window in heard])
        constant = round(alignment.lag_samples)
        residual = np.array([window.residual for window in heard])
        above.plot(time, [window.lag - constant for window in heard], "o", ms=3, color=_POINT, label="windows")
        start, stop = (position / rate for position in alignment.dry_range)
        ends = [alignment.lag_samples - constant + alignment.drift_ppm * 1e-6 * t * rate for t in (start, stop)]
        above.plot([start, stop], ends, "-", lw=1, color=_LINE, label=f"line, {alignment.drift_ppm:.4f} ppm")
        above.set_ylabel(f"lag − {constant} (samples)")
        above.legend(loc="best")
        above.set_title(
            f"{alignment.verdict}: lag {alignment.lag_samples:.3f} samples, drift {alignment.drift_ppm:.4f} ppm, "
            f"polarity {alignment.polarity:+d}"
        )
        inside = np.abs(residual) <= 0.5
        below.axhline(0.0, lw=1, color=_LINE)
        below.plot(time[inside], residual[inside], "o", ms=3, color=_POINT, label="agrees")
        if not inside.all():
            shown = np.clip(residual[~inside], -1.0, 1.0)
            below.plot(time[~inside], shown, "x", ms=5, color=_OFF, label="off the line (drawn at ±1 at most)")
        if deaf:
            places = [window.position / rate for window in deaf]
            below.plot(places, [0.0] * len(places), "|", ms=12, color=_OFF, label="not recognised")
        if not inside.all() or deaf:
            below.legend(loc="best")
        if not alignment.track:
            below.text(0.5, 0.5, "\n".join(alignment.reasons), ha="center", va="center", wrap=True, fontsize=7)
            below.texts[-1].set_transform(below.transAxes)
        below.set_ylabel("residual (samples)")
        below.set_xlabel("time on the dry file (s)")
        with written_aside(path) as aside:
            figure.savefig(aside, format="svg", metadata={"Date": None})
