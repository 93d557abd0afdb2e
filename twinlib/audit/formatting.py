"""Tables, durations and lists of words as text."""

from collections.abc import Iterable, Sequence


def table(rows: Iterable[Sequence[object]], header: Sequence[str]) -> list[str]:
    """Return aligned columns under a header, one line per row; no lines if there are no rows."""
    texts = [[str(cell) for cell in row] for row in rows]
    if not texts:
        return []
    widths = [max(len(cell) for cell in column) for column in zip(header, *texts, strict=True)]
    return ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in (header, *texts)]


def duration(hours: float) -> str:
    """Format hours as `1.20 h`, `3.0 min` or `7.1 s`."""
    if hours >= 1:
        return f"{hours:.2f} h"
    return f"{60 * hours:.1f} min" if hours >= 1 / 60 else f"{3600 * hours:.1f} s"


def join_words(words: Iterable[object]) -> str:
    """Join words as `A, B and C`."""
    *most, last = map(str, words)
    return f"{', '.join(most)} and {last}" if most else last
