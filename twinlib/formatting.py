"""Numbers in readable form, and text without control characters."""

import re

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Characters that move the cursor, change colours or reverse the direction of a terminal's text."""

LINES = "\n\t"
"""Control characters in text of several lines."""


def escape_control(text: str, keep: str = "") -> str:
    r"""Return the text with control characters, except those in `keep`, as escapes such as `\x1b`."""
    return CONTROL.sub(lambda found: found[0] if found[0] in keep else ascii(found[0])[1:-1], text)


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


def format_clock(seconds: float) -> str:
    """Format a duration as 9:05 or 1:02:03, rounded up to whole seconds."""
    whole = int(-(-seconds // 1))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
