"""Follow the lag through a recording window by window, over losses of any length, forwards and backwards.

The line through it all comes later: samples may have been lost anywhere, so each window is looked for where the ones
before it lay, and where several are not there, everywhere.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twinlib.alignment.channel import Channel
from twinlib.alignment.clock import Line
from twinlib.alignment.delay import Complex, Real, band
from twinlib.alignment.lag_track import (
    MIN_LEVEL_DB,
    WindowPlan,
    band_level_db,
    energy_centroid,
    estimate_delays,
    windowed_spectra,
)
from twinlib.alignment.locate import excerpt_size, find_candidates, read_excerpts
from twinlib.progress import Progress, no_progress

SEARCH_AFTER = 2
"""Windows in a row that are not where they should be, after which they are looked for elsewhere."""

NEARBY_SECONDS = 30.0
"""How far they are looked for at first, then in the whole file."""

MAX_SLOPE = 3e-3
"""Samples a sample: no two recorders that belong together differ by more."""

LOOK_AHEAD = 12
"""Windows to come, of which two where they should be show that nothing was lost."""

ACCEPT_SAMPLES = 64.0
"""Samples from where it should be within which a window is believed by itself: chance peaks lie anywhere."""

SAME_LAG_SAMPLES = 16.0
"""Samples within which two windows say the same lag."""

MAX_SLOPE_CHANGE = 3e-4
"""Samples a sample by which the lag may change otherwise than it did."""

MIN_RELATIVE_WEIGHT = 1e-3
"""Times the usual inverse variance below which a window proves nothing: tones agree with any others by chance."""

TENTATIVE_WINDOWS = 8
"""Windows back to which those that were not believed are kept, and compared with the next one."""

MIN_EXCERPT_PROMINENCE = 10.0
"""The prominence that an excerpt found elsewhere must have."""

Row = tuple[float, float, float, float]
"""A window: position, lag, inverse variance, sign."""


@dataclass(frozen=True)
class CoarseTrack:
    """The audible windows: position on the dry clock, lag in samples, inverse variance (0: not found), sign."""

    position: Real
    lag: Real
    weight: Real
    sign: Real

    @property
    def detected(self) -> npt.NDArray[np.bool_]:
        """The windows that were found."""
        return np.asarray(self.weight > 0)


def track_lags(
    dry: Channel, wet: Channel, windows: WindowPlan, anchor: int, line: Line, progress: Progress = no_progress
) -> CoarseTrack:
    """Find every window, starting at the one nearest to `anchor` (a dry position) where `line` is right."""
    centres = windows.starts + windows.size // 2
    first = int(np.abs(centres - anchor).argmin())
    rows: list[Row] = []
    for direction, numbers in ((1, range(first, len(centres))), (-1, range(first - 1, -1, -1))):
        walker = _Tracker(dry, wet, windows, anchor, line, direction)
        for number in numbers:
            walker.step(number)
            progress(1.0)
        rows += walker.rows.values()
    return CoarseTrack(*np.array(sorted(rows)).reshape(-1, 4).T)


def count_consistent(
    dry: Channel, wet: Channel, windows: WindowPlan, anchor: int, line: Line, most: int = 8
) -> tuple[int, int]:
    """Of the `most` audible windows nearest to `anchor`: how many there are, and how many are found where they should.

    Looks nowhere else, so that a wrong guess costs little.
    """
    centres = windows.starts + windows.size // 2
    walker = _Tracker(dry, wet, windows, anchor, line, 1)
    said: list[bool] = []
    for number in np.argsort(np.abs(centres - anchor), kind="stable").tolist():
        there = walker.found(number, float(anchor), line.at(anchor))
        said += [there] if there is not None else []
        if len(said) == most:
            break
    return len(said), sum(said)


class _Tracker:
    """The lag so far and how it changes, in one direction (1, -1), and the windows passed, by their numbers."""

    def __init__(
        self, dry: Channel, wet: Channel, windows: WindowPlan, anchor: int, line: Line, direction: int
    ) -> None:
        self.dry, self.wet, self.windows, self.direction = dry, wet, windows, direction
        self.bins = band(windows.size, dry.rate, wet.max_hz)
        self.taper = np.hanning(windows.size).astype(np.float32)
        self.position, self.lag, self.slope = float(anchor), line.at(anchor), line.drift_ppm * 1e-6
        self.recent: deque[Row] = deque(maxlen=9)
        self.passed: list[int] = []
        self.patience = SEARCH_AFTER
        self.rows: dict[int, Row] = {}
        self.tentative: dict[int, Row] = {}

    def step(self, number: int) -> None:
        """Pass a window; one where dry is silent or wet has no samples leaves no row."""
        sound = self.sound(number)
        if sound is None:
            return
        row = self.look(number, sound, self.position, self.lag)
        found = self.believable(number, row)
        if not found:
            self.passed.append(number)
            if row is not None:
                self.rows[number] = (row[0], row[1], 0.0, 0.0)
                self.tentative = {n: one for n, one in self.tentative.items() if abs(n - number) < TENTATIVE_WINDOWS}
                self.tentative[number] = row
            if len(self.passed) > self.patience:
                self.patience += self.patience // 2 + 1
                place = self.elsewhere(number)
                found = self.caught_up(*place) if place is not None else {}
        if found:
            self.advance(found)

    def sound(self, number: int) -> tuple[float, Complex] | None:
        """The centre of a window's energy and its spectrum; None where dry is silent."""
        start = int(self.windows.starts[number])
        x = self.dry.read(start, start + self.windows.size)
        spectrum = windowed_spectra(x[np.newaxis], self.taper, self.bins)[0]
        return (
            (start + energy_centroid(x, self.taper), spectrum)
            if band_level_db(spectrum, self.taper) >= MIN_LEVEL_DB
            else None
        )

    def look(self, number: int, sound: tuple[float, Complex], position: float, lag: float) -> Row | None:
        """Look for a window by the lag at some position; None where wet has no samples."""
        start, size = int(self.windows.starts[number]), self.windows.size
        centre, spectrum = sound
        expected = lag + self.slope * (centre - position)
        whole = round(expected)
        if start + whole + size // 2 < self.wet.start or start + whole + size // 2 > self.wet.stop:
            return None
        y = self.wet.read(start + whole, start + whole + size)
        crosses = spectrum.conj() * windowed_spectra(y[np.newaxis], self.taper, self.bins)
        delay, sign = estimate_delays(crosses, self.bins, size, size // 4)[0]
        if delay is None:
            return centre, expected, 0.0, 0.0
        return centre, whole + delay.delay, max(delay.weight, 1e-12), float(sign)

    def within(self, row: Row, position: float, lag: float, samples: float) -> bool:
        """Whether a window lies within so many samples, and what drift leaves open, of the lag at a position."""
        apart = row[0] - position
        slope = MAX_SLOPE_CHANGE if len(self.recent) > 3 else MAX_SLOPE
        return abs(row[1] - lag - self.slope * apart) < samples + slope * abs(apart)

    def strong(self, row: Row | None) -> bool:
        """Whether a window was found, and not much less surely than the last ones."""
        return row is not None and row[2] > MIN_RELATIVE_WEIGHT * float(
            np.median([one[2] for one in self.recent] or [0.0])
        )

    def believable(self, number: int, row: Row | None) -> dict[int, Row]:
        """The windows that are believed by one more: it where it should be, and those before it that say the same.

        Where it should not be, one of these must share no samples with it: what windows share makes the same chance
        peak twice.
        """
        if row is None or not self.strong(row):
            return {}
        alike = {
            n: one
            for n, one in self.tentative.items()
            if one[3] == row[3] and self.within(row, *one[:2], SAME_LAG_SAMPLES)
        }
        close = self.within(row, self.position, self.lag, ACCEPT_SAMPLES)
        borne_out = close or any(self.apart(number, n) and self.strong(one) for n, one in alike.items())
        return {**alike, number: row} if borne_out else {}

    def apart(self, number: int, other: int) -> bool:
        """Whether two windows share no samples."""
        return abs(int(self.windows.starts[number] - self.windows.starts[other])) >= self.windows.size

    def advance(self, found: dict[int, Row]) -> None:
        """Go on from the windows that were found."""
        self.rows |= found
        self.tentative.clear()
        self.passed, self.patience = [], SEARCH_AFTER
        self.recent.extend(found.values())
        self.position, self.lag, *_ = self.recent[-1]
        x, y, *_ = np.array(self.recent).T
        slopes = np.diff(y) / np.diff(x)
        if len(slopes) >= 3:
            self.slope = float(np.clip(np.median(slopes), -MAX_SLOPE, MAX_SLOPE))

    def elsewhere(self, number: int) -> tuple[float, float] | None:
        """A position and the lag there of a longer excerpt from a window on, looked for nearby, then wherever it fits.

        None if the programme goes on where it should after all: then this is a damaged stretch and no loss.
        """
        ahead = [number + k * self.direction for k in range(1, LOOK_AHEAD + 1)]
        there = [n for n in ahead if self.found(n, self.position, self.lag)]
        if there and self.apart(there[0], there[-1]):
            return None
        size = excerpt_size(self.dry.stop - self.dry.start, self.dry.rate)
        start = int(self.windows.starts[number])
        # Backwards it ends with the window, for what follows may lie beyond the loss.
        start = start if self.direction > 0 else max(self.dry.start, start + self.windows.size - size)
        # What comes later on the dry clock cannot lie earlier on the wet file.
        limit = round(self.lag - (start - self.position))
        least, most = (limit, self.wet.stop - start) if self.direction > 0 else (self.wet.start - start, limit)
        near = round(NEARBY_SECONDS * self.dry.rate)
        around = round(self.lag + self.slope * (start - self.position))
        for low, high in ((max(least, around - near), min(most, around + near)), (least, most)):
            found = find_candidates(read_excerpts(self.dry, [start], size), self.wet, (low, high))
            best = max(found, key=lambda one: one.prominence, default=None)
            if (
                best is not None
                and best.prominence >= MIN_EXCERPT_PROMINENCE
                and self.borne_out(number, size, start, best.lag)
            ):
                return float(start), float(best.lag)
        return None

    def caught_up(self, position: float, lag: float) -> dict[int, Row]:
        """Of the windows passed, those that lie by a lag found elsewhere, followed back from there to the loss."""
        found: dict[int, Row] = {}
        for number in reversed(self.passed):
            sound = self.sound(number)
            row = self.look(number, sound, position, lag) if sound is not None else None
            if row is not None and self.strong(row) and self.within(row, position, lag, SAME_LAG_SAMPLES):
                found[number] = row
                position, lag, *_ = row
        return dict(reversed(found.items()))

    def borne_out(self, number: int, size: int, start: int, lag: int) -> bool:
        """Whether windows that the excerpt did not hold lie there too."""
        first = -(-size // max(1, int(np.diff(self.windows.starts[:2]).sum())))
        said = [self.found(number + k * self.direction, float(start), float(lag)) for k in range(first, first + 4)]
        return said.count(True) > said.count(False)

    def found(self, number: int, position: float, lag: float) -> bool | None:
        """Whether a window lies where it should if the lag at a position is right; None if it tells nothing."""
        sound = self.sound(number) if 0 <= number < len(self.windows.starts) else None
        row = self.look(number, sound, position, lag) if sound is not None else None
        return None if row is None else self.strong(row) and self.within(row, position, lag, ACCEPT_SAMPLES)
