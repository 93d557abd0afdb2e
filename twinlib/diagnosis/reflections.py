"""Reflections: an echo, a room, or the dry signal itself by the direct monitoring of an interface.

The error of the prediction then correlates with the prediction of earlier windows, or the dry signal of later ones.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.fft

from twinlib.db import power_to_db
from twinlib.diagnosis.spectra import Complex, Grid, Real

Complex128 = npt.NDArray[np.complex128]

LATEST_WINDOWS, EARLIEST_WINDOWS = 44, 12
"""Distances of windows, 46 ms each, at which echoes and the undelayed dry signal are looked for."""

MIN_PROMINENCE = 7.5
"""Peak of a response over its rms, from which it is one discrete reflection."""

MIN_SHARE = 0.01
"""Share of the energy of the error that a discrete reflection explains."""

MIN_LEVEL_DB = -30.0
"""Level of a discrete reflection relative to the wet signal; overlapping windows leak up to -35 dB into each other."""

REPETITION = 0.4
"""Share of a reflection relative to that at no distance, below which the programme repeats itself."""

MIN_ROOM_SHARE = 0.15
"""Share of the energy of the error that `ROOM_WINDOWS` distances of a room's tail explain, less that of as many later
windows."""

MIN_ROOM_ERROR = 0.05
"""Energy of the error relative to the wet signal of an audible room."""

ROOM_WINDOWS = slice(2, 6)
"""Distances that share no samples."""

CHORUS_SECONDS = 0.045
"""The longest delay of a chorus."""


DEVICE_SECONDS = 4e-3
"""Delay within which a response belongs to the device."""

RESPONSE_SIZE = 4096
"""Points of a response within one window."""


@dataclass(frozen=True)
class Reflection:
    """A reflection at `seconds` after the device's own signal, or before it for the monitored dry signal.

    `level_db` is its level relative to the wet signal. A room has a decaying tail and the delay of its strongest part.
    """

    kind: Literal["echo", "room", "monitoring"]
    seconds: float
    level_db: float

    @property
    def is_distant(self) -> bool:
        """Whether it is beyond the delays of a chorus or flanger."""
        return self.kind != "echo" or self.seconds > CHORUS_SECONDS


class DelayedProducts:
    """Sums over windows of the products of the error with earlier predictions and later dry spectra."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        count = grid.bins.stop - grid.bins.start
        self._later = np.zeros((LATEST_WINDOWS, count), np.complex128)
        self._earlier = np.zeros((EARLIEST_WINDOWS, count), np.complex128)
        self._power = np.full(count, 1e-20)
        self._dry_power = np.full(count, 1e-20)
        self._error = np.full(count, 1e-20)
        self._wet = 0.0

    def add(self, error: Complex, predicted: Complex, dry: Complex, wet: Complex) -> None:
        """Add consecutive windows of the error, the prediction, the dry and the wet signal."""
        count = len(error)
        # One loud event must not outweigh the programme.
        energy = np.square(np.abs(wet)).sum(axis=1)
        weight = (1.0 / np.sqrt(energy + np.median(energy) + 1e-20)).astype(np.float32)[:, None]
        error, predicted, dry, wet = error * weight, predicted * weight, dry * weight, wet * weight
        for distance in range(min(LATEST_WINDOWS, count)):
            self._later[distance] += _product(error[distance:], predicted[: count - distance])
        for distance in range(min(EARLIEST_WINDOWS, count)):
            self._earlier[distance] += _product(error[: count - distance], dry[distance:])
        self._power += np.square(np.abs(predicted)).sum(axis=0)
        self._dry_power += np.square(np.abs(dry)).sum(axis=0)
        self._error += np.square(np.abs(error)).sum(axis=0)
        self._wet += float(np.square(np.abs(wet)).sum())

    def find(self) -> Reflection | None:
        """Return the strongest reflection, None if there is none."""
        error = float(self._error.sum())
        later = (np.square(np.abs(self._later)) / self._power).sum(axis=1) / error
        earlier = (np.square(np.abs(self._earlier)) / self._dry_power).sum(axis=1) / error
        best: tuple[float, Reflection] | None = None
        for distance in range(LATEST_WINDOWS):
            share = float(later[distance])
            found = self._discrete(self._later[distance], self._power, distance, share, float(later[0]))
            if found is not None and found.seconds > 0 and (best is None or share > best[0]):
                best = share, found
        for distance in range(EARLIEST_WINDOWS):
            share = float(earlier[distance])
            found = self._discrete(self._earlier[distance], self._dry_power, -distance, share, float(earlier[0]))
            if found is not None and found.seconds < 0 and (best is None or share > best[0]):
                best = share, found
        if best is not None:
            return best[1]
        if _tail(later, earlier) > MIN_ROOM_SHARE and error > MIN_ROOM_ERROR * self._wet:
            level_db = power_to_db(float(later[1:].sum()) * error / self._wet)
            return Reflection("room", self._grid.hop_seconds, level_db)
        return None

    def _discrete(
        self, products: Complex128, power: Real, distance: int, share: float, zero: float
    ) -> Reflection | None:
        """Return the discrete reflection at a distance of windows, None if the response has no prominent peak."""
        level_db = power_to_db(share * float(self._error.sum()) / (self._wet + 1e-20), 1e-20)
        if share < MIN_SHARE or level_db < MIN_LEVEL_DB or (abs(distance) > 1 and share < REPETITION * zero):
            return None
        white = np.zeros(RESPONSE_SIZE, np.complex128)
        white[: len(products)] = products / np.sqrt(power * self._error)
        response = np.abs(scipy.fft.ifft(white))
        spacing = float(self._grid.hertz[1] - self._grid.hertz[0])
        seconds = np.fft.fftfreq(RESPONSE_SIZE, 1.0 / RESPONSE_SIZE) / RESPONSE_SIZE / spacing
        seconds = seconds + distance * self._grid.hop_seconds
        # The response of overlapping windows is circular: that of the device comes again a window later.
        alias = np.abs(np.abs(seconds) - 2.0 * self._grid.hop_seconds) if abs(distance) == 1 else np.inf
        allowed = np.minimum(np.abs(seconds), alias) > DEVICE_SECONDS
        peak = int((response * allowed).argmax())
        width = np.abs(seconds - seconds[peak]) < 0.5 * DEVICE_SECONDS
        rest = allowed & ~width
        if response[peak] < MIN_PROMINENCE * np.sqrt(np.mean(np.square(response[rest]))):
            return None
        kind: Literal["echo", "monitoring"] = "echo" if seconds[peak] > 0 else "monitoring"
        return Reflection(kind, float(seconds[peak]), level_db)


def _tail(later: Real, earlier: Real) -> float:
    """Return the share of a tail: a note resembles its own future as much as its past, which is no room."""
    return float(later[ROOM_WINDOWS].sum() - earlier[ROOM_WINDOWS].sum())


def _product(error: Complex, other: Complex) -> Complex128:
    return np.asarray(np.einsum("wf,wf->f", error, other.conj()))
