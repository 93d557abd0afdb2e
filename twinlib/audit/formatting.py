"""Tables and durations for people."""

from collections.abc import Sequence


def table(rows: Sequence[Sequence[object]], header: Sequence[str]) -> list[str]:
    """Rows in columns that are as wide as they need be, under a header; none if there are no rows."""
    if not rows:
        return []
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(header, *texts, strict=True)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in (header, *texts)]


def duration(hours: float) -> str:
    """Hours as people say them: `1.20 h`, `3.0 min`, `7.1 s`."""
    if hours >= 1:
        return f"{hours:.2f} h"
    return f"{60 * hours:.1f} min" if hours >= 1 / 60 else f"{3600 * hours:.1f} s"
