"""Simulated takes with ground truth: the reels, devices, recorders and faults of `alignment.py`.

A reel consists of slices of the demo corpus. A device processes it, a recorder with its own clock samples the output,
and samples may be lost. Nonlinear devices run at four times the rate, and a converter removes everything above 20 kHz.
The recorder evaluates a Nuttall-windowed sinc directly at each place and shares no code with the aligner.

The truth is in samples at the dry rate: wet index = lag + (1 + drift_ppm * 1e-6) * dry index + wander(dry index), minus
the samples lost before it.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import scipy.fft
from scipy.signal import butter, sosfilt
from scipy.special import erfc

from twinlib import audio
from twinlib.excitation.sync_click import make_click
from twinlib.simulation import process_stream
from twinlib.simulation.settings import Circuit, DiodeClipper, Transformer

Array = npt.NDArray[np.float64]

RATE = 44100
CORPUS = Path(__file__).resolve().parents[1] / "config" / "demo_corpus"

OUTER, INNER, FADE = round(1.2 * RATE), round(0.3 * RATE), round(0.06 * RATE)
TAIL_SECONDS = 0.5
AUDIBLE = 10.0 ** (-50 / 20)


# Reels


@dataclass(frozen=True)
class Reel:
    """A reel: samples quantised to 16 bits, its clicks (None: a pair) and its programme [start, stop)."""

    samples: Array
    clicks: list[int] | None
    programme: tuple[int, int]


@cache
def sources() -> list[Array]:
    """The recordings of the demo corpus, mono."""
    return [audio.read(path).mean(axis=1, dtype=np.float64) for path in sorted(CORPUS.rglob("*.flac"))]


def programme(random: np.random.Generator, frames: int) -> Array:
    """Concatenate random slices of 0.3 to 2 s at -24 to 0 dB with equal-power crossfades."""
    out = np.zeros(frames)
    ramp = np.sin(0.5 * np.pi * (np.arange(FADE) + 0.5) / FADE)
    position = 0
    while frames - position > 2 * FADE:
        source = sources()[random.integers(len(sources()))]
        length = min(round(random.uniform(0.3, 2.0) * RATE), len(source), frames - position)
        start = random.integers(len(source) - length + 1)
        piece = source[start : start + length] * 10.0 ** (random.uniform(-24.0, 0.0) / 20)
        if loudness(source[start : start + length]) < AUDIBLE:
            continue
        piece[:FADE] *= ramp
        piece[-FADE:] *= ramp[::-1]
        out[position : position + length] += piece
        position += length - FADE
    return out * min(1.0, 0.9 / float(np.abs(out).max()))


def loudness(samples: Array) -> float:
    """Return the rms."""
    return float(np.sqrt(np.mean(samples**2)))


def reel(random: np.random.Generator, seconds: float, clicked: bool = True) -> Reel:
    """Make a reel of `seconds` with the layout of the project, or a pair without clicks."""
    frames = round(seconds * RATE)
    if not clicked:
        return Reel(sixteen_bits(programme(random, frames)), None, (0, frames))
    head = edge()
    music = programme(random, frames - 2 * len(head))
    samples = np.concatenate((head, music, edge(last=True)))
    first, second = OUTER, len(head) + len(music) + INNER
    return Reel(sixteen_bits(samples), [first, second], (len(head), len(head) + len(music)))


def edge(last: bool = False) -> Array:
    """Return silence, click, short silence; reversed at the end of a reel."""
    parts = (np.zeros(OUTER), make_click(RATE).astype(np.float64), np.zeros(INNER))
    return np.concatenate(parts[::-1] if last else parts)


def sixteen_bits(samples: Array) -> Array:
    """Quantise to 16 bits."""
    return np.round(samples * 32768.0) / 32768.0


# Devices

_BLOCK, _MARGIN, _FACTOR = 1 << 18, 1 << 12, 4
# The ringing of an error-function edge is far shorter than the margin of a block.
_CONVERTER = 0.5 * erfc((np.fft.rfftfreq(_BLOCK, 1.0 / RATE) - 20000.0) / 200.0)


def converted(samples: Array, curve: Callable[[Array], Array] | None = None) -> Array:
    """Apply a curve at four times the rate, with the zero-phase low-pass of a converter on both sides."""
    out = np.empty(len(samples))
    padded = np.concatenate((np.zeros(_MARGIN), samples, np.zeros(_BLOCK)))
    for start in range(0, len(samples), _BLOCK - 2 * _MARGIN):
        spectrum = scipy.fft.rfft(padded[start : start + _BLOCK]) * _CONVERTER
        if curve is not None:
            dense = curve(scipy.fft.irfft(spectrum, _FACTOR * _BLOCK) * _FACTOR)
            spectrum = scipy.fft.rfft(dense)[: len(_CONVERTER)] / _FACTOR * _CONVERTER
        stop = min(start + _BLOCK - 2 * _MARGIN, len(samples))
        out[start:stop] = scipy.fft.irfft(spectrum, _BLOCK)[_MARGIN : _MARGIN + stop - start]
    return out


def soft(samples: Array) -> Array:
    """Mild memoryless saturation."""
    return np.tanh(1.5 * samples) / 1.5


def hard(samples: Array) -> Array:
    """Hard clipper at -20 dB."""
    return np.clip(5.0 * samples, -0.5, 0.5)


def circuit(settings: Circuit) -> Callable[[Array], Array]:
    """A simulated circuit followed by the converter."""

    def play(samples: Array) -> Array:
        blocks = (samples[start : start + audio.BLOCK] for start in range(0, len(samples), audio.BLOCK))
        played = process_stream(settings, RATE, (block.astype(np.float32) for block in blocks))
        return converted(np.concatenate(list(played)).astype(np.float64))

    return play


def tape(samples: Array) -> Array:
    """Soft saturation and a fourth-order low-pass at 12 kHz."""
    return np.asarray(sosfilt(butter(4, 12000.0, fs=RATE, output="sos"), converted(samples, soft)))


def breathing(samples: Array) -> Array:
    """All-pass with a level-dependent delay: one sample in silence, two thirds of a sample at full scale."""
    out = np.empty(len(samples))
    _breathing(samples, out)
    return converted(out)


@numba.njit(cache=True)
def _breathing(samples: Any, out: Any) -> None:
    # An envelope of 5 ms attack and 100 ms release moves the coefficient of a first-order all-pass.
    attack, release = 1.0 - math.exp(-1.0 / (0.005 * RATE)), 1.0 - math.exp(-1.0 / (0.1 * RATE))
    level, before, last = 0.0, 0.0, 0.0
    for n in range(len(samples)):
        size = abs(samples[n])
        level += (attack if size > level else release) * (size - level)
        coefficient = 0.2 * level
        last = coefficient * (samples[n] - last) + before
        before = samples[n]
        out[n] = last


@dataclass(frozen=True)
class Device:
    """A device. With a phase response, its true lag is known up to a constant only."""

    play: Callable[[Array], Array]
    own_phase: bool = False


DEVICES = {
    "clean": Device(converted),
    "tanh": Device(lambda samples: converted(samples, soft)),
    "hard clipper": Device(lambda samples: converted(samples, hard)),
    "transformer": Device(circuit(Transformer(drive=0.3)), own_phase=True),
    "diode clipper": Device(circuit(DiodeClipper(drive=0.5)), own_phase=True),
    "tape": Device(tape, own_phase=True),
    "breathing": Device(breathing, own_phase=True),
}


# Clocks and faults

Wander = Callable[[Array], Array]


def steady(random: np.random.Generator) -> Wander:
    """A steady clock."""
    return np.zeros_like


def temperature(random: np.random.Generator) -> Wander:
    """A clock that warms up: 1 to 4 ppm of either sign, with a time constant of one to four minutes."""
    start_ppm = random.choice((-1.0, 1.0)) * random.uniform(1.0, 4.0)
    settling = random.uniform(60.0, 240.0) * RATE
    return lambda dry: start_ppm * 1e-6 * settling * -np.expm1(-dry / settling)


def wow(random: np.random.Generator) -> Wander:
    """Wow of a tape machine: two samples at 0.3 Hz."""
    phase = random.uniform(0.0, 2.0 * np.pi)
    return lambda dry: 2.0 * np.sin(2.0 * np.pi * 0.3 / RATE * dry + phase)


@dataclass(frozen=True)
class Fault:
    """Samples (< 0: repeated) lost from index `place` of the recording."""

    place: int
    lost: int


@dataclass(frozen=True)
class Truth:
    """The positions of dry samples on the wet file, in samples at the dry rate."""

    lag: float
    drift_ppm: float
    wander: Wander
    fault: Fault | None = None

    def recorded(self, dry: Array) -> Array:
        """Return the wet index of dry positions before samples were lost."""
        return self.lag + (1.0 + self.drift_ppm * 1e-6) * dry + self.wander(dry)

    def played(self, wet: Array) -> Array:
        """Return the dry positions of wet indices: the inverse of `recorded`."""
        rate = 1.0 + self.drift_ppm * 1e-6
        dry = (wet - self.lag) / rate
        # Wander is slow: each iteration gains four digits.
        for _ in range(5):
            dry = (wet - self.lag - self.wander(dry)) / rate
        return dry

    def wet(self, dry: Array) -> Array:
        """Return the wet index of dry positions in the file; lost samples map to the place of the dropout."""
        index = self.recorded(dry)
        if self.fault is None:
            return index
        place, lost = self.fault.place, self.fault.lost
        if lost < 0:
            return np.where(index >= place, index - lost, index)
        return np.where(index >= place + lost, index - lost, np.minimum(index, place))

    def certain(self, dry: Array) -> npt.NDArray[np.bool_]:
        """Return the mask of the dry positions with one wet index: a repeated buffer has two."""
        if self.fault is None or self.fault.lost > 0:
            return np.ones(len(dry), bool)
        index = self.recorded(dry)
        return (index < self.fault.place + self.fault.lost) | (index >= self.fault.place)


# The recorder

REACH = 64
_A0, _A1, _A2, _A3 = 0.355768, 0.487396, 0.144232, 0.012604
_TAPS = np.arange(1 - REACH, REACH + 1)
_SIGNS = 1.0 - 2.0 * (_TAPS % 2)
_COS = np.cos(np.pi / REACH * np.outer((1, 2, 3), _TAPS))
_SIN = np.sin(np.pi / REACH * np.outer((1, 2, 3), _TAPS))


@numba.njit(cache=True, fastmath=True)
def _interpolate(samples: Any, origin: int, places: Any, out: Any, signs: Any, cos: Any, sin: Any) -> None:
    # The window at (fraction - tap) by angle sums: vectorisable, without the rounding of a table.
    for k in range(len(places)):
        whole = math.floor(places[k])
        fraction = places[k] - whole
        base = int(whole) - origin
        first, last = max(0, REACH - 1 - base), min(2 * REACH, len(samples) - base + REACH - 1)
        out[k] = 0.0
        if first >= last:
            continue
        if fraction == 0.0:
            out[k] = samples[base] if 0 <= base < len(samples) else 0.0
            continue
        turn = math.pi / REACH * fraction
        c1, c2, c3 = _A1 * math.cos(turn), _A2 * math.cos(2 * turn), _A3 * math.cos(3 * turn)
        s1, s2, s3 = _A1 * math.sin(turn), _A2 * math.sin(2 * turn), _A3 * math.sin(3 * turn)
        total = 0.0
        for i in range(first, last):
            window = _A0 + c1 * cos[0, i] + s1 * sin[0, i] + c2 * cos[1, i] + s2 * sin[1, i]
            window += c3 * cos[2, i] + s3 * sin[2, i]
            total += samples[base + i + 1 - REACH] * signs[i] * window / (fraction - (i + 1 - REACH))
        out[k] = total * math.sin(math.pi * min(fraction, 1.0 - fraction)) / math.pi


def interpolate(samples: Array, places: Array, origin: int = 0) -> Array:
    """Interpolate a signal at `places`; its first sample has index `origin`, and zeros surround it."""
    out = np.empty(len(places))
    _interpolate(samples, origin, places, out, _SIGNS, _COS, _SIN)
    return out


def record(
    played: Array, truth: Truth, random: np.random.Generator, *, gain: float, noise_rms: float, rate: int = RATE
) -> Array:
    """Record the played signal on the recorder's clock and at its rate, with white noise and the fault.

    The recording ends half a second after the reel.
    """
    frames = math.ceil((truth.recorded(np.array([float(len(played))]))[0] + TAIL_SECONDS * RATE) * rate / RATE)
    wet = np.empty(frames)
    for start in range(0, frames, _BLOCK):
        index = np.arange(start, min(start + _BLOCK, frames)) * (RATE / rate)
        noise = noise_rms * random.standard_normal(len(index))
        wet[start : start + len(index)] = gain * interpolate(played, truth.played(index)) + noise
    wet = np.clip(wet, -1.0, 1.0 - 2.0**-23)
    if truth.fault is None:
        return wet
    place, lost = truth.fault.place, truth.fault.lost
    return np.concatenate((wet[:place], wet[place + lost :]))


def audible_place(played: Array, span: tuple[int, int], random: np.random.Generator) -> int:
    """Draw a sample at least a second inside the span with audible programme in the 20 ms on both sides."""
    near = RATE // 50
    while True:
        place = int(random.integers(span[0] + RATE, span[1] - RATE))
        if min(loudness(played[place - near : place]), loudness(played[place : place + near])) > AUDIBLE:
            return place


# An hour


def write_long(dry: Path, wet: Path, hours: float) -> tuple[Truth, list[int]]:
    """Write a reel of some hours and its take, in constant memory: `tanh`, 12345.37 samples late, 20 ppm, noise.

    Returns the truth and the clicks. The noise is at -80 dBFS, about 60 dB below the programme.
    """
    random = np.random.default_rng(0)
    truth = Truth(12345.37, 20.0, steady(random))
    frames = round(hours * 3600 * RATE)
    head, foot = edge(), edge(last=True)
    held, origin, written = np.zeros(0), 0, 0
    with audio.Writer(dry, RATE, 1, "PCM_24", frames) as dry_file, audio.Writer(wet, RATE, 1, "PCM_24", frames) as file:
        for chunk in _chunks(random, frames, head, foot):
            dry_file.write(chunk.astype(np.float32))
            held = np.concatenate((held, converted(chunk, soft)))  # A chunk begins and ends with silence.
            known = math.floor(truth.recorded(np.array([float(origin + len(held) - REACH)]))[0])
            known = known if origin + len(held) < frames else known + REACH + round(TAIL_SECONDS * RATE)
            places = truth.played(np.arange(written, known, dtype=np.float64))
            noise = 1e-4 * random.standard_normal(len(places))
            file.write((0.8 * interpolate(held, places, origin) + noise).astype(np.float32))
            keep = max(origin, math.floor(places[-1]) - REACH)
            held, origin, written = held[keep - origin :], keep, known
    return truth, [OUTER, frames - len(foot) + INNER]


def _chunks(random: np.random.Generator, frames: int, head: Array, foot: Array) -> Iterator[Array]:
    yield head
    music = frames - len(head) - len(foot)
    for start in range(0, music, 60 * RATE):
        yield sixteen_bits(programme(random, min(60 * RATE, music - start)))
    yield foot
