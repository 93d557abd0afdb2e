"""Numbers in readable form."""


def percent(ratio: float) -> str:
    """Return a ratio as a percentage with three significant digits, without powers of ten."""
    value = 100 * ratio
    digits = 2
    while digits < 8 and 0 < value < 10.0 ** (2 - digits):
        digits += 1
    return f"{value:.{digits}f} %"


def format_db(db: float) -> str:
    """Return a level with one decimal and a typographic minus."""
    return f"{_rounded(db):.1f}".replace("-", "−")


def format_signed_db(db: float) -> str:
    """Return a level difference with sign, one decimal and a typographic minus."""
    return f"{_rounded(db):+.1f}".replace("-", "−")


def _rounded(db: float) -> float:
    # Adding zero removes the sign of a negative zero.
    return round(db, 1) + 0.0
