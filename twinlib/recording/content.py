"""Which reels a recording holds, and where, by their content.

All reels have the same clicks and the same witness. The clicks give the likely places of a reel in a file; excerpts of
its music decide which reel it is. Without clicks the excerpts are searched in the whole file.
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from twinlib.audio import Reader, Signal
from twinlib.contracts import PROBE, PROBE_FILE
from twinlib.errors import CaptureError
from twinlib.estimation import (
    MIN_CORRELATION,
    ClickPeak,
    CoarseLag,
    excerpt_size,
    find_candidates,
    find_clicks,
    read_excerpts,
    vote,
)
from twinlib.excitation import make_click, parse_layout, read_reel
from twinlib.files import read_json
from twinlib.intervals import Range
from twinlib.progress import Progress, SubProgress, no_progress
from twinlib.recording.check import layout_file
from twinlib.resampling import Channel, frames_at_rate, open_channel

EXCERPTS = 6
"""Excerpts of the music of a reel that are compared."""

SHORTEST = 8192
"""Length of an excerpt in samples down to which a short reel is divided."""

MAX_DRIFT_PPM = 2000.0
"""Largest drift of two clocks."""

REACH_SECONDS = 0.05
"""Deviation of the music from the clicks, such as by a dropout, within which it is searched."""

SAME_PLACE_SECONDS = 0.05
"""Distance of two places that are one."""

MIN_SHARE = 0.5
"""Share of the excerpts of a reel within a file that must agree on its place."""

SILENT = 1e-4
"""Peak, -80 dBFS, below which a file is silent."""


@dataclass(frozen=True)
class KnownReel:
    """A reel that a file may hold: its WAV, its clicks, and the ranges [start, stop) of its music, in samples."""

    name: str
    path: Path
    frames: int
    clicks: tuple[int, ...]
    music: tuple[Range, ...]


@dataclass(frozen=True)
class Part:
    """A reel in a file: the samples of the file, at its own rate, at which the reel starts and stops.

    `start` is negative if the file starts after the reel, and `stop` beyond the file if it ends before the reel.
    """

    reel: str
    start: int
    stop: int


@dataclass(frozen=True)
class Identified:
    """The reels that a file holds, in order, and the seconds of the clicks that belong to none of them."""

    path: Path
    sample_rate: int
    frames: int
    parts: tuple[Part, ...]
    other_clicks: tuple[float, ...]
    is_silent: bool

    def is_whole(self, part: Part) -> bool:
        """Whether the file holds the whole reel."""
        return part.start >= 0 and part.stop <= self.frames


def read_known_reel(name: str, path: Path) -> KnownReel:
    """Return a reel and the layout that its excitation gives; raises `TwinError` if that is missing."""
    file = layout_file(path)
    layout = read_reel(file, name)
    if file.name == PROBE_FILE:
        # All probe reels have the same test signals.
        sections = parse_layout(read_json(file, PROBE)).of("music")
        music = [(section.start, section.stop) for section in sections]
    else:
        music = [(block["start"], block["stop"]) for block in layout["blocks"]]
    return KnownReel(name, path, layout["frames"], tuple(layout["clicks"]), tuple(music))


@dataclass(frozen=True)
class _Guess:
    """A possible place of a reel: the lag at dry sample `anchor`, the drift, and the number of clicks that fit."""

    reel: KnownReel
    lag: float
    anchor: int
    drift_ppm: float
    clicks: int

    def at(self, position: float) -> float:
        """Return the lag at a dry position."""
        return self.lag + (position - self.anchor) * self.drift_ppm * 1e-6


@dataclass(frozen=True)
class _Place:
    """The place of a reel: its lag at the start, and the samples of the file between its first and last click."""

    reel: KnownReel
    lag: float
    core: tuple[float, float]


def identify_reels(
    path: Path, reels: Sequence[KnownReel], *, channel: int = 1, progress: Progress = no_progress
) -> Identified:
    """Find the reels in a recording, which may hold several, or one several times, at any offset.

    `channel` counts from 1. The file may be inverted, at another sample rate, and lack the start or the end of a reel.
    Memory does not grow with its length. Files of up to 30 reels are supported. `progress` counts frames. Raises
    `AudioError` if a file is unreadable, and `CaptureError` if the recording lacks the channel.
    """
    with Reader(path) as reader, ExitStack() as stack:
        info = reader.info
        if channel < 1:
            raise CaptureError(f"channels are counted from 1; there is no channel {channel}")
        if channel > info.channels:
            raise CaptureError(f"{path} has {info.channels} channels, no channel {channel}: correct `channel`")
        opened = {reel.name: stack.enter_context(Reader(reel.path)) for reel in reels}
        rate = max((each.info.sample_rate for each in opened.values()), default=info.sample_rate)
        dry = {name: open_channel(each, 0, rate, None) for name, each in opened.items()}
        wet = open_channel(reader, channel - 1, rate, None)
        searched = SubProgress(progress, info.frames, 2.0 * frames_at_rate(reader, rate))
        peaks = _find_clicks(wet, make_click(rate), searched)
        places = _confirm(_guesses(peaks, reels, rate), dry, wet)
        if not places:
            # Rectifiers and octave pedals keep only the envelope.
            rectified = {name: replace(each, rectified=True) for name, each in dry.items()}
            envelopes = _find_clicks(wet, np.abs(make_click(rate)), searched)
            # A single peak of an envelope is no click.
            guesses = [guess for guess in _guesses(envelopes, reels, rate) if guess.clicks > 1]
            places = _confirm(guesses, rectified, wet)
            peaks = envelopes if places else peaks
        if not peaks:
            places = _search(reels, dry, wet)
        ratio = info.sample_rate / rate
        used = [place.core for place in places]
        others = [peak.position / rate for peak in peaks if not _within(peak.position, used, rate)]
        parts = [
            Part(place.reel.name, round(place.lag * ratio), round((place.lag + place.reel.frames) * ratio))
            for place in sorted(places, key=lambda place: place.lag)
        ]
        silent = not peaks and not places and _is_silent(wet)
        return Identified(path, info.sample_rate, info.frames, tuple(parts), tuple(sorted(others)), silent)


def _find_clicks(wet: Channel, click: Signal, progress: Progress) -> list[ClickPeak]:
    return [peak for peak in find_clicks(wet, click, progress) if abs(peak.correlation) >= MIN_CORRELATION]


def _is_silent(wet: Channel) -> bool:
    step = 1 << 16
    return all(
        float(np.abs(wet.read(start, min(start + step, wet.stop))).max(initial=0.0)) < SILENT
        for start in range(wet.start, wet.stop, step)
    )


def _within(position: float, cores: Iterable[tuple[float, float]], rate: int) -> bool:
    slack = SAME_PLACE_SECONDS * rate
    return any(first - slack <= position <= last + slack for first, last in cores)


def _guesses(peaks: Sequence[ClickPeak], reels: Sequence[KnownReel], rate: int) -> list[_Guess]:
    """Return the places at which a peak is a click of a reel, those that explain most clicks first."""
    found: list[_Guess] = []
    for reel in reels:
        near: list[_Guess] = []
        for peak in peaks:
            near += [_explain(reel, click, peak, peaks, rate) for click in reel.clicks]
        near.sort(key=lambda guess: -guess.clicks)
        kept: list[_Guess] = []
        for guess in near:
            if all(abs(guess.at(0) - other.at(0)) > SAME_PLACE_SECONDS * rate for other in kept):
                kept.append(guess)
        found += kept
    return sorted(found, key=lambda guess: -guess.clicks)


def _explain(reel: KnownReel, click: int, peak: ClickPeak, peaks: Sequence[ClickPeak], rate: int) -> _Guess:
    """Return the place of a reel if `peak` is its click at `click`, with the drift that its other clicks show."""
    lag = peak.position - click
    found: list[tuple[int, float]] = [(click, lag)]
    for other in reel.clicks:
        if other == click:
            continue
        tolerance = 0.001 * rate + abs(other - click) * MAX_DRIFT_PPM * 1e-6
        near = [
            one
            for one in peaks
            if abs(one.position - other - lag) <= tolerance and one.correlation * peak.correlation > 0
        ]
        if near:
            best = max(near, key=lambda one: abs(one.correlation))
            found.append((other, best.position - other))
    drift = 0.0
    if len(found) > 1:
        positions, lags = np.array(found).T
        drift = float(np.polyfit(positions - click, lags, 1)[0]) * 1e6
    return _Guess(reel, lag, click, drift, len(found))


def _confirm(guesses: Sequence[_Guess], dry: dict[str, Channel], wet: Channel) -> list[_Place]:
    """Return the guesses whose music agrees best, those with most clicks first; reels in a file do not overlap."""
    matches: list[tuple[int, float, _Place]] = []
    for guess in guesses:
        coarse = _compare(guess, dry[guess.reel.name], wet)
        if coarse is not None:
            lag = guess.at(0) if guess.clicks > 1 else coarse.line.at(0)
            first, last = (guess.at(click) + click for click in (guess.reel.clicks[0], guess.reel.clicks[-1]))
            matches.append((guess.clicks, coarse.score, _Place(guess.reel, lag, (first, last))))
    places: list[_Place] = []
    for _, _, place in sorted(matches, key=lambda match: (-match[0], -match[1])):
        if not any(_overlap(place.core, other.core, wet.rate) for other in places):
            places.append(place)
    return places


def _overlap(one: tuple[float, float], other: tuple[float, float], rate: int) -> bool:
    slack = SAME_PLACE_SECONDS * rate
    return one[0] < other[1] - slack and other[0] + slack < one[1]


def _compare(guess: _Guess, dry: Channel, wet: Channel) -> CoarseLag | None:
    """Return the place of the music near a guess; None if it is not there."""
    starts, size = _excerpts(guess.reel, dry.rate)
    starts = [start for start in starts if wet.start <= start + guess.at(start) <= wet.stop - size]
    if not starts:
        return None
    drift_ppm = abs(guess.drift_ppm) if guess.clicks > 1 else MAX_DRIFT_PPM
    furthest = max(abs(start - guess.anchor) for start in starts)
    reach = REACH_SECONDS * wet.rate + furthest * drift_ppm * 1e-6
    lags = round(guess.lag - reach), round(guess.lag + reach)
    near = replace(wet, start=max(wet.start, starts[0] + lags[0]), stop=min(wet.stop, starts[-1] + lags[1] + 2 * size))
    return _vote(dry, near, starts, size, lags)


def _vote(
    dry: Channel, wet: Channel, starts: Sequence[int], size: int, lags: tuple[int, int] | None
) -> CoarseLag | None:
    found = vote(find_candidates(read_excerpts(dry, starts, size), wet, lags), len(starts), MAX_DRIFT_PPM)
    return found if found is not None and found.share >= MIN_SHARE else None


def _search(reels: Sequence[KnownReel], dry: dict[str, Channel], wet: Channel) -> list[_Place]:
    """Return the reel whose music is somewhere in a file without clicks."""
    best: tuple[float, list[_Place]] = (0.0, [])
    for reel in reels:
        starts, size = _excerpts(reel, wet.rate)
        coarse = _vote(dry[reel.name], wet, starts, size, None)
        # One excerpt matches by chance.
        if coarse is None or round(coarse.share * len(starts)) < 2 or coarse.score <= best[0]:
            continue
        lag = coarse.line.at(0)
        best = coarse.score, [_Place(reel, lag, (lag + reel.clicks[0], lag + reel.clicks[-1]))]
    return best[1]


def _excerpts(reel: KnownReel, rate: int) -> tuple[list[int], int]:
    """Return the starts of excerpts spread over the music of a reel, and their common length."""
    size = excerpt_size(max(stop - start for start, stop in reel.music), rate)
    possible = _tile(reel.music, size)
    while len(possible) < EXCERPTS and size > SHORTEST:
        size //= 2
        possible = _tile(reel.music, size)
    chosen = np.unique(np.linspace(0, len(possible) - 1, EXCERPTS).astype(int)).tolist()
    return [possible[number] for number in chosen], size


def _tile(ranges: Iterable[Range], size: int) -> list[int]:
    return [position for start, stop in ranges for position in range(start, stop - size + 1, size)]
