"""The straight line that maps the dry clock to the wet one, and its robust fit."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """wet index = lag + (1 + drift_ppm * 1e-6) * dry index, in samples; + = wet late, wet longer."""

    lag: float
    drift_ppm: float

    def at(self, position: float) -> float:
        """The lag in samples at a position on the dry clock."""
        return self.lag + self.drift_ppm * 1e-6 * position

    def wet(self, position: float) -> float:
        """The wet index that belongs to a dry index."""
        return position + self.at(position)


@dataclass(frozen=True)
class Fit:
    """A fitted line and the standard error of its drift in ppm."""

    line: Line
    drift_error_ppm: float


def theil_sen(positions: Array, lags: Array, most: int = 400) -> Line:
    """The line through the median of all pairwise slopes (Sen 1968); of `most` evenly chosen points at most."""
    chosen = np.unique(np.linspace(0, len(positions) - 1, min(most, len(positions))).round().astype(int))
    x, y = positions[chosen], lags[chosen]
    i, j = np.triu_indices(len(x), 1)
    apart = np.abs(x[j] - x[i]) > 0
    slopes = (y[j] - y[i])[apart] / (x[j] - x[i])[apart]
    slope = float(np.median(slopes)) if len(slopes) else 0.0
    return Line(float(np.median(lags - slope * positions)), slope * 1e6)


def fit_line(positions: Array, lags: Array, weights: Array) -> Fit:
    """A weighted line that outliers do not bend: Tukey's biweight, started from Theil-Sen.

    `positions` in samples, `lags` in samples, `weights` inverse variances. Two windows are the least.
    """
    line = theil_sen(positions, lags)
    centre = float(np.average(positions, weights=weights))
    x = positions - centre
    error = np.inf
    for _ in range(20):
        residuals = lags - (line.lag + line.drift_ppm * 1e-6 * positions)
        scale = max(1.4826 * float(np.median(np.abs(residuals))), 1e-5)
        inside = np.clip(1.0 - (residuals / (6.0 * scale)) ** 2, 0.0, None)
        w = weights * inside**2
        total, spread = float(w.sum()), float((w * x * x).sum())
        middle = float((w * x).sum()) / total
        inertia = spread - total * middle * middle
        if inertia <= 0.0:
            break
        height = float((w * lags).sum()) / total
        slope = float((w * (x - middle) * lags).sum()) / inertia
        before, line = line, Line(height - slope * (centre + middle), slope * 1e6)
        left = lags - (line.lag + slope * positions)
        variance = float((w * left * left).sum()) / total / max(len(lags) - 2, 1) * total
        error = float(np.sqrt(variance / inertia)) * 1e6
        if abs(before.drift_ppm - line.drift_ppm) < 1e-9 and abs(before.lag - line.lag) < 1e-9:
            break
    return Fit(line, error)
