"""How much a clock swings within a second, told by short windows."""

import numpy as np
import numpy.typing as npt

from twinlib.alignment.clock import Clock
from twinlib.alignment.halves import between, halves
from twinlib.alignment.signals import Channel
from twinlib.alignment.spectra import HIGH_HZ, LOW_HZ
from twinlib.alignment.track import NEARER, Measured, Plan
from twinlib.alignment.wander import common

SIZE = 1024
"""Samples of a window: 23 ms at 44.1 kHz, which still shows half of what swings fifty times a second."""

PLACES = 12
"""Places all over a take that tell its flutter."""

SECONDS = 0.25
"""Of programme at each of them."""

TELLING = 1000.0
"""Inverse variance, 0.03 samples rms, from which a short window tells flutter."""

LEAST_FLUTTER = 0.015
"""Samples rms that are not worth the question whether they are the clock's."""


def flutter(dry: Channel, wet: Channel, clock: Clock, polarity: int, programme: tuple[int, int]) -> float:
    """The rms in samples by which short windows all over a dry range [start, stop) swing about the clock.

    A clock takes lows and highs along alike; what only one of them does is the device's, and no flutter. Long windows
    take the mean of what swings faster than they last, and look right. What swings faster than fifty times a second
    these short ones hardly show either.
    """
    reach = round(SECONDS * dry.rate)
    places = np.linspace(programme[0], max(programme[0], programme[1] - reach), PLACES).astype(np.int64)
    windows = Plan(np.unique(places[:, None] + np.arange(0, reach, SIZE // 2)), SIZE)
    whole = between(dry, wet, clock, polarity, windows, (LOW_HZ, HIGH_HZ))
    sharp = whole.residual[_sharp(whole)]
    if len(sharp) < 2 or float(np.std(sharp)) < LEAST_FLUTTER:
        return 0.0
    low, high = halves(dry, wet, clock, polarity, windows)
    _, first, second = np.intersect1d(low.position, high.position, return_indices=True)
    told = (_sharp(low)[first]) & (_sharp(high)[second])
    level = low.level_db[first][told]
    return common(low.residual[first][told], high.residual[second][told], level)


def _sharp(measured: Measured) -> npt.NDArray[np.bool_]:
    """The windows that tell flutter."""
    return np.asarray((measured.weight > TELLING) & (measured.sign > 0) & (np.abs(measured.residual) < NEARER))
