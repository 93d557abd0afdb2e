"""Numbers as people read them."""

import math


def decibels(power_ratio: float) -> float:
    """10 log10 of a ratio of powers, -200 dB at the least."""
    return 10 * math.log10(max(power_ratio, 1e-20))


def percent(ratio: float) -> str:
    """A ratio as a percentage with three significant digits, never in powers of ten."""
    percent = 100 * ratio
    digits = 2
    while digits < 8 and 0 < percent < 10.0 ** (2 - digits):
        digits += 1
    return f"{percent:.{digits}f} %"
