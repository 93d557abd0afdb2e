"""The table that compares twins."""

from collections.abc import Sequence
from typing import Any

from twinlib.formatting import percent

_HEADINGS = ("device", "model", "test ESR", "in dB", "floor", "linear filter", "gained", "speed", "where to look")

_NOTE = (
    "test ESR: error energy over the device's energy on music that the twin never heard; 0 is perfect.\n"
    "floor: the ESR that the device's own noise leaves to any twin, by music played twice; - without a probe reel.\n"
    "linear filter: the ESR of the best filter without distortion; gained: how far the twin is below it.\n"
    "speed: seconds of audio rendered in a second of one CPU."
)


def _cells(metrics: dict[str, Any], place: str) -> tuple[str, ...]:
    return (
        str(metrics["device"]),
        str(metrics["model"]),
        percent(metrics["esr"]),
        f"{metrics['esr_db']:.1f} dB",
        "-" if metrics.get("esr_floor") is None else percent(metrics["esr_floor"]),
        percent(metrics["esr_linear"]),
        f"{metrics['gain_over_linear_db']:+.1f} dB",
        f"{metrics['realtime_factor']:.1f} x",
        place,
    )


def _rows(metrics: Sequence[dict[str, Any]], places: Sequence[str]) -> list[tuple[str, ...]]:
    return [_cells(one, place) for one, place in zip(metrics, places, strict=True)]


def summary_table(metrics: Sequence[dict[str, Any]], places: Sequence[str]) -> str:
    """A plain text table, a row a twin in the given order; `places[i]` says where the files of `metrics[i]` are."""
    rows = [_HEADINGS, *_rows(metrics, places)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    # Names and places start at the left, numbers end at the right.
    aligned = [
        "  ".join(
            cell.ljust(width) if column in (0, 1, len(widths) - 1) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    rule = "-" * max(len(line) for line in aligned)
    return "\n".join([aligned[0], rule, *aligned[1:], "", _NOTE]) + "\n"
