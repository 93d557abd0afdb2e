"""Numbers as people read them."""


def percent(ratio: float) -> str:
    """A ratio as a percentage with three significant digits, never in powers of ten."""
    percent = 100 * ratio
    digits = 2
    while digits < 8 and 0 < percent < 10.0 ** (2 - digits):
        digits += 1
    return f"{percent:.{digits}f} %"
