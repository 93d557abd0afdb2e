"""Where a prediction errs: by track, by level and over time, in one pass of constant memory.

The atoms are cells of 50 ms, shorter only at the end of a part; every sum below is a sum over whole cells.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from twinlib.audio import Signal
from twinlib.db import power_to_db
from twinlib.evaluation.excerpts import Part, Span
from twinlib.evaluation.metrics import MIN_ESR, nine_digits

CELL_SECONDS = 0.05
"""The duration of the short-time level."""

LEVEL_STEP_DB = 6
"""The width of the bins of level."""

LOWEST_DBFS = -96
"""All that is quieter falls into one bin, and so does all that is not below 0 dBFS."""

MOST_POINTS = 1000
"""The most points of the error over time; with more audio neighbours are pooled."""

MOST_NAMES = 200
"""The most tracks that are told one by one."""

_BINS = -LOWEST_DBFS // LEVEL_STEP_DB + 2

Sums = npt.NDArray[np.float64]
"""Samples, energy of the wet signal and energy of the error, in the last axis `(..., 3)`."""


class Breakdown:
    """Sums of a prediction against the device, fed in blocks of any size, by what is heard, how loud it is and when.

    Call `start` before each span, then `add` in order.
    """

    def __init__(self, sample_rate: int) -> None:
        self.sample_rate = sample_rate
        self._cell = max(round(CELL_SECONDS * sample_rate), 1)
        self._step = sample_rate
        self._names: dict[str, Sums] = {}
        self._levels = np.zeros((_BINS, 3))
        self._points = np.zeros((MOST_POINTS, 3))
        self._heard = 0
        self._rest = np.zeros((2, 0))
        self._parts: list[Part] = []
        self._position = 0

    def start(self, span: Span) -> None:
        """A new span begins: cells do not reach across its border."""
        self._close()
        self._parts, self._position = list(reversed(span.parts)), span.start

    def add(self, wet: Signal, predicted: Signal) -> None:
        """The next samples `(frames,)` of the device and of the prediction, float32."""
        exact = wet.astype(np.float64)
        squares = np.square([exact, predicted.astype(np.float64) - exact])
        while squares.shape[1]:
            count = squares.shape[1]
            if self._parts:
                count = min(count, self._parts[-1].stop - self._position)
            self._add(squares[:, :count])
            squares = squares[:, count:]
            self._position += count
            if self._parts and self._position >= self._parts[-1].stop:
                self._close()
                self._parts.pop()

    def names(self) -> dict[str, Sums]:
        """The sums `(3,)` of each name, pooled over all parts that have it."""
        self._close()
        return self._names

    def levels(self) -> Sums:
        """The sums `(bins, 3)` by the level of the wet signal, from the quietest."""
        self._close()
        return self._levels

    def points(self) -> tuple[int, Sums]:
        """The samples a point, and the sums `(points, 3)` over the time of all spans one after another."""
        self._close()
        return self._step, self._points[: -(-self._heard // self._step)]

    def _add(self, squares: npt.NDArray[np.float64]) -> None:
        joined = np.concatenate([self._rest, squares], axis=1)
        whole = joined.shape[1] // self._cell
        cells = joined[:, : whole * self._cell].reshape(2, whole, self._cell).sum(axis=2)
        self._rest = joined[:, whole * self._cell :]
        self._count(self._cell, cells)

    def _close(self) -> None:
        if self._rest.shape[1]:
            self._count(self._rest.shape[1], self._rest.sum(axis=1)[:, None])
            self._rest = np.zeros((2, 0))

    def _count(self, samples: int, energies: npt.NDArray[np.float64]) -> None:
        cells = energies.shape[1]
        if not cells:
            return
        table = np.stack([np.full(cells, float(samples)), *energies], axis=1)
        for name in self._parts[-1].names if self._parts else ():
            self._names[name] = self._names.get(name, np.zeros(3)) + table.sum(axis=0)
        levels = power_to_db(energies[0] / samples)
        bins = np.floor((levels - LOWEST_DBFS) / LEVEL_STEP_DB) + 1
        np.add.at(self._levels, np.clip(bins, 0, _BINS - 1).astype(np.intp), table)
        # A cell counts where it begins.
        begins = self._heard + samples * np.arange(cells)
        self._heard += samples * cells
        while begins[-1] >= self._step * MOST_POINTS:
            pooled = self._points.reshape(-1, 2, 3).sum(axis=1)
            self._points = np.concatenate([pooled, np.zeros_like(pooled)])
            self._step *= 2
        np.add.at(self._points, begins // self._step, table)


def tables(twin: Breakdown, linear: Breakdown) -> dict[str, Any]:
    """The breakdowns of a twin and of the best linear filter on the same spans, as metrics.json holds them.

    by_track: `name`, `seconds`, `esr`, `esr_db` and `esr_linear` of each name of the parts, worst first; beyond
    `MOST_NAMES` the last object pools the others and says how many they are (`pooled`). by_level: the same by the
    level of the wet signal, `from_dbfs` to `to_dbfs` (None: no border), mean square in cells of 50 ms, from the
    quietest; levels that were not heard are left out. esr_over_time: `seconds` a point, and `esr` and `esr_linear` of
    each. An ESR is None where the wet signal is silent.
    """
    rate = twin.sample_rate
    mine, theirs = twin.names(), linear.names()
    order = sorted(mine, key=lambda name: (-_ratio(mine[name]), name))
    by_track = [{"name": name, **_numbers(mine[name], theirs[name], rate)} for name in order[:MOST_NAMES]]
    if rest := order[MOST_NAMES:]:
        own, other = (np.sum([sums[name] for name in rest], axis=0) for sums in (mine, theirs))
        by_track.append({"name": "others", "pooled": len(rest), **_numbers(own, other, rate)})
    by_level = [
        {
            "from_dbfs": None if index == 0 else LOWEST_DBFS + LEVEL_STEP_DB * (index - 1),
            "to_dbfs": None if index == _BINS - 1 else LOWEST_DBFS + LEVEL_STEP_DB * index,
            **_numbers(one, other, rate),
        }
        for index, (one, other) in enumerate(zip(twin.levels(), linear.levels(), strict=True))
        if one[0]
    ]
    step, points = twin.points()
    over_time = {
        "seconds": step / rate,
        "esr": [_esr(sums) for sums in points],
        "esr_linear": [_esr(sums) for sums in linear.points()[1]],
    }
    return {"by_track": by_track, "by_level": by_level, "esr_over_time": over_time}


def _ratio(sums: Sums) -> float:
    # Silence, where there is no ratio, comes last.
    return float(sums[2] / sums[1]) if sums[1] > 0.0 else -math.inf


def _esr(sums: Sums) -> float | None:
    return nine_digits(_ratio(sums)) if sums[1] > 0.0 else None


def _numbers(twin: Sums, linear: Sums, sample_rate: int) -> dict[str, float | None]:
    esr = _esr(twin)
    return {
        "seconds": nine_digits(float(twin[0]) / sample_rate),
        "esr": esr,
        "esr_db": None if esr is None else nine_digits(power_to_db(esr, MIN_ESR)),
        "esr_linear": _esr(linear),
    }
