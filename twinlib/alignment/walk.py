"""Follow the lag through a recording window by window, over losses of any length, forwards and backwards.

The line through it all comes later: samples may have been lost anywhere, so each window is looked for where the ones
before it lay, and where several are not there, everywhere.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twinlib.alignment.line import Line
from twinlib.alignment.search import candidates, excerpt_size, excerpts_of
from twinlib.alignment.signals import Channel
from twinlib.alignment.spectra import Complex, Real, band
from twinlib.alignment.track import QUIET_DB, Plan, centroid, level_of, recognise, spectrum_of
from twinlib.progress import Progress, silent

LOST_AFTER = 2
"""Windows in a row that are not where they should be, after which they are looked for elsewhere."""

NEARBY_SECONDS = 30.0
"""How far they are looked for at first, then in the whole file."""

MOST_SLOPE = 3e-3
"""Samples a sample: no two recorders that belong together differ by more."""

AHEAD = 12
"""Windows to come, of which one where it should be shows that nothing was lost."""

STRAYS = 400
"""Samples by which a window may lie off the lag that is tried: drift over the windows between."""

SURE = 10.0
"""The prominence that an excerpt found elsewhere must have."""

Row = tuple[float, float, float, float]
"""A window: position, lag, inverse variance, sign."""


@dataclass(frozen=True)
class Walk:
    """The audible windows: position on the dry clock, lag in samples, inverse variance (0: not found), sign."""

    position: Real
    lag: Real
    weight: Real
    sign: Real

    @property
    def heard(self) -> npt.NDArray[np.bool_]:
        """The windows that were found."""
        return np.asarray(self.weight > 0)


def walk(dry: Channel, wet: Channel, windows: Plan, anchor: int, line: Line, progress: Progress = silent) -> Walk:
    """Find every window, starting at the one nearest to `anchor` (a dry position) where `line` is right."""
    centres = windows.starts + windows.size // 2
    first = int(np.abs(centres - anchor).argmin())
    forwards = _Walker(dry, wet, windows, anchor, line, 1)
    rows = [row for i in range(first, len(centres)) if (row := forwards.step(i, progress)) is not None]
    backwards = _Walker(dry, wet, windows, anchor, line, -1)
    rows += [row for i in range(first - 1, -1, -1) if (row := backwards.step(i, progress)) is not None]
    return Walk(*np.array(sorted(rows)).reshape(-1, 4).T)


def probe(dry: Channel, wet: Channel, windows: Plan, anchor: int, line: Line, most: int = 8) -> tuple[int, int]:
    """Of the `most` audible windows nearest to `anchor`: how many there are, and how many are found where they should.

    Looks nowhere else, so that a wrong guess costs little.
    """
    centres = windows.starts + windows.size // 2
    walker = _Walker(dry, wet, windows, anchor, line, 0)
    rows = []
    for i in np.argsort(np.abs(centres - anchor), kind="stable").tolist():
        row = walker.step(i, silent)
        rows += [row] if row is not None else []
        if len(rows) == most:
            break
    return len(rows), sum(row[2] > 0 for row in rows)


class _Walker:
    """The lag so far and how it changes, in one direction (1, -1; 0: stands still)."""

    def __init__(self, dry: Channel, wet: Channel, windows: Plan, anchor: int, line: Line, direction: int) -> None:
        self.dry, self.wet, self.windows, self.direction = dry, wet, windows, direction
        self.bins = band(windows.size, dry.rate)
        self.taper = np.hanning(windows.size).astype(np.float32)
        self.position, self.lag, self.slope = float(anchor), line.at(anchor), line.drift_ppm * 1e-6
        self.recent: deque[tuple[float, float]] = deque(maxlen=9)
        self.missed, self.patience = 0, LOST_AFTER

    def step(self, number: int, progress: Progress) -> Row | None:
        """Position, lag, weight and sign of a window; None where dry is silent or wet has no samples."""
        start, size = int(self.windows.starts[number]), self.windows.size
        progress(1.0)
        x = self.dry.read(start, start + size)
        spectrum = spectrum_of(x, self.taper, self.bins)
        if level_of(spectrum, self.taper) < QUIET_DB:
            return None
        position = start + centroid(x, self.taper)
        row = self.look(spectrum, start, position, self.expected(position))
        if row is None or row[2] == 0.0:
            self.missed += 1
            if self.direction and self.missed > self.patience:
                self.patience *= 2
                place = self.elsewhere(number)
                again = self.look(spectrum, start, position, place) if place is not None else None
                row = again if again is not None and again[2] > 0.0 else row
        if row is not None and row[2] > 0.0 and self.direction:
            self.missed, self.patience = 0, LOST_AFTER
            self.advance(position, row[1])
        return row

    def expected(self, position: float) -> float:
        return self.lag + self.slope * (position - self.position)

    def look(self, spectrum: Complex, start: int, position: float, lag: float) -> Row | None:
        size = self.windows.size
        whole = round(lag)
        if start + whole + size // 2 < self.wet.start or start + whole + size // 2 > self.wet.stop:
            return None
        y = self.wet.read(start + whole, start + whole + size)
        cross = spectrum.conj() * spectrum_of(y, self.taper, self.bins)
        delay, sign = recognise(cross, self.bins, size, size // 4)
        if delay is None:
            return position, lag, 0.0, 0.0
        return position, whole + delay.delay, max(delay.weight, 1e-12), float(sign)

    def advance(self, position: float, lag: float) -> None:
        self.recent.append((position, lag))
        x, y = np.array(self.recent).T
        slopes = np.diff(y) / np.diff(x)
        if len(slopes) >= 3:
            self.slope = float(np.clip(np.median(slopes), -MOST_SLOPE, MOST_SLOPE))
        self.position, self.lag = position, lag

    def elsewhere(self, number: int) -> float | None:
        """The lag of a longer excerpt that starts with a window, looked for nearby, then in all that can hold it.

        None if the programme goes on where it should after all: then this is a damaged stretch and no loss.
        """
        if any(self.found(number + k * self.direction, self.lag) for k in range(1, AHEAD + 1)):
            return None
        start = int(self.windows.starts[number])
        size = excerpt_size(self.dry.stop - self.dry.start, self.dry.rate)
        # What comes later on the dry clock cannot lie earlier on the wet file.
        limit = round(self.lag - (start - self.position))
        least, most = (limit, self.wet.stop - start) if self.direction > 0 else (self.wet.start - start, limit)
        near = round(NEARBY_SECONDS * self.dry.rate)
        around = round(self.expected(start))
        for low, high in ((max(least, around - near), min(most, around + near)), (least, most)):
            found = candidates(excerpts_of(self.dry, [start], size), self.wet, (low, high))
            best = max(found, key=lambda one: one.prominence, default=None)
            if best is not None and best.prominence >= SURE and self.borne_out(number, size, best.lag):
                return float(best.lag)
        return None

    def borne_out(self, number: int, size: int, lag: int) -> bool:
        """Whether windows that the excerpt did not hold lie there too."""
        first = -(-size // max(1, int(np.diff(self.windows.starts[:2]).sum())))
        said = [self.found(number + k * self.direction, float(lag)) for k in range(first, first + 4)]
        return said.count(True) > said.count(False)

    def found(self, number: int, lag: float) -> bool | None:
        """Whether a window lies near a lag; None if it tells nothing."""
        if not 0 <= number < len(self.windows.starts):
            return None
        start = int(self.windows.starts[number])
        spectrum = spectrum_of(self.dry.read(start, start + self.windows.size), self.taper, self.bins)
        if level_of(spectrum, self.taper) < QUIET_DB:
            return None
        row = self.look(spectrum, start, float(start), lag + self.slope * (start - self.position))
        return None if row is None else row[2] > 0.0 and abs(row[1] - lag) < STRAYS
