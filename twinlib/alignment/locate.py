"""Where a programme without clicks lies in its recording: a few loud excerpts, whitened, looked for everywhere."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft
import soxr

from twinlib.alignment.channel import Channel
from twinlib.alignment.clock import Line, theil_sen
from twinlib.alignment.delay import MIDDLE_HZ, band, phat_weighted
from twinlib.audio import Signal
from twinlib.findings import Finding, refused
from twinlib.progress import Progress, no_progress

SIZE = 1 << 16
"""Samples of one transform of the stream."""

MIN_CORRELATION = 0.35
"""A click is one if its normalised correlation is at least this; chance reaches about 0.3 in an hour of music."""

MAX_DRIFT_PPM = 2000.0
"""Clicks further from each other than this allows are not those of one pass."""

MAX_STEADY_DRIFT_PPM = 100.0
"""What the clocks of two sound cards hardly differ by; more between two clicks is likelier a loss of samples."""


@dataclass(frozen=True)
class ClickPeak:
    """A place in the wet file that looks like a click: where, the correlation (signed, -1 to 1)."""

    place: float
    correlation: float


@dataclass(frozen=True)
class ClickMatch:
    """The line through the clicks found, the polarity, the wet place of each, and the clicks that are missing."""

    line: Line
    polarity: int
    correlation: float
    places: dict[int, float]
    missing: tuple[int, ...]


def click_waveform(dry: Channel, click: int) -> Signal:
    """The click that stands at `click` on the dry clock, its silent end cut off."""
    samples = dry.read(click, click + dry.rate // 4)
    loud = np.flatnonzero(np.abs(samples) > 1e-3 * float(np.abs(samples).max(initial=1e-9)))
    return samples[: loud[-1] + 1] if len(loud) else samples[:0]


def find_clicks(wet: Channel, click: Signal, progress: Progress = no_progress) -> list[ClickPeak]:
    """The 64 places of the wet file that resemble the click most, best first, parabola between samples.

    The correlation is normalised by the energy under the click, so that loud music does not outshine it. It is that
    of the band in which every device passes signal, and so made at half the rate or less.
    """
    length = len(click)
    bins = band(SIZE, wet.rate, min(MIDDLE_HZ, wet.max_hz))
    course_size = scipy.fft.next_fast_len(3 * bins.stop, real=True)
    pace = SIZE / course_size
    template = np.zeros(course_size // 2 + 1, np.complex64)
    template[bins] = scipy.fft.rfft(click, SIZE)[bins]
    norm = float(np.sqrt(np.square(np.abs(template), dtype=np.float64).sum() * 2.0 / SIZE))
    step = SIZE - 2 * length
    span, kept = round(length / pace), int(step / pace) + 3
    found: list[ClickPeak] = []
    for start in range(wet.start - length, wet.stop, step):
        samples = wet.read(start, start + SIZE)
        progress(min(step, wet.stop - start))
        if not samples.any():
            continue
        spectrum = np.zeros(course_size // 2 + 1, np.complex64)
        spectrum[bins] = scipy.fft.rfft(samples)[bins]
        # A band-limited signal keeps its energy at the lower rate, scaled by the pace.
        limited = scipy.fft.irfft(spectrum, course_size).astype(np.float64) / pace
        energy = np.concatenate((np.zeros(1), np.cumsum(limited**2))) * pace
        under = np.sqrt(np.maximum(energy[span : span + kept] - energy[:kept], 0.0))
        course = scipy.fft.irfft(spectrum * template.conj(), course_size)[:kept].astype(np.float64) / pace
        # Rounding errors in digital silence resemble anything: what lies 80 dB under the click is no click.
        ratio = course / (norm * np.maximum(under, 1e-4 * norm))
        found += _peaks(ratio, start, pace, length)
        found = sorted(found, key=lambda one: (-abs(one.correlation), one.place))[:64]
    return found


def _peaks(ratio: npt.NDArray[np.float64], start: int, pace: float, apart: int, most: int = 16) -> list[ClickPeak]:
    heights = np.abs(ratio)
    inner = (heights[1:-1] >= heights[:-2]) & (heights[1:-1] > heights[2:]) & (heights[1:-1] > 0.3)
    peaks: list[ClickPeak] = []
    places = np.flatnonzero(inner) + 1
    for place in places[np.argsort(-heights[places], kind="stable")]:
        if len(peaks) == most:
            break
        if any(abs(one.place - start - place * pace) < apart for one in peaks):
            continue
        left, top, right = ratio[place - 1 : place + 2]
        bend = left - 2.0 * top + right
        between = 0.5 * (left - right) / bend if bend else 0.0
        peaks.append(ClickPeak(start + pace * float(place + between), float(top)))
    return peaks


def match_clicks(clicks: Sequence[int], found: Sequence[ClickPeak], slack: float) -> ClickMatch | None:
    """The line, polarity and missing clicks that explain most of what was found; None if nothing was.

    `slack` is how far, in samples, a click may stand from its place besides what the speeds of the clocks allow.
    """
    best: tuple[float, list[tuple[int, ClickPeak]]] | None = None
    strong = sorted((one for one in found if abs(one.correlation) >= MIN_CORRELATION), key=lambda one: one.place)
    for anchor in strong:
        for click in clicks:
            chosen = []
            for other in clicks:
                room = slack + abs(other - click) * MAX_DRIFT_PPM * 1e-6 if other != click else 0.0
                near = [
                    one
                    for one in strong
                    if abs(one.place - anchor.place - (other - click)) <= room
                    and one.correlation * anchor.correlation > 0
                ]
                if near:
                    chosen.append((other, max(near, key=lambda one: abs(one.correlation))))
            score = sum(one.correlation**2 for _, one in chosen)
            # Of two explanations alike the earlier wins: the first click found is then the reel's first.
            if best is None or score > best[0] + 0.05:
                best = (score, chosen)
    if best is None:
        return None
    chosen = best[1]
    dry = np.array([click for click, _ in chosen], float)
    lag = np.array([one.place - click for click, one in chosen])
    drift = float(np.polyfit(dry - dry[0], lag, 1)[0]) if len(dry) > 1 else 0.0
    line = Line(float(np.mean(lag - drift * dry)), drift * 1e6)
    missing = tuple(click for click in clicks if click not in {click for click, _ in chosen})
    sign = 1 if chosen[0][1].correlation > 0 else -1
    places = {click: one.place for click, one in chosen}
    return ClickMatch(line, sign, min(abs(one.correlation) for _, one in chosen), places, missing)


EXCERPTS = 8
"""Excerpts of the dry signal that are looked for."""

MIN_PROMINENCE = 8.0
"""A peak counts if it stands this many times above the rms of the correlation; chance reaches about 6."""

NEAR_SECONDS = 12.0
"""How far from where it should be an excerpt is looked for at first."""


Excerpt = tuple[int, Signal]
"""A dry position and the samples that stand there."""


@dataclass(frozen=True)
class Candidate:
    """Where an excerpt (its number, its dry position) may lie: the lag in samples, the sign and the prominence."""

    excerpt: int
    position: int
    lag: int
    sign: int
    prominence: float


@dataclass(frozen=True)
class CoarseLag:
    """A rough line, right at `position` (dry samples), the polarity, and the share of the excerpts that agree.

    `score` is the sum of their prominences.
    """

    position: int
    line: Line
    polarity: int
    share: float
    score: float


def excerpt_size(frames: int, sample_rate: int) -> int:
    """A power of two: about 1.5 s, less for a short signal. Longer ones would blur when the clocks differ."""
    longest = 1 << int(np.log2(1.5 * sample_rate))
    return max(4096, min(longest, 1 << int(np.log2(max(frames, 2)))))


def loudest_excerpts(dry: Channel, size: int, count: int = EXCERPTS, progress: Progress = no_progress) -> list[int]:
    """The starts of the loudest `size` samples in each of `count` parts of the dry signal, of some 40 that are tried.

    Parts below -70 dBFS have none.
    """
    places = []
    bounds = np.linspace(dry.start, max(dry.start, dry.stop - size), count + 1).astype(int)
    for low, high in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        tried = np.unique(np.linspace(low, high, 40).astype(int)).tolist()
        energies = [float(np.square(dry.read(p, p + size)[:: max(1, size // 8192)]).mean()) for p in tried]
        progress(1.0)
        best = int(np.argmax(energies))
        if energies[best] > 1e-7 and tried[best] not in places:
            places.append(tried[best])
    return places


def read_excerpts(dry: Channel, places: Sequence[int], size: int) -> list[Excerpt]:
    """The `size` samples at each place."""
    return [(place, dry.read(place, place + size)) for place in places]


def find_candidates(
    excerpts: Sequence[Excerpt], wet: Channel, lags: tuple[int, int] | None, progress: Progress = no_progress
) -> list[Candidate]:
    """The five likeliest lags of each excerpt, all of one length; `lags` bounds them, None searches the whole file.

    Lags are right to about the sample rate over 16 kHz.
    """
    if not excerpts:
        return []
    places = [place for place, _ in excerpts]
    size = len(excerpts[0][1])
    transform = 2 * size
    bins = band(transform, wet.rate, min(MIDDLE_HZ, wet.max_hz))
    # Only the band is turned back into time, and so at a lower rate: a fraction of the work.
    course_size = scipy.fft.next_fast_len(2 * bins.stop, real=True)
    step = transform / course_size
    taper = np.hanning(size).astype(np.float32)
    templates = [scipy.fft.rfft(samples * taper, transform)[bins].conj() for _, samples in excerpts]
    found: list[list[Candidate]] = [[] for _ in places]
    for start in range(wet.start - size, wet.stop, size):
        wanted = [i for i, p in enumerate(places) if lags is None or lags[0] - size <= start - p <= lags[1]]
        progress(min(size, wet.stop - start))
        if not wanted:
            continue
        block = wet.read(start, start + transform)
        if not block.any():
            continue
        spectrum = scipy.fft.rfft(block, transform)[bins]
        for i in wanted:
            full = np.zeros(course_size // 2 + 1, np.complex64)
            full[bins] = phat_weighted(spectrum * templates[i])
            course = scipy.fft.irfft(full, course_size)[: course_size // 2]
            noise = float(np.sqrt(np.mean(np.square(course, dtype=np.float64)))) + 1e-30
            heights = np.abs(course)
            apart = int(64 / step) + 1
            for _ in range(5):
                place = int(heights.argmax())
                prominence = float(heights[place]) / noise
                if prominence < MIN_PROMINENCE:
                    break
                lag = start + round(place * step) - places[i]
                if lags is None or lags[0] <= lag <= lags[1]:
                    found[i].append(Candidate(i, places[i], lag, 1 if course[place] > 0 else -1, prominence))
                heights[max(0, place - apart) : place + apart + 1] = 0.0
            found[i] = sorted(found[i], key=lambda one: (-one.prominence, abs(one.lag)))[:5]
    return [one for group in found for one in group]


def vote(found: list[Candidate], excerpts: int) -> CoarseLag | None:
    """The line that the most excerpts agree on, each with its likeliest candidate; None if there is no candidate."""
    best: tuple[float, float, list[Candidate]] | None = None
    for anchor in found:
        chosen: dict[int, Candidate] = {}
        for one in found:
            room = 8.0 + abs(one.position - anchor.position) * MAX_DRIFT_PPM * 1e-6
            held = chosen.get(one.excerpt)
            agrees = abs(one.lag - anchor.lag) <= room and one.sign == anchor.sign
            if agrees and (held is None or one.prominence > held.prominence):
                chosen[one.excerpt] = one
        score = sum(one.prominence for one in chosen.values())
        if best is None or (score, -abs(anchor.lag)) > best[:2]:
            best = (score, -abs(anchor.lag), list(chosen.values()))
    if best is None:
        return None
    chosen_list = best[2]
    positions = np.array([one.position for one in chosen_list], float)
    lags = np.array([one.lag for one in chosen_list], float)
    line = theil_sen(positions, lags) if len(positions) > 2 else Line(float(lags[0]), 0.0)
    surest = max(chosen_list, key=lambda one: one.prominence)
    line = Line(surest.lag - line.drift_ppm * 1e-6 * surest.position, line.drift_ppm)
    return CoarseLag(surest.position, line, surest.sign, len(chosen_list) / excerpts, best[0])


def search_excerpts(dry: Channel, wet: Channel, progress: Progress = no_progress) -> CoarseLag | None:
    """The rough line of a pair, looked for within 12 s of where it should be, then in the whole file."""
    size = excerpt_size(dry.stop - dry.start, dry.rate)
    places = loudest_excerpts(dry, size, progress=progress)
    if not places:
        return None
    reach = round(NEAR_SECONDS * dry.rate)
    excerpts = read_excerpts(dry, places, size)
    near = vote(find_candidates(excerpts, wet, (-reach, reach), progress), len(places))
    if near is not None and near.share > 0.5:
        return near
    return vote(find_candidates(excerpts, wet, None, progress), len(places))


SILENCE_PEAK = 1e-4
"""Peak, -80 dBFS, below which the wet file is silent."""

MAX_HUM_SHARE = 0.8
"""Share of the energy at multiples of 50 or 60 Hz above which the wet file contains only hum."""

SPEEDS = (0.5, 2.0, 44100 / 48000, 48000 / 44100, 44100 / 96000, 96000 / 44100, 2.0 / 3.0, 1.5)
"""Length of the wet file relative to the dry file after a wrong tape speed or a wrong sample rate in the header."""

MIN_SPEED_PROMINENCE = 12.0
"""Prominence of an excerpt that counts as found at another speed."""

_SPEED_REACH_SECONDS = 15.0


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
    them only at the true one.
    """
    size = excerpt_size(dry.stop - dry.start, dry.rate)
    starts = loudest_excerpts(dry, size, 5)
    reach = round(_SPEED_REACH_SECONDS * dry.rate)
    best = (0.0, 1.0)
    for stretch in (1.0, *SPEEDS):
        excerpts = []
        for start in starts:
            samples = dry.read(start, start + int(size / stretch) + 1)
            stretched = soxr.resample(samples, dry.rate, dry.rate * stretch, "HQ").astype(np.float32)[:size]
            excerpts.append((round(start * stretch), np.pad(stretched, (0, size - len(stretched)))))
        found = find_candidates(excerpts, wet, (-reach, reach))
        coarse = vote([each for each in found if each.prominence >= MIN_SPEED_PROMINENCE], len(starts))
        if coarse is not None and coarse.share > 0.5 and len(starts) > 1:
            best = max(best, (coarse.score, stretch))
    return best[1] if best[1] != 1.0 else None


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
