"""Recordings of real music before damage; each sample has its dry position."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import uniform_filter1d

from twinlib import audio
from twinlib.excitation.sync_click import make_click

from ..conftest import RATE, Array, device, noise, warped

Mask = npt.NDArray[np.bool_]
Random = np.random.Generator


CORPUS = Path(__file__).resolve().parents[3] / "config" / "demo_corpus"

POOL = 8
"""Number of recordings to be damaged."""

SOUNDING_DBFS = -50.0
"""Rms over 20 ms from which the programme is audible."""


@dataclass(frozen=True)
class Base:
    """A reel or the dry file of a pair (`clicks` None), and its undamaged recording."""

    number: int
    dry: Array
    clicks: list[int] | None
    programme: tuple[int, int]
    recorded: "Recording"
    polarity: int

    @property
    def sounding(self) -> Mask:
        """Mask of the dry samples at which the programme is audible."""
        power = uniform_filter1d(self.dry**2, RATE // 50)
        inside = np.zeros(len(self.dry), bool)
        inside[slice(*self.programme)] = True
        return np.asarray(inside & (power > 10.0 ** (SOUNDING_DBFS / 10.0)))


@dataclass
class Recording:
    """Samples, and for each its dry position (NaN: none), its value without damage (with gain and polarity, without
    DC), the added DC, the polarity (1: as recorded), and whether it was destroyed.
    """

    samples: Array
    dry: Array
    clean: Array
    dc: Array
    sign: Array
    lost: Mask

    def __len__(self) -> int:
        return len(self.samples)

    def part(self, start: int, stop: int) -> "Recording":
        """Return a copy of samples [start, stop)."""
        return Recording(*(column[start:stop].copy() for column in self.columns()))

    def columns(self) -> tuple[Any, ...]:
        """Return all columns."""
        return self.samples, self.dry, self.clean, self.dc, self.sign, self.lost

    def foreign(self) -> "Recording":
        """Return the same samples as audio that does not belong to the dry signal."""
        return replace(self, dry=np.full(len(self), np.nan), lost=np.ones(len(self), bool))

    @classmethod
    def joined(cls, parts: Sequence["Recording"]) -> "Recording":
        """Concatenate recordings."""
        return cls(*(np.concatenate(columns) for columns in zip(*(part.columns() for part in parts), strict=True)))


@cache
def _sources() -> list[Array]:
    return [audio.read(path).mean(axis=1, dtype=np.float64) for path in sorted(CORPUS.rglob("*.flac"))]


def music_of(random: Random, frames: int) -> Array:
    """Concatenate slices of tracks at several levels with crossfades and some pauses."""
    out = np.zeros(frames)
    fade = round(0.05 * RATE)
    ramp = np.sin(0.5 * np.pi * (np.arange(fade) + 0.5) / fade)
    position = 0
    while frames - position > 2 * fade:
        source = _sources()[random.integers(len(_sources()))]
        length = min(round(random.uniform(0.4, 2.5) * RATE), len(source), frames - position)
        start = int(random.integers(len(source) - length + 1))
        piece = source[start : start + length].copy()
        level = float(np.sqrt(np.mean(piece**2)))
        if level < 1e-3:
            continue
        piece *= 10.0 ** (random.uniform(-30.0, -16.0) / 20.0) / level
        piece[:fade] *= ramp
        piece[-fade:] *= ramp[::-1]
        out[position : position + length] += piece
        position += length - fade
        if random.random() < 0.06:
            position += round(random.uniform(0.2, 0.8) * RATE)
    return out * min(1.0, 0.8 / float(np.abs(out).max()))


@cache
def base(number: int) -> Base:
    """Make a recording of the pool: five of eight are takes with clicks, the others pairs."""
    random = np.random.default_rng([7, number])
    clicked = number % 8 < 5
    music = music_of(random, round(random.uniform(9.0, 12.0) * RATE))
    start, clicks = 0, None
    dry = music
    if clicked:
        mark, outer, inner = (
            make_click(RATE).astype(np.float64),
            np.zeros(round(1.2 * RATE)),
            np.zeros(round(0.3 * RATE)),
        )
        head = np.concatenate((outer, mark, inner))
        dry = np.concatenate((head, music, head[::-1] * 0.0))
        start = len(head)
        clicks = [len(outer), start + len(music) + len(inner)]
        dry[clicks[1] : clicks[1] + len(mark)] = mark
    dry = np.round(dry * 32768.0) / 32768.0
    drift = 20.0 if random.random() < 0.5 else 0.0
    lag = random.uniform(200.0, 30000.0)
    if not clicked and drift == 0.0:
        # Such a pair shares one digital clock; the right warp copies samples.
        lag = float(round(lag))
    polarity = int(random.choice((1, -1)))
    frames = math.ceil(lag + (1.0 + drift * 1e-6) * len(dry)) + round(0.5 * RATE)
    wet = polarity * random.uniform(0.3, 0.8) * warped(device(dry, 1.0), lag, drift, frames)
    wet = np.asarray(wet + noise(frames, -75.0, 100 + number), np.float64)
    place: Array = (np.arange(frames, dtype=np.float64) - lag) / (1.0 + drift * 1e-6)
    recorded = Recording(wet, place, wet, np.zeros(frames), np.ones(frames), np.zeros(frames, bool))
    return Base(number, dry, clicks, (start, start + len(music)), recorded, polarity)
