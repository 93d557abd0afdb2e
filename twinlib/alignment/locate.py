"""Coarse alignment: clicks by matched filter, loud excerpts by GCC-PHAT and a vote, and diagnosis of failures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft
import soxr

from twinlib.alignment.clock import Line, theil_sen
from twinlib.alignment.delay import MIDDLE_HZ, band, phat_weighted
from twinlib.audio import Signal
from twinlib.findings import Finding, refused
from twinlib.progress import Progress, no_progress
from twinlib.resampling import Channel

SIZE = 1 << 16
"""Samples of one transform of the matched filter."""

MIN_CORRELATION = 0.35
"""Normalised correlation of a click; music reaches about 0.3 by chance in an hour."""

MAX_DRIFT_PPM = 2000.0
"""Maximum drift between two matches of one recording."""

MAX_DECK_DRIFT_PPM = 40_000.0
"""Maximum drift of a tape deck that runs at another speed than it recorded."""

MAX_STEADY_DRIFT_PPM = 100.0
"""Maximum drift of two sound cards; a larger drift between two clicks is more likely a dropout."""


@dataclass(frozen=True)
class ClickPeak:
    """A candidate for a click: its position in the wet file and the signed correlation, -1 to 1."""

    position: float
    correlation: float


@dataclass(frozen=True)
class ClickMatch:
    """Matched clicks: line, polarity, lowest correlation, wet position of each click, and the missing clicks."""

    line: Line
    polarity: int
    correlation: float
    positions: dict[int, float]
    missing: tuple[int, ...]


def click_waveform(dry: Channel, click: int) -> Signal:
    """Return the waveform of the click at dry position `click`, without its silent end."""
    samples = dry.read(click, click + dry.rate // 4)
    loud = np.flatnonzero(np.abs(samples) > 1e-3 * float(np.abs(samples).max(initial=1e-9)))
    return samples[: loud[-1] + 1] if len(loud) else samples[:0]


def find_clicks(wet: Channel, click: Signal, progress: Progress = no_progress) -> list[ClickPeak]:
    """Return the 64 best matches of the click in the wet file, best first, with parabolic interpolation.

    The correlation is normalised by the local energy, so that loud music does not mask a click. It uses the band that
    every device passes, at half the sample rate or less.
    """
    length = len(click)
    bins = band(SIZE, wet.rate, min(MIDDLE_HZ, wet.max_hz))
    short_size = scipy.fft.next_fast_len(3 * bins.stop, real=True)
    decimation = SIZE / short_size
    template = np.zeros(short_size // 2 + 1, np.complex64)
    template[bins] = scipy.fft.rfft(click, SIZE)[bins]
    norm = float(np.sqrt(np.square(np.abs(template), dtype=np.float64).sum() * 2.0 / SIZE))
    step = SIZE - 2 * length
    span, kept = round(length / decimation), int(step / decimation) + 3
    found: list[ClickPeak] = []
    for start in range(wet.start - length, wet.stop, step):
        samples = wet.read(start, start + SIZE)
        progress(min(step, wet.stop - start))
        if not samples.any():
            continue
        spectrum = np.zeros(short_size // 2 + 1, np.complex64)
        spectrum[bins] = scipy.fft.rfft(samples)[bins]
        # A band-limited signal keeps its energy at the lower rate, scaled by the ratio of the rates.
        limited = scipy.fft.irfft(spectrum, short_size).astype(np.float64) / decimation
        energy = np.concatenate((np.zeros(1), np.cumsum(limited**2))) * decimation
        local_norm = np.sqrt(np.maximum(energy[span : span + kept] - energy[:kept], 0.0))
        values = scipy.fft.irfft(spectrum * template.conj(), short_size)[:kept].astype(np.float64) / decimation
        # Rounding errors in digital silence correlate with anything: a floor 80 dB below the click excludes them.
        ratio = values / (norm * np.maximum(local_norm, 1e-4 * norm))
        found += _peaks(ratio, start, decimation, length)
        found = sorted(found, key=lambda peak: (-abs(peak.correlation), peak.position))[:64]
    return found


def _peaks(
    ratio: npt.NDArray[np.float64], start: int, decimation: float, spacing: int, most: int = 16
) -> list[ClickPeak]:
    heights = np.abs(ratio)
    inner = (heights[1:-1] >= heights[:-2]) & (heights[1:-1] > heights[2:]) & (heights[1:-1] > 0.3)
    peaks: list[ClickPeak] = []
    positions = np.flatnonzero(inner) + 1
    for position in positions[np.argsort(-heights[positions], kind="stable")]:
        if len(peaks) == most:
            break
        if any(abs(peak.position - start - position * decimation) < spacing for peak in peaks):
            continue
        left, top, right = ratio[position - 1 : position + 2]
        curvature = left - 2.0 * top + right
        fraction = 0.5 * (left - right) / curvature if curvature else 0.0
        peaks.append(ClickPeak(start + decimation * float(position + fraction), float(top)))
    return peaks


def match_clicks(
    clicks: Sequence[int], found: Sequence[ClickPeak], slack: float, max_drift_ppm: float = MAX_DRIFT_PPM
) -> ClickMatch | None:
    """Return the line and polarity that explain most of the peaks; None if no peak is strong enough.

    `slack` is the allowed deviation of a click from its position, in samples, in addition to the drift.
    """
    best: tuple[float, list[tuple[int, ClickPeak]]] | None = None
    strong = sorted(
        (peak for peak in found if abs(peak.correlation) >= MIN_CORRELATION), key=lambda peak: peak.position
    )
    for anchor in strong:
        for click in clicks:
            chosen = []
            for other in clicks:
                tolerance = slack + abs(other - click) * max_drift_ppm * 1e-6 if other != click else 0.0
                near = [
                    peak
                    for peak in strong
                    if abs(peak.position - anchor.position - (other - click)) <= tolerance
                    and peak.correlation * anchor.correlation > 0
                ]
                if near:
                    chosen.append((other, max(near, key=lambda peak: abs(peak.correlation))))
            score = sum(peak.correlation**2 for _, peak in chosen)
            # Of two similar explanations the earlier wins: the first detected click is the first click of the reel.
            if best is None or score > best[0] + 0.05:
                best = (score, chosen)
    if best is None:
        return None
    chosen = best[1]
    dry = np.array([click for click, _ in chosen], float)
    lag = np.array([peak.position - click for click, peak in chosen])
    drift = float(np.polyfit(dry - dry[0], lag, 1)[0]) if len(dry) > 1 else 0.0
    line = Line(float(np.mean(lag - drift * dry)), drift * 1e6)
    missing = tuple(click for click in clicks if click not in {click for click, _ in chosen})
    sign = 1 if chosen[0][1].correlation > 0 else -1
    positions = {click: peak.position for click, peak in chosen}
    return ClickMatch(line, sign, min(abs(peak.correlation) for _, peak in chosen), positions, missing)


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


EXCERPTS = 8
"""Number of excerpts of the dry signal to search for."""

MIN_PROMINENCE = 8.0
"""Peak of a correlation relative to its rms; noise reaches about 6."""

NEAR_SECONDS = 12.0
"""Reach of the first search around lag zero."""


Excerpt = tuple[int, Signal]
"""A dry position and the samples from there on."""


@dataclass(frozen=True)
class Candidate:
    """A candidate for the lag of an excerpt (number, dry position): lag in samples, sign and prominence."""

    excerpt: int
    position: int
    lag: int
    sign: int
    prominence: float


@dataclass(frozen=True)
class CoarseLag:
    """A coarse line, exact at dry sample `position`, the polarity, and the share of excerpts that agree.

    `score` is the sum of their prominences.
    """

    position: int
    line: Line
    polarity: int
    share: float
    score: float


def excerpt_size(frames: int, sample_rate: int) -> int:
    """Return a power of two: about 1.5 s, less for a short signal. Drift would blur longer excerpts."""
    longest = 1 << int(np.log2(1.5 * sample_rate))
    return max(4096, min(longest, 1 << int(np.log2(max(frames, 2)))))


def loudest_excerpts(dry: Channel, size: int, count: int = EXCERPTS, progress: Progress = no_progress) -> list[int]:
    """Return the start of the loudest `size` samples in each of `count` parts of the dry signal, out of 40 per part.

    Skips parts below -70 dBFS.
    """
    starts = []
    bounds = np.linspace(dry.start, max(dry.start, dry.stop - size), count + 1).astype(int)
    for low, high in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        tried = np.unique(np.linspace(low, high, 40).astype(int)).tolist()
        energies = [float(np.square(dry.read(p, p + size)[:: max(1, size // 8192)]).mean()) for p in tried]
        progress(1.0)
        best = int(np.argmax(energies))
        if energies[best] > 1e-7 and tried[best] not in starts:
            starts.append(tried[best])
    return starts


def read_excerpts(dry: Channel, starts: Sequence[int], size: int) -> list[Excerpt]:
    """Read `size` samples at each position."""
    return [(start, dry.read(start, start + size)) for start in starts]


def find_candidates(
    excerpts: Sequence[Excerpt], wet: Channel, lags: tuple[int, int] | None, progress: Progress = no_progress
) -> list[Candidate]:
    """Return the five most prominent lags of each excerpt, within `lags` or, if None, in the whole file.

    All excerpts have the same length. The resolution is about the sample rate over 16 kHz.
    """
    if not excerpts:
        return []
    starts = [start for start, _ in excerpts]
    size = len(excerpts[0][1])
    transform = 2 * size
    bins = band(transform, wet.rate, min(MIDDLE_HZ, wet.max_hz))
    # The inverse transform covers only the band, at a lower rate.
    short_size = scipy.fft.next_fast_len(2 * bins.stop, real=True)
    step = transform / short_size
    taper = np.hanning(size).astype(np.float32)
    templates = [scipy.fft.rfft(samples * taper, transform)[bins].conj() for _, samples in excerpts]
    found: list[list[Candidate]] = [[] for _ in starts]
    for start in range(wet.start - size, wet.stop, size):
        in_reach = [i for i, p in enumerate(starts) if lags is None or lags[0] - size <= start - p <= lags[1]]
        progress(min(size, wet.stop - start))
        if not in_reach:
            continue
        block = wet.read(start, start + transform)
        if not block.any():
            continue
        spectrum = scipy.fft.rfft(block, transform)[bins]
        for i in in_reach:
            full = np.zeros(short_size // 2 + 1, np.complex64)
            full[bins] = phat_weighted(spectrum * templates[i])
            values = scipy.fft.irfft(full, short_size)[: short_size // 2]
            noise = float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))) + 1e-30
            heights = np.abs(values)
            spacing = int(64 / step) + 1
            for _ in range(5):
                place = int(heights.argmax())
                prominence = float(heights[place]) / noise
                if prominence < MIN_PROMINENCE:
                    break
                lag = start + round(place * step) - starts[i]
                if lags is None or lags[0] <= lag <= lags[1]:
                    found[i].append(Candidate(i, starts[i], lag, 1 if values[place] > 0 else -1, prominence))
                heights[max(0, place - spacing) : place + spacing + 1] = 0.0
            found[i] = sorted(found[i], key=lambda candidate: (-candidate.prominence, abs(candidate.lag)))[:5]
    return [candidate for group in found for candidate in group]


def vote(found: list[Candidate], excerpts: int) -> CoarseLag | None:
    """Return the line of most excerpts, each with its best candidate; None without candidates."""
    best: tuple[float, float, list[Candidate]] | None = None
    for anchor in found:
        chosen: dict[int, Candidate] = {}
        for candidate in found:
            tolerance = 8.0 + abs(candidate.position - anchor.position) * MAX_DRIFT_PPM * 1e-6
            previous = chosen.get(candidate.excerpt)
            agrees = abs(candidate.lag - anchor.lag) <= tolerance and candidate.sign == anchor.sign
            if agrees and (previous is None or candidate.prominence > previous.prominence):
                chosen[candidate.excerpt] = candidate
        score = sum(candidate.prominence for candidate in chosen.values())
        if best is None or (score, -abs(anchor.lag)) > best[:2]:
            best = (score, -abs(anchor.lag), list(chosen.values()))
    if best is None:
        return None
    chosen_list = best[2]
    positions = np.array([candidate.position for candidate in chosen_list], float)
    lags = np.array([candidate.lag for candidate in chosen_list], float)
    line = theil_sen(positions, lags) if len(positions) > 2 else Line(float(lags[0]), 0.0)
    strongest = max(chosen_list, key=lambda candidate: candidate.prominence)
    line = Line(strongest.lag - line.drift_ppm * 1e-6 * strongest.position, line.drift_ppm)
    return CoarseLag(strongest.position, line, strongest.sign, len(chosen_list) / excerpts, best[0])


def search_excerpts(dry: Channel, wet: Channel, progress: Progress = no_progress) -> CoarseLag | None:
    """Return the coarse line of a pair, searched within 12 s of lag zero and then in the whole file."""
    size = excerpt_size(dry.stop - dry.start, dry.rate)
    starts = loudest_excerpts(dry, size, progress=progress)
    if not starts:
        return None
    reach = round(NEAR_SECONDS * dry.rate)
    excerpts = read_excerpts(dry, starts, size)
    near = vote(find_candidates(excerpts, wet, (-reach, reach), progress), len(starts))
    if near is not None and near.share > 0.5:
        return near
    return vote(find_candidates(excerpts, wet, None, progress), len(starts))


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


def diagnose_mismatch(dry: Channel, wet: Channel, clicks_found: bool) -> Finding:
    """Return the reason why no part of the dry file was found in the wet file."""
    if _peak(wet) < SILENCE_PEAK:
        return refused("silent")
    if _hum_share(wet) > MAX_HUM_SHARE:
        return refused("hum-only")
    return diagnose_speed(dry, wet) or refused("other-reel" if clicks_found else "no-match")


def diagnose_speed(dry: Channel, wet: Channel) -> Finding | None:
    """Return a finding if the programme is found at another speed."""
    stretch = estimate_stretch(dry, wet)
    if stretch is None:
        return None
    return refused("wrong-speed", speed=1.0 / stretch, wet_rate=wet.reader.info.sample_rate, dry_rate=dry.rate)


def estimate_stretch(dry: Channel, wet: Channel) -> float | None:
    """Return the length of the wet file relative to the dry file if most loud excerpts are found at such a speed.

    Returns None if the speed is right or unknown. Repetitive music matches a few excerpts at any speed, but most of
    them only at the true candidate.
    """
    size = excerpt_size(dry.stop - dry.start, dry.rate)
    stretch, _ = _search_stretches(dry, wet, SPEEDS, size, _SPEED_REACH_SECONDS)
    return stretch if stretch != 1.0 else None


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
    """Return the best of 1 and all stretches, and the coarse lag of the dry signal stretched by it, None if unknown."""
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
        coarse = vote([each for each in found if each.prominence >= MIN_SPEED_PROMINENCE], len(starts))
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
