"""Errors by track, by level and over time, in one pass of constant memory.

All sums run over whole cells of 50 ms; only the last cell of a part is shorter.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from twinlib.audio import Signal
from twinlib.db import MIN_ESR, power_to_db
from twinlib.evaluation.excerpts import AlignedSpan, SpanPart
from twinlib.evaluation.metrics import round_metric

CELL_SECONDS = 0.05
"""The duration over which the short-time level is measured."""

LEVEL_STEP_DB = 6
"""The width of the level bins."""

MIN_DBFS = -96
"""The lower edge of the level bins; one more bin is for lower levels, and one for levels from 0 dBFS."""

MAX_POINTS = 1000
"""The maximum number of points over time; beyond it neighbouring points are pooled."""

MAX_LABELS = 200
"""The maximum number of tracks with a separate row."""

_BINS = -MIN_DBFS // LEVEL_STEP_DB + 2

Sums = npt.NDArray[np.float64]
"""Sums `(..., 3)` of samples, wet energy and error energy."""


class GroupedErrors:
    """Energies of the device and of a prediction's error by label, by level and over time, from blocks of any size.

    Call `start` before each span, then `add` in order.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._cell = max(round(CELL_SECONDS * sample_rate), 1)
        self._step = sample_rate
        self._labels: dict[str, Sums] = {}
        self._levels = np.zeros((_BINS, 3))
        self._points = np.zeros((MAX_POINTS, 3))
        self._total = 0
        self._rest = np.zeros((2, 0))
        self._parts: list[SpanPart] = []
        self._position = 0

    def start(self, span: AlignedSpan) -> None:
        """Start a new span: cells do not cross its border."""
        self._close_cell()
        self._parts, self._position = list(reversed(span.parts)), span.start

    def add(self, wet: Signal, predicted: Signal) -> None:
        """Add the next samples `(frames,)` float32 of the device and of the prediction."""
        exact = wet.astype(np.float64)
        squares = np.square([exact, predicted.astype(np.float64) - exact])
        while squares.shape[1]:
            count = squares.shape[1]
            if self._parts:
                count = min(count, self._parts[-1].stop - self._position)
            self._add_to_part(squares[:, :count])
            squares = squares[:, count:]
            self._position += count
            if self._parts and self._position >= self._parts[-1].stop:
                self._close_cell()
                self._parts.pop()

    def by_label(self) -> dict[str, Sums]:
        """Return the sums `(3,)` of each label, pooled over all parts with that label."""
        self._close_cell()
        return self._labels

    def by_level(self) -> Sums:
        """Return the sums `(bins, 3)` by level of the wet signal, in ascending order."""
        self._close_cell()
        return self._levels

    def over_time(self) -> tuple[int, Sums]:
        """Return the samples per point, and the sums `(points, 3)` over the concatenated time of all spans."""
        self._close_cell()
        return self._step, self._points[: -(-self._total // self._step)]

    def _add_to_part(self, squares: npt.NDArray[np.float64]) -> None:
        joined = np.concatenate([self._rest, squares], axis=1)
        count = joined.shape[1] // self._cell
        cells = joined[:, : count * self._cell].reshape(2, count, self._cell).sum(axis=2)
        self._rest = joined[:, count * self._cell :]
        self._add_cells(self._cell, cells)

    def _close_cell(self) -> None:
        if self._rest.shape[1]:
            self._add_cells(self._rest.shape[1], self._rest.sum(axis=1)[:, None])
            self._rest = np.zeros((2, 0))

    def _add_cells(self, samples: int, energies: npt.NDArray[np.float64]) -> None:
        """Add cells of `samples` each, with wet and error energies `(2, cells)`."""
        cells = energies.shape[1]
        if not cells:
            return
        table = np.stack([np.full(cells, float(samples)), *energies], axis=1)
        for label in self._parts[-1].labels if self._parts else ():
            self._labels[label] = self._labels.get(label, np.zeros(3)) + table.sum(axis=0)
        levels = power_to_db(energies[0] / samples)
        bins = np.floor((levels - MIN_DBFS) / LEVEL_STEP_DB) + 1
        np.add.at(self._levels, np.clip(bins, 0, _BINS - 1).astype(np.intp), table)
        # The first sample of a cell decides its point in time.
        first = self._total + samples * np.arange(cells)
        self._total += samples * cells
        while first[-1] >= self._step * MAX_POINTS:
            pooled = self._points.reshape(-1, 2, 3).sum(axis=1)
            self._points = np.concatenate([pooled, np.zeros_like(pooled)])
            self._step *= 2
        np.add.at(self._points, first // self._step, table)


def tabulate(twin: GroupedErrors, linear: GroupedErrors) -> dict[str, Any]:
    """Return the tables of metrics.json from the errors of a twin and of the best linear filter on the same spans.

    by_track: `name`, `seconds`, `esr`, `esr_db` and `esr_linear` of each label, in descending order of ESR; beyond
    `MAX_LABELS`, the last row pools the other `pooled` labels. by_level: the same by the level of the wet signal from
    `from_dbfs` to `to_dbfs` (None: unbounded), mean square in cells of 50 ms, in ascending order, without empty bins.
    esr_over_time: `seconds` per point, and `esr` and `esr_linear` of each. An ESR is None where the wet signal is
    silent.
    """
    rate = twin.sample_rate
    twin_sums, linear_sums = twin.by_label(), linear.by_label()
    order = sorted(twin_sums, key=lambda label: (-_esr_or_minus_infinity(twin_sums[label]), label))
    by_track = [{"name": label, **_row(twin_sums[label], linear_sums[label], rate)} for label in order[:MAX_LABELS]]
    if others := order[MAX_LABELS:]:
        twin_rest, linear_rest = (
            np.sum([sums[label] for label in others], axis=0) for sums in (twin_sums, linear_sums)
        )
        by_track.append({"name": "others", "pooled": len(others), **_row(twin_rest, linear_rest, rate)})
    by_level = [
        {
            "from_dbfs": None if index == 0 else MIN_DBFS + LEVEL_STEP_DB * (index - 1),
            "to_dbfs": None if index == _BINS - 1 else MIN_DBFS + LEVEL_STEP_DB * index,
            **_row(twin_bin, linear_bin, rate),
        }
        for index, (twin_bin, linear_bin) in enumerate(zip(twin.by_level(), linear.by_level(), strict=True))
        if twin_bin[0]
    ]
    step, points = twin.over_time()
    over_time = {
        "seconds": step / rate,
        "esr": [_esr(sums) for sums in points],
        "esr_linear": [_esr(sums) for sums in linear.over_time()[1]],
    }
    return {"by_track": by_track, "by_level": by_level, "esr_over_time": over_time}


def _esr_or_minus_infinity(sums: Sums) -> float:
    """Return the ESR, or minus infinity for a silent wet signal, which sorts last."""
    return float(sums[2] / sums[1]) if sums[1] > 0.0 else -math.inf


def _esr(sums: Sums) -> float | None:
    return round_metric(_esr_or_minus_infinity(sums)) if sums[1] > 0.0 else None


def _row(twin: Sums, linear: Sums, sample_rate: int) -> dict[str, float | None]:
    esr = _esr(twin)
    return {
        "seconds": round_metric(float(twin[0]) / sample_rate),
        "esr": esr,
        "esr_db": None if esr is None else round_metric(power_to_db(esr, MIN_ESR)),
        "esr_linear": _esr(linear),
    }
