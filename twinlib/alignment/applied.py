"""What the warp makes of a clock that was found: a shift by whole samples where that is exact, else interpolation."""

import numpy as np

from twinlib.alignment.clock import Clock
from twinlib.alignment.line import Array
from twinlib.alignment.result import Warp
from twinlib.alignment.signals import Channel
from twinlib.alignment.timemap import Piece

IN_STEP = (-4, 16)
"""Lags in samples at which a pair on one clock is taken to be in step already. A device's own phase makes the lag
uncertain by a few samples, and differently so in every recording, but the pairs of one device must be shifted alike;
so small a constant is left to the twin, and the guard keeps it from leading."""

SNAP = 0.01
"""Samples from a whole number within which a digital loss is taken to be one."""


def applied(clock: Clock, dry: Channel, take: bool) -> tuple[Warp, tuple[Piece, ...]]:
    """What the warp does, and along which pieces: interpolation never touches a digital pair, whose clocks are one."""
    frames, fit = dry.stop - dry.start, clock.fit
    pieces = clock.timemap(dry.start, dry.stop).pieces
    if clock.curve is not None:
        return "sinc", pieces
    steps = fit.lags - fit.lags[0]
    whole_steps = np.round(steps)
    drift = fit.drift_ppm * 1e-6
    digital = bool(np.all(np.abs(steps - whole_steps) < np.maximum(SNAP, 3.0 * _finite(fit.lag_errors))))
    steady = abs(drift) * frames < 0.02 or abs(fit.drift_ppm) < 3.0 * fit.drift_error_ppm
    whole = round(float(fit.lags[0]) + 0.5 * drift * frames)
    if steady and not take and IN_STEP[0] <= whole <= IN_STEP[1]:
        whole = 0
    if steady and digital and (not take or abs(float(fit.lags[0]) - whole) < SNAP):
        lags = (whole + whole_steps).tolist()
        return "shift", tuple(
            Piece(one.start, one.stop, (float(one.start),), (float(lag),))
            for one, lag in zip(pieces, lags, strict=True)
        )
    return "sinc", pieces


def _finite(errors: Array) -> Array:
    return np.where(np.isfinite(errors), np.minimum(errors, 0.1), 0.1) if len(errors) else np.zeros(1)
