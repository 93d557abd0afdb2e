"""A lag tracker that survives dropouts: follow the lag window by window, forwards and backwards from an anchor.

Samples may have been lost anywhere, so each window is searched near the lag of its predecessors and, after several
windows without a match, in the whole file. The clock is fitted later.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twinlib.alignment.lag_track import (
    MIN_LEVEL_DB,
    WindowPlan,
    band_level_db,
    band_spectra,
    energy_centroid,
    estimate_delays,
)
from twinlib.audio import Signal
from twinlib.estimation import Complex, Line, Real, band, excerpt_size, find_candidates, read_excerpts
from twinlib.intervals import Range
from twinlib.progress import Progress, no_progress
from twinlib.resampling import MEASURE_KERNEL, Channel, TimeMap, interpolate

MAX_TRACKED_DRIFT_PPM = 2000.0
"""Maximum drift between two matches of one recording."""

SEARCH_AFTER = 2
"""Windows in a row without a match after which the programme is searched elsewhere."""

NEARBY_SECONDS = 30.0
"""Range of the first search; the second covers the whole file."""

MAX_SLOPE = 3e-3
"""Maximum slope of the lag, in samples per sample: the largest speed difference of two recorders."""

LOOK_AHEAD = 12
"""Windows ahead; two of them at the expected lag prove that no samples were lost."""

ACCEPT_SAMPLES = 64.0
"""Samples from the expected lag within which a single window is accepted: chance peaks occur anywhere."""

SAME_LAG_SAMPLES = 16.0
"""Samples within which two windows have the same lag."""

MAX_SLOPE_CHANGE = 3e-4
"""Maximum change of the slope of the lag, in samples per sample."""

MIN_RELATIVE_WEIGHT = 1e-3
"""Share of the median inverse variance below which a window is ignored: tones match any other tones by chance."""

TENTATIVE_WINDOWS = 8
"""Windows for which a rejected match is kept, to be confirmed by a later one."""

MIN_EXCERPT_PROMINENCE = 10.0
"""Correlation peak over noise from which an excerpt is found elsewhere."""

Match = tuple[float, float, float, float]
"""The match of a window: position, lag, inverse variance, sign."""


@dataclass(frozen=True)
class CoarseTrack:
    """The audible windows: position on the dry clock, lag in samples, inverse variance (0: not found), sign."""

    position: Real
    lag: Real
    weight: Real
    sign: Real

    @property
    def detected(self) -> npt.NDArray[np.bool_]:
        """Mask of the windows that were found."""
        return np.asarray(self.weight > 0)


def track_lags(
    dry: Channel,
    wet: Channel,
    windows: WindowPlan,
    anchor: int,
    line: Line,
    swept: Sequence[Range] = (),
    progress: Progress = no_progress,
) -> CoarseTrack:
    """Find all windows, starting with the window nearest to the dry position `anchor`, where `line` is valid.

    Windows in the ranges `swept` are not searched elsewhere: the harmonics of a sweep match it at other lags.
    """
    centres = windows.starts + windows.size // 2
    first = int(np.abs(centres - anchor).argmin())
    rows: list[Match] = []
    for direction, numbers in ((1, range(first, len(centres))), (-1, range(first - 1, -1, -1))):
        tracker = _Tracker(dry, wet, windows, anchor, line, direction, swept)
        for number in numbers:
            tracker.step(number)
            progress(1.0)
        rows += tracker.rows.values()
    return CoarseTrack(*np.array(sorted(rows)).reshape(-1, 4).T)


def count_consistent(
    dry: Channel, wet: Channel, windows: WindowPlan, anchor: int, line: Line, max_windows: int = 8
) -> tuple[int, int]:
    """Return the number of the `max_windows` audible windows nearest to `anchor`, and how many match near `line`.

    Searches nowhere else, so that a wrong guess costs little.
    """
    centres = windows.starts + windows.size // 2
    tracker = _Tracker(dry, wet, windows, anchor, line, 1)
    matches: list[bool] = []
    for number in np.argsort(np.abs(centres - anchor), kind="stable").tolist():
        matched = tracker.matches(number, float(anchor), line.at(anchor))
        matches += [matched] if matched is not None else []
        if len(matches) == max_windows:
            break
    return len(matches), sum(matches)


class _Tracker:
    """The current lag and slope in one direction (1, -1), and the windows passed without a match."""

    def __init__(
        self,
        dry: Channel,
        wet: Channel,
        windows: WindowPlan,
        anchor: int,
        line: Line,
        direction: int,
        swept: Sequence[Range] = (),
    ) -> None:
        self.swept = swept
        self.dry, self.wet, self.windows, self.direction = dry, wet, windows, direction
        self.bins = band(windows.size, dry.rate, wet.max_hz)
        self.taper = np.hanning(windows.size).astype(np.float32)
        self.position, self.lag, self.slope = float(anchor), line.at(anchor), line.drift_ppm * 1e-6
        self.speed = self.slope if abs(line.drift_ppm) > MAX_TRACKED_DRIFT_PPM else 0.0
        self.recent: deque[Match] = deque(maxlen=9)
        self.passed: list[int] = []
        self.patience = SEARCH_AFTER
        self.rows: dict[int, Match] = {}
        self.tentative: dict[int, Match] = {}

    def step(self, number: int) -> None:
        """Process a window; windows with a silent dry signal or without wet samples get no row."""
        spectrum = self.spectrum(number)
        if spectrum is None:
            return
        row = self.match(number, spectrum, self.position, self.lag)
        found = self.confirmed(number, row)
        if not found:
            self.passed.append(number)
            if row is not None:
                self.rows[number] = (row[0], row[1], 0.0, 0.0)
                self.tentative = {
                    n: other for n, other in self.tentative.items() if abs(n - number) < TENTATIVE_WINDOWS
                }
                self.tentative[number] = row
            if len(self.passed) > self.patience and not self.is_swept(number):
                self.patience += self.patience // 2 + 1
                place = self.search(number)
                found = self.backtrack(*place) if place is not None else {}
        if found:
            self.advance(found)

    def is_swept(self, number: int) -> bool:
        """Return whether a window touches a sweep."""
        start = int(self.windows.starts[number])
        return any(first < start + self.windows.size and start < last for first, last in self.swept)

    def spectrum(self, number: int) -> tuple[float, Complex] | None:
        """Return the energy centroid of a dry window and its spectrum; None if it is silent."""
        start = int(self.windows.starts[number])
        x = self.dry.read(start, start + self.windows.size) * self.taper
        spectrum = band_spectra(x[np.newaxis], self.bins)[0]
        audible = band_level_db(spectrum, self.taper) >= MIN_LEVEL_DB
        return (start + energy_centroid(x), spectrum) if audible else None

    def match(self, number: int, dry: tuple[float, Complex], position: float, lag: float) -> Match | None:
        """Match a window near the lag extrapolated from `position`; None without wet samples there."""
        start, size = int(self.windows.starts[number]), self.windows.size
        centre, spectrum = dry
        expected = lag + self.slope * (centre - position)
        whole = round(expected)
        if start + whole + size // 2 < self.wet.start or start + whole + size // 2 > self.wet.stop:
            return None
        y = self.read_wet(start, whole, centre) * self.taper
        crosses = spectrum.conj() * band_spectra(y[np.newaxis], self.bins)
        delay, sign = estimate_delays(crosses, self.bins, size, size // 4)[0]
        if delay is None:
            return centre, expected, 0.0, 0.0
        return centre, whole + delay.delay, max(delay.weight, 1e-12), float(sign)

    def read_wet(self, start: int, lag: int, centre: float) -> Signal:
        """Read a window whose lag at dry position `centre` is `lag`; a deck's other speed would blur its delay."""
        size = self.windows.size
        if not self.speed:
            return self.wet.read(start + lag, start + lag + size)
        time_map = TimeMap.straight(lag - self.speed * centre, self.speed * 1e6, start, start + size)
        return interpolate(self.wet, time_map, start, start + size, MEASURE_KERNEL)

    def is_near(self, row: Match, position: float, lag: float, samples: float) -> bool:
        """Return whether a match is within `samples`, plus the drift's uncertainty, of the lag at `position`."""
        distance = row[0] - position
        slope = MAX_SLOPE_CHANGE if len(self.recent) > 3 else MAX_SLOPE
        return abs(row[1] - lag - self.slope * distance) < samples + slope * abs(distance)

    def is_precise(self, row: Match | None) -> bool:
        """Return whether a window was matched with a precision comparable to recent windows."""
        if row is None:
            return False
        return row[2] > MIN_RELATIVE_WEIGHT * float(np.median([other[2] for other in self.recent] or [0.0]))

    def confirmed(self, number: int, row: Match | None) -> dict[int, Match]:
        """Return a window's match and the tentative matches that agree with it, if accepted.

        A match away from the expected lag needs a tentative one without common samples: windows that overlap share the
        same chance peak.
        """
        if row is None or not self.is_precise(row):
            return {}
        agreeing = {
            n: other
            for n, other in self.tentative.items()
            if other[3] == row[3] and self.is_near(row, *other[:2], SAME_LAG_SAMPLES)
        }
        expected = self.is_near(row, self.position, self.lag, ACCEPT_SAMPLES)
        accepted = expected or any(self.disjoint(number, n) and self.is_precise(other) for n, other in agreeing.items())
        return {**agreeing, number: row} if accepted else {}

    def disjoint(self, number: int, other: int) -> bool:
        """Return whether two windows have no samples in common."""
        return abs(int(self.windows.starts[number] - self.windows.starts[other])) >= self.windows.size

    def advance(self, found: dict[int, Match]) -> None:
        """Continue from the accepted windows."""
        self.rows |= found
        self.tentative.clear()
        self.passed, self.patience = [], SEARCH_AFTER
        self.recent.extend(found.values())
        self.position, self.lag, *_ = self.recent[-1]
        x, y, *_ = np.array(self.recent).T
        slopes = np.diff(y) / np.diff(x)
        if len(slopes) >= 3:
            self.slope = float(np.clip(np.median(slopes), self.speed - MAX_SLOPE, self.speed + MAX_SLOPE))

    def search(self, number: int) -> tuple[float, float] | None:
        """Search a longer excerpt from a window on, nearby and then in the whole file; return a position and its lag.

        None if later windows match at the expected lag: this programme is damaged, and no samples were lost.
        """
        ahead = [number + k * self.direction for k in range(1, LOOK_AHEAD + 1)]
        expected = [n for n in ahead if self.matches(n, self.position, self.lag)]
        if expected and self.disjoint(expected[0], expected[-1]):
            return None
        size = excerpt_size(self.dry.stop - self.dry.start, self.dry.rate)
        start = int(self.windows.starts[number])
        # Backwards, the excerpt ends with the window, because the dropout may be after it.
        start = start if self.direction > 0 else max(self.dry.start, start + self.windows.size - size)
        # The order of dry samples is kept on the wet file.
        limit = round(self.lag - (start - self.position))
        lowest, highest = (limit, self.wet.stop - start) if self.direction > 0 else (self.wet.start - start, limit)
        reach = round(NEARBY_SECONDS * self.dry.rate)
        middle = round(self.lag + self.slope * (start - self.position))
        for low, high in ((max(lowest, middle - reach), min(highest, middle + reach)), (lowest, highest)):
            found = find_candidates(read_excerpts(self.dry, [start], size), self.wet, (low, high))
            best = max(found, key=lambda candidate: candidate.prominence, default=None)
            if best is None or best.prominence < MIN_EXCERPT_PROMINENCE:
                continue
            if self.is_verified(number, size, start, best.lag):
                return float(start), float(best.lag)
        return None

    def backtrack(self, position: float, lag: float) -> dict[int, Match]:
        """Return the passed windows that match the lag found by a search, followed back to the dropout."""
        found: dict[int, Match] = {}
        for number in reversed(self.passed):
            spectrum = self.spectrum(number)
            row = self.match(number, spectrum, position, lag) if spectrum is not None else None
            if row is not None and self.is_precise(row) and self.is_near(row, position, lag, SAME_LAG_SAMPLES):
                found[number] = row
                position, lag, *_ = row
        return dict(reversed(found.items()))

    def is_verified(self, number: int, size: int, start: int, lag: int) -> bool:
        """Return whether most windows beyond the excerpt match its lag too."""
        first = -(-size // max(1, int(np.diff(self.windows.starts[:2]).sum())))
        matched = [self.matches(number + k * self.direction, float(start), float(lag)) for k in range(first, first + 4)]
        return matched.count(True) > matched.count(False)

    def matches(self, number: int, position: float, lag: float) -> bool | None:
        """Return whether a window matches the lag at a position; None if it is silent or not on the wet file."""
        spectrum = self.spectrum(number) if 0 <= number < len(self.windows.starts) else None
        row = self.match(number, spectrum, position, lag) if spectrum is not None else None
        return None if row is None else self.is_precise(row) and self.is_near(row, position, lag, ACCEPT_SAMPLES)
