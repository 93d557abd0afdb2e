"""Coarse alignment: a place where both files match, by clicks or by a vote of excerpts, or the reason why none does."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import soxr

from twinlib.alignment.lag_track import WindowPlan
from twinlib.alignment.tracker import MAX_TRACKED_DRIFT_PPM, count_consistent
from twinlib.audio import Signal
from twinlib.errors import AlignmentError
from twinlib.estimation import (
    ClickPeak,
    CoarseLag,
    Line,
    Sweep,
    click_waveform,
    excerpt_size,
    find_candidates,
    find_clicks,
    find_sweep_lags,
    loudest_excerpts,
    match_clicks,
    read_excerpts,
    vote,
)
from twinlib.findings import Finding, refused
from twinlib.progress import Progress, no_progress
from twinlib.resampling import Channel

MAX_DECK_DRIFT_PPM = 40_000.0
"""Maximum drift of a tape deck that runs at another speed than it recorded."""

MAX_STEADY_DRIFT_PPM = 100.0
"""Maximum drift of two sound cards; a larger drift between two clicks is more likely a dropout."""

CLICK_SEARCH_SECONDS = 2.0
"""Margin of the first click search beyond the lags that the length of a take allows."""

NEAR_SECONDS = 12.0
"""Reach of the first search around lag zero."""

MIN_EXCERPTS = 3
"""Excerpts outside of all sweeps from which these are not needed."""

SILENCE_PEAK = 1e-4
"""Peak, -80 dBFS, below which the wet file is silent."""

MAX_HUM_SHARE = 0.8
"""Share of the energy at multiples of 50 or 60 Hz above which the wet file contains only hum."""

SPEEDS = (0.5, 2.0, 44100 / 48000, 48000 / 44100, 44100 / 96000, 96000 / 44100, 2.0 / 3.0, 1.5)
"""Length of the wet file relative to the dry file after a wrong tape speed or a wrong sample rate in the header."""

MIN_SPEED_PROMINENCE = 12.0
"""Prominence of an excerpt that counts as found at another speed."""

DECK_SPEEDS = tuple(1.0 + 0.004 * step for step in (-1, 1, -2, 2, -3, 3, -4, 4, -5, 5, -6, 6, -7, 7, -8, 8))
"""The same after a tape deck that is off its speed; an excerpt of less than a second is found between two of them."""

_SPEED_REACH_SECONDS, _DECK_REACH_SECONDS = 15.0, 4.0


def find_anchor(
    dry: Channel,
    wet: Channel,
    windows: WindowPlan,
    clicks: list[int],
    sweeps: Sequence[Sweep],
    lag: float | None,
    progress: Progress,
) -> tuple[tuple[int, Line] | Finding | None, bool]:
    """Return a dry position with a line valid there (None: no match), and whether clicks were found.

    Each click found may be any click of the reel; the programme around it must match. Otherwise searches excerpts
    between the sweeps, or else the longest sweep; returns a finding if that has several likely lags, unless the `lag`
    is known.
    """
    guesses: list[tuple[int, Line]] = []
    peaks: list[ClickPeak] = []
    if clicks:
        waveform = click_waveform(dry, clicks[0])
        if not len(waveform) or not float(abs(waveform).max()) > 1e-3:
            path = dry.reader.info.path
            raise AlignmentError(f"{path} has no click at sample {clicks[0]}: it is not the expected reel")
        guesses, peaks = _locate_clicks(dry, wet, clicks, waveform, progress)
    best: tuple[int, tuple[int, Line] | None] = (0, None)
    for guess in guesses:
        audible, matched = count_consistent(dry, wet, windows, *guess)
        if matched > best[0] and 2 * matched >= audible:
            best = (matched, guess)
    # Two windows match by chance.
    if best[1] is not None and best[0] > 2:
        return best[1], True
    for deck in match_deck_speed(clicks, peaks) if len(clicks) > 1 else []:
        audible, matched = count_consistent(dry, wet, windows, *deck)
        if 2 * matched >= max(1, audible):
            return deck, True
    if best[1] is not None:
        return best[1], True
    coarse = search_excerpts(dry, wet, sweeps, progress)
    if coarse is not None:
        return (coarse.position, coarse.line), bool(guesses)
    return _locate_sweep(dry, wet, sweeps, lag), bool(guesses)


def _locate_sweep(
    dry: Channel, wet: Channel, sweeps: Sequence[Sweep], known: float | None
) -> tuple[int, Line] | Finding | None:
    """Return a position within the longest sweep with its lag; a finding if several are likely and none is `known`."""
    if not sweeps:
        return None
    sweep = max(sweeps, key=lambda each: each.stop - each.start)
    lags = find_sweep_lags(replace(dry, rectified=False), wet, sweep)
    if known is not None:
        lags.sort(key=lambda lag: abs(lag - known))
    elif len(lags) > 1:
        return refused("ambiguous-sweep", lag=lags[0], other=lags[1])
    return (int(sweep.position[len(sweep.position) // 2]), Line(float(lags[0]), 0.0)) if lags else None


def _locate_clicks(
    dry: Channel, wet: Channel, clicks: list[int], waveform: Signal, progress: Progress
) -> tuple[list[tuple[int, Line]], list[ClickPeak]]:
    """Return guesses of a dry position and its line, likeliest first, and the peaks that may be clicks.

    Searches plausible lags, then the whole file.
    """
    slack = round(CLICK_SEARCH_SECONDS * dry.rate)
    room = (wet.stop - wet.start) - (dry.stop - dry.start)
    low, high = wet.start - dry.start + min(0, room) - slack, wet.start - dry.start + max(0, room) + slack
    found = []
    for click in clicks:
        first, last = max(wet.start, click + low), min(wet.stop, click + high)
        if first < last:
            found += find_clicks(replace(wet, start=first, stop=last), waveform, progress)
    match = match_clicks(clicks, found, 0.001 * dry.rate, MAX_TRACKED_DRIFT_PPM)
    if match is None:
        found = find_clicks(wet, waveform, progress)
        match = match_clicks(clicks, found, 0.001 * dry.rate, MAX_TRACKED_DRIFT_PPM)
    if match is None:
        return [], found
    steady = abs(match.line.drift_ppm) <= MAX_STEADY_DRIFT_PPM
    drift_ppm = match.line.drift_ppm if steady else 0.0
    guesses = [(click, Line(place - click, drift_ppm)) for click, place in match.positions.items()]
    # A single click may be any click of the reel.
    if len(match.positions) == 1:
        place = next(iter(match.positions.values()))
        guesses += [(click, Line(place - click, 0.0)) for click in clicks if click not in match.positions]
    return guesses, found


def match_deck_speed(clicks: Sequence[int], found: Sequence[ClickPeak], count: int = 6) -> list[tuple[int, Line]]:
    """Return the first click with likely lines, likeliest first, if a deck off its speed moved the outer clicks."""
    first, last = min(clicks), max(clicks)
    pairs: list[tuple[float, Line]] = []
    for one in found:
        for other in found:
            drift = (other.position - one.position) / max(1, last - first) - 1.0
            # Of a click at another speed, peaks of either sign are about as high.
            if abs(drift) <= MAX_DECK_DRIFT_PPM * 1e-6:
                line = Line(one.position - first * (1.0 + drift), drift * 1e6)
                pairs.append((min(abs(one.correlation), abs(other.correlation)), line))
    pairs.sort(key=lambda pair: -pair[0])
    return [(first, line) for _, line in pairs[:count]]


def search_excerpts(
    dry: Channel, wet: Channel, sweeps: Sequence[Sweep] = (), progress: Progress = no_progress
) -> CoarseLag | None:
    """Return the coarse line of a pair, searched within 12 s of lag zero and then in the whole file.

    A sweep matches all of its own harmonics: returns None if too few excerpts are outside of the sweeps.
    """
    size = excerpt_size(dry.stop - dry.start, dry.rate)
    starts = loudest_excerpts(dry, size, progress=progress)
    if sweeps:
        starts = [start for start in starts if not any(s.start < start + size and start < s.stop for s in sweeps)]
    if len(starts) < (MIN_EXCERPTS if sweeps else 1):
        return None
    reach = round(NEAR_SECONDS * dry.rate)
    excerpts = read_excerpts(dry, starts, size)
    near = vote(find_candidates(excerpts, wet, (-reach, reach), progress), len(starts), MAX_TRACKED_DRIFT_PPM)
    if near is not None and near.share > 0.5:
        return near
    return vote(find_candidates(excerpts, wet, None, progress), len(starts), MAX_TRACKED_DRIFT_PPM)


def diagnose_mismatch(dry: Channel, wet: Channel, clicks_found: bool) -> Finding:
    """Return the reason why no part of the dry file was found in the wet file."""
    if _peak(wet) < SILENCE_PEAK:
        return refused("silent")
    if _hum_share(wet) > MAX_HUM_SHARE:
        return refused("hum-only")
    stretch, _ = _search_stretches(dry, wet, SPEEDS, excerpt_size(dry.stop - dry.start, dry.rate), _SPEED_REACH_SECONDS)
    if stretch != 1.0:
        return refused("wrong-speed", speed=1.0 / stretch, wet_rate=wet.reader.info.sample_rate, dry_rate=dry.rate)
    return refused("other-reel" if clicks_found else "no-match")


def search_deck_speed(dry: Channel, wet: Channel) -> tuple[int, Line] | None:
    """Return a dry position with its line if most loud excerpts are found at the speed of a deck that is off."""
    size = excerpt_size(dry.stop - dry.start, dry.rate) // 2
    stretch, coarse = _search_stretches(dry, wet, DECK_SPEEDS, size, _DECK_REACH_SECONDS)
    if coarse is None or stretch == 1.0:
        return None
    position = round(coarse.position / stretch)
    drift = stretch * (1.0 + coarse.line.drift_ppm * 1e-6) - 1.0
    return position, Line(coarse.position + coarse.line.at(coarse.position) - position * (1.0 + drift), drift * 1e6)


def _search_stretches(
    dry: Channel, wet: Channel, stretches: Sequence[float], size: int, reach_seconds: float
) -> tuple[float, CoarseLag | None]:
    """Return the best of 1 and all stretches, and the coarse lag of the dry signal stretched by it, None if unknown.

    Repetitive music matches a few excerpts at any speed, but most of them only at the true one.
    """
    starts = loudest_excerpts(dry, size, 5)
    reach = round(reach_seconds * dry.rate)
    best: tuple[float, float, CoarseLag | None] = (0.0, 1.0, None)
    for stretch in (1.0, *stretches):
        excerpts = []
        for start in starts:
            samples = dry.read(start, start + int(size / stretch) + 1)
            stretched = soxr.resample(samples, dry.rate, dry.rate * stretch, "HQ").astype(np.float32)[:size]
            excerpts.append((round(start * stretch), np.pad(stretched, (0, size - len(stretched)))))
        found = find_candidates(excerpts, wet, (-reach, reach))
        coarse = vote(
            [each for each in found if each.prominence >= MIN_SPEED_PROMINENCE], len(starts), MAX_TRACKED_DRIFT_PPM
        )
        if coarse is not None and coarse.share > 0.5 and len(starts) > 1 and coarse.score > best[0]:
            best = (coarse.score, stretch, coarse)
    return best[1], best[2]


def _read_probes(wet: Channel, count: int = 8) -> list[Signal]:
    """Read spans of two seconds at even intervals."""
    size = 2 * wet.rate
    last = max(wet.start, wet.stop - size)
    return [wet.read(start, start + size) for start in np.linspace(wet.start, last, count).astype(int).tolist()]


def _peak(wet: Channel) -> float:
    return max(float(np.abs(samples - samples.mean()).max()) for samples in _read_probes(wet))


def _hum_share(wet: Channel) -> float:
    """Return the share of the energy within 2 Hz of the first 20 harmonics of 50 or 60 Hz."""
    shares = []
    for samples in _read_probes(wet):
        power = np.abs(np.fft.rfft((samples - samples.mean()) * np.hanning(len(samples)))) ** 2
        hertz = np.arange(len(power)) * wet.rate / len(samples)
        near = [(np.abs(hertz - hum * np.round(hertz / hum)) < 2.0) & (hertz < 20.5 * hum) for hum in (50.0, 60.0)]
        shares.append(max(float(power[mask].sum()) for mask in near) / (float(power.sum()) + 1e-30))
    return float(np.median(shares))
