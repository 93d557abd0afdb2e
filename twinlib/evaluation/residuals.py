"""The residual of a twin in short windows of all takes, training split included."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from twinlib.db import db_to_power
from twinlib.evaluation.excerpts import AlignedSpan
from twinlib.evaluation.twin_runner import TwinRunner
from twinlib.progress import Progress, no_progress

WINDOW_SECONDS = 0.25
"""The duration of a window."""

BLOCK_WINDOWS = 4
"""The consecutive windows that are rendered together after one warm-up of the twin."""

MAX_SECONDS = 600.0
"""The amount of audio that is rendered. Of longer data sets, evenly spaced blocks are; this takes half a CPU minute."""

COLUMNS = ("capture", "split", "start", "stop", "dry", "wet", "twin", "product", "error")


@dataclass(frozen=True)
class LabelledSpan:
    """A span of one split of a capture; its first sample is `seconds` after the beginning of the wet file."""

    span: AlignedSpan
    capture: str
    split: str
    seconds: float


def measure_residuals(
    runner: TwinRunner, spans: Sequence[LabelledSpan], progress: Progress = no_progress
) -> pd.DataFrame:
    """Return a row per window with `COLUMNS`, in the order of the spans.

    `start` and `stop` are in seconds of the wet file. `dry`, `wet`, `twin` and `error` are mean squares, `product` is
    the mean of wet times twin. The spans need `receptive_field - 1` samples of history, and at least the guard.
    `progress` counts seconds of audio.
    """
    window = max(round(WINDOW_SECONDS * runner.sample_rate), 1)
    seconds = sum(span.span.frames for span in spans) / runner.sample_rate
    stride = max(math.ceil(seconds / MAX_SECONDS), 1)
    rows = []
    for index, (span, start, stop) in enumerate(_blocks(spans, window)):
        if index % stride == 0:
            rows.append(_measure_block(runner, span, start, stop, window))
            progress((stop - start) / runner.sample_rate)
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=list(COLUMNS))


def residual_seconds(total: float) -> float:
    """Return the approximate seconds of audio that `measure_residuals` reports to `progress` for `total` seconds."""
    return total / max(math.ceil(total / MAX_SECONDS), 1)


def noise_floor_of_takes(windows: pd.DataFrame, captures: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Return the lowest possible ESR of the test split, given the noise of the takes between repeats of the witness.

    `captures` are those of dataset.json. None if no noise is known, as without a witness, or without test windows.
    """
    levels = [capture.get("noise_floor_dbfs") for capture in captures.values()]
    noise = [db_to_power(level) for level in levels if level is not None]
    power = float(windows.loc[windows["split"] == "test", "wet"].mean())
    return float(np.mean(noise)) / power if noise and power > 0.0 else None


def _blocks(spans: Sequence[LabelledSpan], window: int) -> Iterator[tuple[LabelledSpan, int, int]]:
    """Yield the blocks of complete windows that tile the spans."""
    for span in spans:
        end = span.span.start + span.span.frames // window * window
        for start in range(span.span.start, end, BLOCK_WINDOWS * window):
            yield span, start, min(start + BLOCK_WINDOWS * window, end)


def _measure_block(runner: TwinRunner, labelled: LabelledSpan, start: int, stop: int, window: int) -> pd.DataFrame:
    span, process = labelled.span, runner.start()
    process(span.read_dry(start - runner.receptive_field + 1, start))
    twin = process(span.read_dry(start, stop)).astype(np.float64)
    wet = span.read_wet(start, stop).astype(np.float64)
    dry = span.read_dry(start - runner.guard, stop - runner.guard).astype(np.float64)
    starts = labelled.seconds + (np.arange(start, stop, window) - span.start) / runner.sample_rate
    means = {
        name: np.mean((one * other).reshape(-1, window), axis=1)
        for name, one, other in (
            ("dry", dry, dry),
            ("wet", wet, wet),
            ("twin", twin, twin),
            ("product", wet, twin),
            ("error", twin - wet, twin - wet),
        )
    }
    stops = starts + window / runner.sample_rate
    return pd.DataFrame({"capture": labelled.capture, "split": labelled.split, "start": starts, "stop": stops, **means})
