"""The text table that compares twins."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

from twinlib.evaluation import suspect_takes, verdict_lines
from twinlib.formatting import percent

_HEADINGS = (
    "device", "model", "verdict", "test ESR", "in dB", "floor", "linear filter", "vs. linear", "harmonics", "takes",
    "speed",
)  # fmt: skip

_WIDTH = 160
"""Longest line of a verdict."""

_NOTE = (
    "test ESR: error energy over the device's energy on music unseen in training; 0 is perfect.\n"
    "floor: the lowest possible ESR, given the noise of the device, from audio played twice; - if unknown.\n"
    "linear filter: the ESR of the best filter without distortion; vs. linear: the gain of the twin over it.\n"
    "harmonics: the number within 1 dB of the device's, and the largest deviation; - without a probe reel.\n"
    "takes: the number without a finding at ingest, alignment or in the residual of the twin.\n"
    "speed: seconds of audio rendered per second of one CPU."
)


def format_summary(metrics: Sequence[dict[str, Any]]) -> str:
    """Return the verdicts, and a text table with a row per twin in the given order.

    Files of older versions have no verdict.
    """
    rows = [_HEADINGS, *(_format_row(row) for row in metrics)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    # Align text columns left, numbers right.
    aligned = [
        "  ".join(
            cell.ljust(width) if column < 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    rule = "-" * max(len(line) for line in aligned)
    verdicts = [part for row in metrics for line in verdict_lines(row) for part in _wrapped(line)]
    return "\n".join([*verdicts, *([""] if verdicts else []), aligned[0], rule, *aligned[1:], "", _NOTE]) + "\n"


def _wrapped(line: str) -> list[str]:
    return wrap(line, _WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


def _format_row(metrics: dict[str, Any]) -> tuple[str, ...]:
    return (
        str(metrics["device"]),
        str(metrics["model"]),
        metrics.get("verdict", "-"),
        percent(metrics["esr"]),
        f"{metrics['esr_db']:.1f} dB",
        "-" if metrics.get("esr_floor") is None else percent(metrics["esr_floor"]),
        percent(metrics["esr_linear"]),
        f"{metrics['gain_over_linear_db']:+.1f} dB",
        _format_harmonics(metrics.get("harmonics") or {}),
        _format_takes(metrics),
        f"{metrics['realtime_factor']:.1f} x",
    )


def _format_harmonics(harmonics: Mapping[str, Any]) -> str:
    if not harmonics.get("compared"):
        return "-"
    return f"{harmonics['within']} of {harmonics['compared']}, {harmonics['worst_db']:.1f} dB"


def _format_takes(metrics: Mapping[str, Any]) -> str:
    if "takes" not in metrics:
        return "-"
    takes = len(metrics["takes"])
    return f"{takes - len(suspect_takes(metrics))} of {takes} ok"
