"""Captures with known lag and drift, interpolated independently of the aligner."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import strategies as st
from scipy.fft import irfft, next_fast_len, rfft
from scipy.signal import butter, chirp, sosfilt
from scipy.signal.windows import tukey

from twinlib import audio
from twinlib.alignment.result import Alignment, Window
from twinlib.resampling.channel import Channel
from twinlib.resampling.time_map import Piece, TimeMap
from twinlib.simulation.circuits import process_stream
from twinlib.simulation.settings import Circuit

RATE = 44100
CLICK = int(0.02 * RATE)

Array = npt.NDArray[np.float64]


def programme(seconds: float, seed: int = 0) -> Array:
    """Synthetic music: decaying notes with harmonics and plucks, too periodic for plain cross-correlation."""
    rng = np.random.default_rng(seed)
    frames = int(seconds * RATE)
    out = np.zeros(frames + RATE)
    beat = RATE // 4
    for start in range(0, frames - beat, beat):
        t = np.arange(RATE) / RATE
        pitch = 110.0 * 2 ** (rng.integers(0, 24) / 12)
        for k in range(1, 12):
            out[start : start + RATE] += (
                np.sin(2 * np.pi * pitch * k * t + rng.uniform(0, 6)) * np.exp(-t * (3 + k)) / k
            )
        out[start : start + RATE] += 0.5 * rng.standard_normal(RATE) * np.exp(-t * 60)
    out = out[:frames]
    spectrum = np.fft.rfft(out)
    f = np.fft.rfftfreq(frames, 1 / RATE)
    out = np.fft.irfft(spectrum / (1 + (f / 12000.0) ** 16), frames)
    return 0.5 * out / np.abs(out).max()


def rush(seconds: float, seed: int = 0, depth_db: float = 12.0) -> Array:
    """Noise with a varying level, like unvoiced speech."""
    rng = np.random.default_rng(seed)
    frames = int(seconds * RATE)
    spectrum = rfft(rng.standard_normal(frames))
    f = np.fft.rfftfreq(frames, 1 / RATE)
    out = irfft(spectrum / (1 + f / 1000) / (1 + (f / 15000.0) ** 8), frames)
    knots = np.arange(0.0, seconds + 0.4, 0.2) * RATE
    out *= 10 ** (np.interp(np.arange(frames), knots, rng.uniform(-depth_db, 0, len(knots))) / 20)
    return np.asarray(0.5 * out / np.abs(out).max())


def click() -> Array:
    t = np.arange(CLICK) / RATE
    return 0.89 * chirp(t, 100, t[-1], 18000) * tukey(CLICK, 0.2)


def reel(seconds: float, seed: int = 0) -> tuple[Array, list[int]]:
    """A reel of silence, click, programme, click, silence; also returns the starts of the clicks."""
    music = programme(seconds, seed)
    gap = int(1.2 * RATE)
    short = int(0.3 * RATE)
    first = gap
    second = gap + CLICK + short + len(music) + short
    out = np.zeros(second + CLICK + gap)
    out[first : first + CLICK] = click()
    out[second : second + CLICK] = click()
    out[first + CLICK + short : first + CLICK + short + len(music)] = music
    return out, [first, second]


def sample_at(x: Array, places: Array) -> Array:
    """Evaluate a band-limited signal between its samples by a Taylor series about the nearest sample.

    All derivatives are from the spectrum, so the result is exact to rounding, without a windowed sinc. The signal is
    zero before its start and after its end.
    """
    pad = 64
    length = next_fast_len(len(x) + 2 * pad, real=True)
    spectrum = rfft(np.concatenate((np.zeros(pad), x)), length)
    omega = 2j * np.pi * np.arange(len(spectrum)) / length
    inside = (places > -pad) & (places < len(x) + pad - 1)
    nearest = np.round(places[inside]).astype(np.int64) + pad
    step = places[inside] + pad - nearest
    value, factor = np.zeros(len(step)), np.ones(len(step))
    for k in range(18):
        value += factor * irfft(spectrum, length)[nearest]
        spectrum = spectrum * omega
        factor = factor * step / (k + 1)
    out = np.zeros(len(places))
    out[inside] = value
    return out


def warped(x: Array, lag: float, drift_ppm: float, frames: int | None = None) -> Array:
    """Warp a signal: sample k is x at (k - lag) / (1 + drift)."""
    frames = frames if frames is not None else int(np.ceil(lag + (1 + drift_ppm * 1e-6) * len(x))) + 2000
    return sample_at(x, (np.arange(frames) - lag) / (1 + drift_ppm * 1e-6))


def wandered(x: Array, lags: Callable[[Array], Array], frames: int) -> Array:
    """Warp a signal so that dry position m is at m + lags(m), for slowly changing lags."""
    wet = np.arange(frames, dtype=float)
    places = wet
    for _ in range(4):
        places = wet - lags(places)
    return sample_at(x, places)


def slow_clock(rng: np.random.Generator, seconds: float, period: float, swing: float) -> tuple[Array, Array]:
    """Windows that overlap by half, and an oscillating lag."""
    position = np.arange(0.0, seconds, 0.37) * RATE
    return position, swing * np.sin(2 * np.pi * position / RATE / period + rng.uniform(0, 6.28))


def swings(rng: np.random.Generator, position: Array, hertz: float, swing: float) -> Array:
    """An oscillating lag at the positions of windows, with a random phase."""
    return swing * np.sin(2 * np.pi * hertz * position / RATE + rng.uniform(0, 6.28))


def breathing(rng: np.random.Generator, scatter: float) -> tuple[Array, Array, Array]:
    """A minute through a device with level-dependent delay: positions, lags, and levels with a slow change."""
    time = np.arange(0.0, 60.0, 0.37)
    level = -30.0 + 6.0 * np.sin(2 * np.pi * time / 50.0 + rng.uniform(0, 6.28)) + rng.uniform(-9, 9, len(time))
    return time * RATE, -0.4 * 10 ** (level / 20) + scatter * rng.standard_normal(len(time)), level


class Memory:
    """An array with the interface of an open file, for tests of `Channel` without a disk."""

    def __init__(self, samples: npt.NDArray[np.floating], rate: int) -> None:
        self.samples = np.ascontiguousarray(samples.reshape(len(samples), -1), np.float32)
        frames, channels = self.samples.shape
        self.info = audio.AudioInfo(Path("memory.wav"), rate, channels, frames, "WAV", "FLOAT")

    def read(self, start: int, stop: int) -> audio.Signal:
        assert 0 <= start <= stop <= len(self.samples), "a file has no samples there"
        return self.samples[start:stop].copy()


def channel(samples: npt.NDArray[np.floating], rate: int = RATE, at: int = RATE) -> Channel:
    """The first channel of a signal recorded at `rate` and resampled to `at`."""
    return Channel(cast(audio.Reader, Memory(samples, rate)), 0, at, 0, len(samples) * at // rate)


@st.composite
def pieces(draw: st.DrawFn, frames: int = 9000, most_ppm: float = 300.0) -> tuple[Piece, ...]:
    """Draw one to four pieces over dry samples [0, frames): constants, lines and curves, between dropouts.

    Wet positions never decrease.
    """
    count = draw(st.integers(1, 4))
    length = frames // count
    out: list[Piece] = []
    lag = draw(st.floats(-400, 400))
    for number in range(count):
        gap = draw(st.integers(0, 200)) if number else 0
        start, stop = number * length + gap, (number + 1) * length
        if number:
            lag = float(TimeMap(out).lags(np.array([out[-1].stop], float))[0]) + draw(st.floats(-gap, 60))
        slope = draw(st.floats(-most_ppm, most_ppm)) * 1e-6
        knots = np.linspace(start, stop, draw(st.integers(1, 4))) if draw(st.booleans()) else np.array([float(start)])
        bent = [0.0, *draw(st.lists(st.floats(-0.2, 0.2), min_size=len(knots) - 1, max_size=len(knots) - 1))]
        lags = lag + slope * (knots - start) + np.array(bent)
        out.append(Piece(start, stop, tuple(knots.tolist()), tuple(lags.tolist())))
    return tuple(out)


def alignment(frames: int, lag: float, drift_ppm: float = 0.0, **changes: object) -> Alignment:
    """An alignment with one linear piece, or with an integer lag for `warp="shift"`."""
    knots = (0.0, float(frames)) if changes.get("warp") != "shift" else (0.0,)
    line = Piece(0, frames, knots, tuple(lag + drift_ppm * 1e-6 * knot for knot in knots))
    base = Alignment(
        sample_rate=RATE,
        wet_sample_rate=RATE,
        dry_frames=frames,
        wet_frames=frames,
        dry_range=(0, frames),
        wet_range=(0, frames),
        lag_samples=lag,
        drift_ppm=drift_ppm,
        drift_error_ppm=0.001,
        polarity=1,
        gain_db=0.0,
        residual_rms_samples=0.01,
        wander_rms_samples=0.0,
        confidence=1.0,
        dropouts=(),
        excluded=(),
        verdict="ok",
        reasons=(),
        guard_samples=12,
        reference=None,
        warp="sinc",
        applied_lag_samples=lag,
        applied_drift_ppm=drift_ppm,
        applied_polarity=1,
        applied_gain=1.0,
        applied_dc=0.0,
        pieces=(line,),
        track=(Window(1000.0, lag + 0.01, 100.0, 0.01), Window(9000.0, lag + 0.7, 50.0, 0.7), Window(2.0, lag, 0, 0)),
    )
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def decibels(truth: npt.NDArray[np.floating], found: npt.NDArray[np.floating]) -> float:
    """Signal-to-error ratio in dB."""
    return float(10 * np.log10(np.sum(np.square(truth)) / np.sum(np.square(found - truth, dtype=np.float64))))


def device(x: Array, drive: float = 1.5) -> Array:
    """A mild memoryless saturation, without phase shift."""
    return np.tanh(drive * x) / drive


def filtered(x: Array) -> Array:
    """A device with a phase response: a saturation between coupling capacitors and a treble cut."""
    return np.asarray(sosfilt(butter(1, [80, 6000], "band", fs=RATE, output="sos"), np.tanh(3 * x) / 3))


def circuit(settings: Circuit, x: Array) -> Array:
    """A simulated device whose phase depends on the programme."""
    return np.concatenate(list(process_stream(settings, RATE, [x.astype(np.float32)]))).astype(float)


def noise(frames: int, dbfs: float, seed: int = 1) -> Array:
    return 10 ** (dbfs / 20) * np.random.default_rng(seed).standard_normal(frames)


Write = Callable[[str, Array], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def writer(name: str, samples: Array) -> Path:
        path = tmp_path / name
        audio.write(path, samples.astype(np.float32), RATE, "FLOAT")
        return path

    return writer
