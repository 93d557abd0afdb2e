"""The clicks of a reel in the recording of it: a matched filter over the whole file, in constant memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.fft

from twinlib.alignment.line import Line
from twinlib.alignment.signals import Channel
from twinlib.alignment.spectra import MIDDLE_HZ, band
from twinlib.audio import Signal
from twinlib.progress import Progress, silent

SIZE = 1 << 16
"""Samples of one transform of the stream."""

LEAST_CORRELATION = 0.35
"""A click is one if its normalised correlation is at least this; chance reaches about 0.3 in an hour of music."""

FASTEST_PPM = 2000.0
"""Clicks further from each other than this allows are not those of one pass."""

STEADY_PPM = 100.0
"""What the clocks of two sound cards hardly differ by; more between two clicks is likelier a loss of samples."""


@dataclass(frozen=True)
class Found:
    """A place in the wet file that looks like a click: where, the correlation (signed, -1 to 1)."""

    place: float
    correlation: float


@dataclass(frozen=True)
class Anchors:
    """The line through the clicks found, the polarity, the wet place of each, and the clicks that are missing."""

    line: Line
    polarity: int
    correlation: float
    places: dict[int, float]
    missing: tuple[int, ...]


def waveform(dry: Channel, click: int) -> Signal:
    """The click that stands at `click` on the dry clock, its silent end cut off."""
    samples = dry.read(click, click + dry.rate // 4)
    loud = np.flatnonzero(np.abs(samples) > 1e-3 * float(np.abs(samples).max(initial=1e-9)))
    return samples[: loud[-1] + 1] if len(loud) else samples[:0]


def find_clicks(wet: Channel, click: Signal, progress: Progress = silent) -> list[Found]:
    """The 64 places of the wet file that resemble the click most, best first, parabola between samples.

    The correlation is normalised by the energy under the click, so that loud music does not outshine it. It is that
    of the band in which every device passes signal, and so made at half the rate or less.
    """
    length = len(click)
    bins = band(SIZE, wet.rate, min(MIDDLE_HZ, wet.top_hz))
    course_size = scipy.fft.next_fast_len(3 * bins.stop, real=True)
    pace = SIZE / course_size
    template = np.zeros(course_size // 2 + 1, np.complex64)
    template[bins] = scipy.fft.rfft(click, SIZE)[bins]
    norm = float(np.sqrt(np.square(np.abs(template), dtype=np.float64).sum() * 2.0 / SIZE))
    step = SIZE - 2 * length
    span, kept = round(length / pace), int(step / pace) + 3
    found: list[Found] = []
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


def _peaks(ratio: npt.NDArray[np.float64], start: int, pace: float, apart: int, most: int = 16) -> list[Found]:
    heights = np.abs(ratio)
    inner = (heights[1:-1] >= heights[:-2]) & (heights[1:-1] > heights[2:]) & (heights[1:-1] > 0.3)
    peaks: list[Found] = []
    places = np.flatnonzero(inner) + 1
    for place in places[np.argsort(-heights[places], kind="stable")]:
        if len(peaks) == most:
            break
        if any(abs(one.place - start - place * pace) < apart for one in peaks):
            continue
        left, top, right = ratio[place - 1 : place + 2]
        bend = left - 2.0 * top + right
        between = 0.5 * (left - right) / bend if bend else 0.0
        peaks.append(Found(start + pace * float(place + between), float(top)))
    return peaks


def match(clicks: Sequence[int], found: Sequence[Found], slack: float) -> Anchors | None:
    """The line, polarity and missing clicks that explain most of what was found; None if nothing was.

    `slack` is how far, in samples, a click may stand from its place besides what the speeds of the clocks allow.
    """
    best: tuple[float, list[tuple[int, Found]]] | None = None
    strong = sorted((one for one in found if abs(one.correlation) >= LEAST_CORRELATION), key=lambda one: one.place)
    for anchor in strong:
        for click in clicks:
            chosen = []
            for other in clicks:
                room = slack + abs(other - click) * FASTEST_PPM * 1e-6 if other != click else 0.0
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
    return Anchors(line, sign, min(abs(one.correlation) for _, one in chosen), places, missing)
