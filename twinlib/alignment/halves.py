"""What lows and highs tell apart: a clock takes both along alike, and a device's phase does not."""

from twinlib.alignment.clock import Clock
from twinlib.alignment.signals import Channel
from twinlib.alignment.spectra import HIGH_HZ, LOW_HZ
from twinlib.alignment.track import Measured, Plan, measure

HALVES_HZ = 1500.0
"""Below and above it lies about as much that tells a delay."""


def halves(dry: Channel, wet: Channel, clock: Clock, polarity: int, windows: Plan) -> tuple[Measured, Measured]:
    """The same windows as the lows tell them, and as the highs do; residuals in samples about the clock."""
    low = between(dry, wet, clock, polarity, windows, (LOW_HZ, HALVES_HZ))
    return low, between(dry, wet, clock, polarity, windows, (HALVES_HZ, HIGH_HZ))


def between(
    dry: Channel, wet: Channel, clock: Clock, polarity: int, windows: Plan, band_hz: tuple[float, float]
) -> Measured:
    """Windows as what lies between two frequencies in Hz tells them, once the device's phase there is known."""
    timemap = clock.timemap(dry.start, dry.stop)
    _, known = measure(dry, wet, windows, timemap, None, polarity, clock.excluded, between_hz=band_hz)
    return measure(dry, wet, windows, timemap, known, polarity, clock.excluded, between_hz=band_hz)[0]
