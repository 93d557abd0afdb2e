"""Takes that were mutilated at random, what became of every dry sample in them, and whether `align` sees through it.

A seed names a mutilation: a take or pair of real music, one to three things done to it, and the kind of file it is
written as. With its samples every mutilated recording carries the dry position of each, through all that is cut and
pasted, and what the sample would be if nothing but that had been done. Of this the truth is made:

* A dry sample is **answered** by a place of the file that was recorded of it, in a run of such places that holds 20 ms
  or more of the programme; several places may answer to it (a repeated buffer). What is shorter than that cannot be
  told from a crackle, so it counts as damage and not as a shift.
* A place is **damaged**, and answers to nothing, where it was zeroed, overwritten or is no number, and where over 5 ms
  what was added (noise, flipped bits, clipping) has at least the power of what was there: the device is then not the
  better half of what is heard. What is softer, another gain, and DC leave the answer in its place.
* A place of the other polarity than the one that is found answers to nothing.

`verdict` "ok" is wrong where an answered dry sample of the sounding programme (above -50 dBFS rms over 20 ms), looked
at every 5 ms, lies 0.05 samples or more from where it is said to be, and where more than 20 ms in a row have no answer,
both outside of `excluded`. Damage that is shorter than 20 ms (a few zeros, a flipped bit, one buffer of 512 samples)
may go unnoticed: a segment of music is not spoilt by it. A pair may lack half a second at its ends, as `judge` says of
latency; a take may not.

    python -m tests.alignment.mutilations --count 1000 --out /tmp/mutilations.jsonl
"""

import argparse
import contextlib
import io
import json
import math
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import soundfile
from scipy.ndimage import uniform_filter1d

from twinlib import audio, cli
from twinlib.alignment.align import Alignment, align
from twinlib.alignment.warp import WarpedWet
from twinlib.capture.ingest import ingest
from twinlib.errors import TwinError
from twinlib.excitation.click import click
from twinlib.excitation.settings import EXCITATION
from twinlib.files import write_json

from .conftest import RATE, Array, device, noise, warped

Mask = npt.NDArray[np.bool_]
Random = np.random.Generator

CORPUS = Path(__file__).resolve().parents[2] / "config" / "demo_corpus"

POOL = 8
"""Recordings that mutilations are made of."""

MOST_OFF = 0.05
"""Samples by which a lag may be wrong."""

MOST_UNANSWERED = RATE // 50
"""Samples in a row without an answer: 20 ms."""

GRID = RATE // 200
"""Samples between two places that are looked at: 5 ms."""

SOUNDING_DBFS = -50.0
"""The rms over 20 ms from which on the programme sounds."""

MISSING_SECONDS = 0.5
"""What a pair may lack at either end."""

IN_STEP = (-4, 16)
"""Lags of a pair on one clock that are left to the twin, by `judge`."""


# What is mutilated


@dataclass(frozen=True)
class Base:
    """A reel or the dry file of a pair (`clicks` None), and what was recorded of it, sound."""

    number: int
    dry: Array
    clicks: list[int] | None
    programme: tuple[int, int]
    recorded: "Recording"
    polarity: int

    @property
    def sounding(self) -> Mask:
        """The dry samples at which the programme sounds."""
        power = uniform_filter1d(self.dry**2, RATE // 50)
        inside = np.zeros(len(self.dry), bool)
        inside[slice(*self.programme)] = True
        return np.asarray(inside & (power > 10.0 ** (SOUNDING_DBFS / 10.0)))


@dataclass
class Recording:
    """Samples, and of each the dry position that it answers to (NaN: none), what it would be if it were undamaged (with
    its gain and polarity, without DC), the DC added, the polarity (1: as recorded) and whether it was destroyed.
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
        """A copy of some of it."""
        return Recording(*(column[start:stop].copy() for column in self.columns()))

    def columns(self) -> tuple[Any, ...]:
        """All that is known of the samples."""
        return self.samples, self.dry, self.clean, self.dc, self.sign, self.lost

    def foreign(self) -> "Recording":
        """The same sound, of which nothing answers to the dry signal."""
        return replace(self, dry=np.full(len(self), np.nan), lost=np.ones(len(self), bool))

    @classmethod
    def joined(cls, parts: Sequence["Recording"]) -> "Recording":
        """One after the other."""
        return cls(*(np.concatenate(columns) for columns in zip(*(part.columns() for part in parts), strict=True)))


@cache
def _sources() -> list[Array]:
    return [audio.read(path).mean(axis=1, dtype=np.float64) for path in sorted(CORPUS.rglob("*.flac"))]


def music_of(random: Random, frames: int) -> Array:
    """Slices of several tracks at several levels, each faded into the next, some with a pause between them."""
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
    """A recording of the pool: five of eight are takes with clicks, the others pairs."""
    random = np.random.default_rng([7, number])
    clicked = number % 8 < 5
    music = music_of(random, round(random.uniform(9.0, 12.0) * RATE))
    start, clicks = 0, None
    dry = music
    if clicked:
        mark, outer, inner = click(RATE).astype(np.float64), np.zeros(round(1.2 * RATE)), np.zeros(round(0.3 * RATE))
        head = np.concatenate((outer, mark, inner))
        dry = np.concatenate((head, music, head[::-1] * 0.0))
        start = len(head)
        clicks = [len(outer), start + len(music) + len(inner)]
        dry[clicks[1] : clicks[1] + len(mark)] = mark
    dry = np.round(dry * 32768.0) / 32768.0
    drift = 20.0 if random.random() < 0.5 else 0.0
    lag = random.uniform(200.0, 30000.0)
    if not clicked and drift == 0.0:
        # Both files of such a pair lie on one digital clock, and a warp that copies samples is the right one.
        lag = float(round(lag))
    polarity = int(random.choice((1, -1)))
    frames = math.ceil(lag + (1.0 + drift * 1e-6) * len(dry)) + round(0.5 * RATE)
    wet = polarity * random.uniform(0.3, 0.8) * warped(device(dry, 1.0), lag, drift, frames)
    wet = np.asarray(wet + noise(frames, -75.0, 100 + number), np.float64)
    place: Array = (np.arange(frames, dtype=np.float64) - lag) / (1.0 + drift * 1e-6)
    recorded = Recording(wet, place, wet, np.zeros(frames), np.ones(frames), np.zeros(frames, bool))
    return Base(number, dry, clicks, (start, start + len(music)), recorded, polarity)


# What is done to its samples


@dataclass
class Victim:
    """The recording while it is being mutilated, and the file it will be."""

    base: Base
    random: Random
    recording: Recording
    suffix: str
    subtype: str
    rate: int = RATE
    channels: int = 1
    channel: int = 0
    others: str = "silence"
    bytes_done: list[Callable[[bytearray], bytearray]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def place(self) -> int:
        """A place of the recording, mostly in the programme."""
        inside = np.flatnonzero(
            (self.recording.dry >= self.base.programme[0]) & (self.recording.dry < self.base.programme[1])
        )
        if len(inside) and self.random.random() < 0.85:
            return int(self.random.choice(inside))
        return int(self.random.integers(max(1, len(self.recording))))

    def size(self, least: float, most: float) -> int:
        """A number of samples; every order of magnitude is as likely."""
        return round(math.exp(self.random.uniform(math.log(least), math.log(most))))

    def stretch(self, least: float, most: float) -> tuple[int, int]:
        """A stretch of the recording."""
        start = self.place()
        return start, min(len(self.recording), start + self.size(least, most))

    def cut(self, start: int, stop: int) -> None:
        """Take samples away."""
        here = self.recording
        self.recording = Recording.joined([here.part(0, start), here.part(stop, len(here))])
        self.note(f"cut {start} to {stop}")

    def paste(self, start: int, what: Recording, over: bool) -> None:
        """Put samples in, or over those that were there."""
        here = self.recording
        stop = min(len(here), start + len(what)) if over else start
        what = what.part(0, stop - start) if over else what
        self.recording = Recording.joined([here.part(0, start), what, here.part(stop, len(here))])
        self.note(f"{len(what)} samples {'over' if over else 'in'} at {start}")

    def note(self, what: str) -> None:
        """For whoever looks at a failure."""
        self.notes.append(what)


def cut_head(victim: Victim) -> None:
    victim.cut(0, min(victim.size(1, 6 * RATE), len(victim.recording) - 1))


def cut_tail(victim: Victim) -> None:
    frames = len(victim.recording)
    victim.cut(max(1, frames - victim.size(1, 8 * RATE)), frames)


def cut_middle(victim: Victim) -> None:
    victim.cut(*victim.stretch(1024, 4 * RATE))


def lose_one(victim: Victim) -> None:
    start = victim.place()
    victim.cut(start, start + 1)


def lose_some(victim: Victim) -> None:
    for _ in range(int(victim.random.integers(1, 6))):
        victim.cut(*victim.stretch(1, 1024))


def repeat_some(victim: Victim) -> None:
    for _ in range(int(victim.random.integers(1, 6))):
        start, stop = victim.stretch(1, 1024)
        victim.paste(stop, victim.recording.part(start, stop), over=False)


def repeat_in_place(victim: Victim) -> None:
    """One buffer, or several in a row, is heard again in place of the next."""
    size = int(victim.random.choice((64, 128, 256, 512, 1024, 2048, 4096)))
    for _ in range(int(victim.random.integers(1, 5))):
        start = victim.place()
        for number in range(1, int(victim.random.integers(2, 5))):
            victim.paste(start + number * size, victim.recording.part(start, start + size), over=True)


def move(victim: Victim) -> None:
    """A stretch is shifted, and what follows is not."""
    start, stop = victim.stretch(0.005 * RATE, 3 * RATE)
    shift = int(victim.random.choice((-1, 1))) * victim.size(1, 2000)
    victim.paste(start, victim.recording.part(max(0, start + shift), max(0, stop + shift)), over=True)
    victim.note(f"moved {shift}")


def splice_own(victim: Victim) -> None:
    start, stop = victim.stretch(64, 4 * RATE)
    victim.paste(victim.place(), victim.recording.part(start, stop), over=bool(victim.random.random() < 0.5))


def splice_other(victim: Victim) -> None:
    other = base((victim.base.number + int(victim.random.integers(1, POOL))) % POOL).recorded
    start = int(victim.random.integers(len(other)))
    part = other.part(start, start + victim.size(64, 5 * RATE)).foreign()
    victim.paste(victim.place(), part, over=bool(victim.random.random() < 0.5))


def _zero(victim: Victim, start: int, stop: int) -> None:
    victim.recording.samples[start:stop] = 0.0
    victim.recording.lost[start:stop] = True
    victim.note(f"zeroed {start} to {stop}")


def zero(victim: Victim) -> None:
    for _ in range(int(victim.random.choice((1, 1, 1, 2, 3, 8)))):
        _zero(victim, *victim.stretch(0.001 * RATE, 3 * RATE))


def zero_briefly(victim: Victim) -> None:
    for _ in range(int(victim.random.integers(1, 20))):
        _zero(victim, *victim.stretch(1, 0.001 * RATE))


def no_number(victim: Victim) -> None:
    victim.suffix, victim.subtype = ".wav", "FLOAT"
    what = float(victim.random.choice((np.nan, np.inf, -np.inf)))
    longest = float(victim.random.choice((1.0, 1.0, 500.0, RATE)))
    for _ in range(int(victim.random.choice((1, 1, 2, 10, 100)))):
        start, stop = victim.stretch(1.0, longest + 1e-9)
        victim.recording.samples[start:stop] = what
        victim.recording.lost[start:stop] = True
        victim.note(f"{what} from {start} to {stop}")


def gain_jump(victim: Victim) -> None:
    start = victim.place()
    stop = len(victim.recording) if victim.random.random() < 0.6 else start + victim.size(441, 4 * RATE)
    decibels = float(victim.random.uniform(-20.0, 12.0))
    for column in (victim.recording.samples, victim.recording.clean, victim.recording.dc):
        column[start:stop] *= 10.0 ** (decibels / 20.0)
    victim.note(f"{decibels:+.1f} dB from {start} to {stop}")


def flip_polarity(victim: Victim) -> None:
    start = victim.place()
    stop = len(victim.recording) if victim.random.random() < 0.5 else start + victim.size(441, 4 * RATE)
    here = victim.recording
    for column in (here.samples, here.clean, here.dc, here.sign):
        column[start:stop] *= -1.0
    victim.note(f"upside down from {start} to {stop}")


def burst(victim: Victim) -> None:
    for _ in range(int(victim.random.choice((1, 1, 2, 5)))):
        start, stop = victim.stretch(32, 2 * RATE)
        level = 10.0 ** (victim.random.uniform(-50.0, -3.0) / 20.0)
        victim.recording.samples[start:stop] += level * victim.random.standard_normal(stop - start)
        victim.note(f"noise of {level:.4f} rms from {start} to {stop}")


def offset(victim: Victim) -> None:
    start, stop = [(0, len(victim.recording)), victim.stretch(441, 4 * RATE)][int(victim.random.integers(2))]
    level = float(victim.random.choice((-1.0, 1.0))) * victim.random.uniform(0.001, 0.3)
    victim.recording.samples[start:stop] += level
    victim.recording.dc[start:stop] += level
    victim.note(f"DC of {level:.3f} from {start} to {stop}")


# What is done to its file


def wrong_rate(victim: Victim) -> None:
    rates = (
        48000,
        48000,
        48000,
        22050,
        22050,
        88200,
        88200,
        96000,
        32000,
        44056,
        44101,
        8000,
        192000,
        11025,
        7,
        655350,
    )
    victim.rate = int(victim.random.choice(rates))
    victim.note(f"{victim.rate} Hz")


def more_channels(victim: Victim) -> None:
    victim.channels = int(victim.random.choice((2, 2, 2, 3, 6)))
    victim.channel = int(victim.random.integers(victim.channels))
    victim.others = str(victim.random.choice(("silence", "noise", "copy", "another")))
    victim.note(f"{victim.channels} channels, {victim.others} on the others")


def wrong_channel(victim: Victim) -> None:
    """The channel that is asked for is not there, or holds something else."""
    more_channels(victim)
    victim.channels = int(victim.random.choice((1, 2)))
    victim.channel = 1 if victim.channels == 1 else -1
    victim.note(f"channel {victim.channel} of {victim.channels}")


def truncate(victim: Victim) -> None:
    """Bytes are missing at the end; the header says nothing of it."""
    part, few = float(victim.random.random()), int(victim.random.integers(1, 2000))
    which = int(victim.random.integers(3))

    def shortened(content: bytearray) -> bytearray:
        size = len(content)
        return content[: max(0, (int(part * size), size - few, 44 + few)[which])]

    victim.bytes_done.append(shortened)
    victim.note("bytes cut off")


def truncate_header(victim: Victim) -> None:
    kept = int(victim.random.integers(0, 100))
    victim.bytes_done.append(lambda content: content[:kept])
    victim.note(f"{kept} bytes left")


def flip_bits(victim: Victim) -> None:
    """Single bits, few or many, or those of a whole stretch."""
    seed = int(victim.random.integers(1 << 31))
    count = int(victim.random.choice((1, 3, 30, 1000, 30000)))
    local = bool(victim.random.random() < 0.4)

    def flipped(content: bytearray) -> bytearray:
        random = np.random.default_rng(seed)
        low, high = min(400, len(content)), len(content)
        if low == high:
            return content
        if local:
            low = int(random.integers(low, high))
            high = min(high, low + 4 * count)
        for place in random.integers(low, high, count).tolist():
            content[place] ^= 1 << int(random.integers(8))
        return content

    victim.bytes_done.append(flipped)
    victim.note(f"{count} bits flipped{' near each other' if local else ''}")


def lose_sector(victim: Victim) -> None:
    """Blocks of the disk hold zeros, ones or what another file left there."""
    seed = int(victim.random.integers(1 << 31))
    kind = int(victim.random.integers(3))

    def overwritten(content: bytearray) -> bytearray:
        random = np.random.default_rng(seed)
        if len(content) < 3 * 4096:
            return content
        for _ in range(int(random.integers(1, 4))):
            start = 4096 * int(random.integers(1, len(content) // 4096 - 1))
            size = 4096 * int(random.integers(1, 9))
            size = min(size, len(content) - start)
            filling = (bytes(size), b"\xff" * size, random.bytes(size))[kind]
            content[start : start + size] = filling
        return content

    victim.bytes_done.append(overwritten)
    victim.note(f"sectors of {('zeros', 'ones', 'anything')[kind]}")


def flip_header(victim: Victim) -> None:
    seed = int(victim.random.integers(1 << 31))

    def flipped(content: bytearray) -> bytearray:
        random = np.random.default_rng(seed)
        for _ in range(int(random.integers(1, 4))):
            place = int(random.integers(min(80 if content[:4] == b"RIFF" else 42, max(1, len(content)))))
            if place < len(content):
                content[place] ^= 1 << int(random.integers(8))
        return content

    victim.bytes_done.append(flipped)
    victim.note("bits of the header flipped")


KINDS: dict[str, Callable[[Victim], None]] = {
    "cut head": cut_head,
    "cut tail": cut_tail,
    "cut middle": cut_middle,
    "one sample lost": lose_one,
    "samples lost": lose_some,
    "samples repeated": repeat_some,
    "buffer repeated in place": repeat_in_place,
    "stretch moved": move,
    "spliced with itself": splice_own,
    "spliced with another": splice_other,
    "zeroed": zero,
    "zeroed below 1 ms": zero_briefly,
    "not a number": no_number,
    "gain jump": gain_jump,
    "polarity flip": flip_polarity,
    "noise burst": burst,
    "DC": offset,
    "wrong rate": wrong_rate,
    "more channels": more_channels,
    "wrong channel": wrong_channel,
    "truncated file": truncate,
    "truncated header": truncate_header,
    "bits flipped": flip_bits,
    "sectors overwritten": lose_sector,
    "header flipped": flip_header,
}

OF_THE_FILE = ("truncated file", "truncated header", "bits flipped", "sectors overwritten", "header flipped")
"""Kinds that come last of a mixture."""

HOPELESS = ("wrong channel", "truncated header")
"""Kinds that are in no mixture: nothing else would be seen of it."""


# A mutilated file


@dataclass(frozen=True)
class Mutilation:
    """A mutilated recording as a file, what was done to it, and what was known of its samples before the file was."""

    seed: int
    kinds: tuple[str, ...]
    notes: tuple[str, ...]
    base: Base
    reel: Path
    take: Path
    channel: int
    recording: Recording

    @property
    def kind(self) -> str:
        """The row of the table."""
        return self.kinds[0] if len(self.kinds) == 1 else f"mixture of {len(self.kinds)}"


def mutilate(seed: int, folder: Path) -> Mutilation:
    """Write the reel and the mutilated take of a seed under a folder, where the pipeline would have put them."""
    random = np.random.default_rng([seed])
    names = list(KINDS)
    if random.random() < 0.35:
        mixed = [name for name in names if name not in HOPELESS]
        chosen = random.choice(mixed, int(random.integers(2, 4)), replace=False).tolist()
    else:
        chosen = [names[seed % len(names)]]
    kinds = sorted(chosen, key=lambda name: name in OF_THE_FILE)
    chosen_base = base(int(random.integers(POOL)))
    formats = (".wav", "PCM_16"), (".wav", "PCM_16"), (".wav", "PCM_24"), (".wav", "FLOAT"), (".flac", "PCM_24")
    suffix, subtype = formats[int(random.integers(len(formats)))]
    whole = chosen_base.recorded.part(0, len(chosen_base.recorded))
    victim = Victim(chosen_base, random, whole, suffix, subtype)
    for kind in kinds:
        if len(victim.recording) > 1:
            KINDS[kind](victim)
    folder.mkdir(parents=True, exist_ok=True)
    take = folder / f"take{seed}{victim.suffix}"
    channel = _write(victim, take)
    return Mutilation(
        seed,
        tuple(kinds),
        tuple(victim.notes),
        chosen_base,
        reel_of(chosen_base, folder),
        take,
        channel,
        victim.recording,
    )


def reel_of(chosen: Base, folder: Path) -> Path:
    """The dry file of a recording, with the `excitation.json` that knows its clicks."""
    path = folder / f"base{chosen.number}" / "reels" / f"reel{chosen.number}.wav"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        audio.write(path, chosen.dry.astype(np.float32), RATE, "PCM_16")
        if chosen.clicks is not None:
            content = {"reels": {path.stem: {"clicks": chosen.clicks}}}
            write_json(path.parent.parent / "excitation.json", EXCITATION, content)
    return path


def _write(victim: Victim, path: Path) -> int:
    """Write the file; returns the channel that is to be aligned."""
    samples = victim.recording.samples
    if victim.subtype != "FLOAT":
        samples = np.clip(samples, -1.0, 1.0 - 2.0**-23)
    frames = len(samples)
    rest: dict[str, Callable[[], Array]] = {
        "silence": lambda: np.zeros(frames),
        "noise": lambda: 0.1 * victim.random.standard_normal(frames),
        "copy": lambda: 0.5 * samples,
        "another": lambda: np.resize(base((victim.base.number + 1) % POOL).recorded.samples, frames),
    }
    columns = [rest[victim.others]() for _ in range(victim.channels)]
    if 0 <= victim.channel < victim.channels or victim.channels == 1:
        columns[min(victim.channel, victim.channels - 1)] = samples
    else:
        columns[1] = samples
    table = np.stack(columns, axis=1)
    soundfile.write(str(path), table, victim.rate, victim.subtype)
    content = bytearray(path.read_bytes())
    for done in victim.bytes_done:
        content = done(content)
    path.write_bytes(content)
    return max(0, victim.channel)


# The truth


def read_back(mutilation: Mutilation) -> tuple[Array, int] | None:
    """The channel that is aligned as the file gives it, and its rate; None if it gives nothing."""
    try:
        samples, rate = soundfile.read(str(mutilation.take), dtype="float64", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError, ValueError, MemoryError):
        return None
    if mutilation.channel >= samples.shape[1] or not len(samples):
        return None
    return samples[:, mutilation.channel], int(rate)


def wrongs(mutilation: Mutilation, found: Alignment) -> list[str]:
    """Where an alignment is not true, sentence by sentence; none if it can be trusted outside of `excluded`."""
    heard = read_back(mutilation)
    if heard is None:
        return ["an alignment of a file that cannot be read"]
    samples, rate = heard
    here, programme = mutilation.base, mutilation.base.sounding
    frames = min(len(samples), len(mutilation.recording))
    recording = mutilation.recording.part(0, frames)
    damaged = recording.lost | ~_sounds(samples[:frames], recording)
    damaged |= here.polarity * recording.sign != found.polarity
    positions = np.arange(len(here.dry), dtype=np.float64)
    said = positions + found.lags(positions)
    if not np.isfinite(said).all():
        return ["a lag that is no number"]
    off = np.full(len(positions), np.inf)
    scale = RATE / rate
    for first, last in _pieces(recording.dry):
        low, high = math.ceil(recording.dry[first]), math.floor(recording.dry[last - 1])
        low, high = max(low, here.programme[0]), min(high, here.programme[1] - 1)
        if high - low < MOST_UNANSWERED:
            continue
        slope = (recording.dry[last - 1] - recording.dry[first]) / (last - 1 - first)
        wet = first + (positions[low : high + 1] - recording.dry[first]) / slope
        whole = np.clip(wet.astype(np.int64), first, last - 1)
        broken = damaged[whole] | damaged[np.minimum(whole + 1, last - 1)]
        error = np.where(broken, np.inf, np.abs(wet * scale - said[low : high + 1]))
        off[low : high + 1] = np.minimum(off[low : high + 1], error)
    answered = np.isfinite(off)
    judged = programme.copy()
    for one in found.excluded:
        judged[max(0, one.start) : max(0, one.stop)] = False
    missing = (said < 0.0) | (said >= len(samples) * scale - 1.0)
    if found.verdict == "ok":
        # Nobody was told that the file begins late or ends early.
        room = round(MISSING_SECONDS * RATE) if here.clicks is None else 0
        missing[room : len(missing) - room] = False
    judged &= ~missing
    if here.clicks is None:
        off = _in_step(off, found)
    out = []
    grid = np.zeros(len(positions), bool)
    grid[::GRID] = True
    bad = judged & answered & grid & (off > MOST_OFF)
    if bad.any():
        places = np.flatnonzero(bad)
        out.append(
            f"off by up to {off[bad].max():.3f} samples at {len(places)} places from {places[0]} to {places[-1]} "
            f"({places[0] / RATE:.3f} s to {places[-1] / RATE:.3f} s) of the dry file, {_level(here, places)}"
        )
    runs = [run for run in _runs(judged & ~answered) if run[1] - run[0] > MOST_UNANSWERED]
    if runs:
        first, last = max(runs, key=lambda run: run[1] - run[0])
        most = sum(stop - start for start, stop in runs) / RATE
        out.append(
            f"no answer in {len(runs)} stretches, {1000 * most:.0f} ms in all, the longest {first} to {last} "
            f"({first / RATE:.3f} s to {last / RATE:.3f} s) of the dry file, {_level(here, np.arange(first, last))}"
        )
    return out


def _level(here: Base, places: npt.NDArray[np.int64]) -> str:
    """How loud the dry signal is there, and the loudest 6 ms within 1.5 s of it."""
    power = uniform_filter1d(here.dry**2, 256)
    low, high = max(0, int(places[0]) - 3 * RATE // 2), int(places[-1]) + 3 * RATE // 2
    mean = float(power[places].mean()) + 1e-12
    below = 10.0 * math.log10(float(power[low:high].max()) / mean)
    return f"{10.0 * math.log10(mean):.0f} dBFS ({below:.0f} dB below the loudest near it)"


def _sounds(samples: Array, recording: Recording) -> Mask:
    """Where what was added has less power than what was there."""
    with np.errstate(all="ignore"):
        error = samples - recording.dc - recording.clean
        error = np.where(np.isfinite(error), np.clip(error, -1e3, 1e3), 1e3)
    window = RATE // 200
    # A sample that is gone has an error of its own power, but for rounding.
    return np.asarray(uniform_filter1d(error**2, window) < 0.98 * uniform_filter1d(recording.clean**2, window))


def _pieces(dry: Array) -> list[tuple[int, int]]:
    """Stretches [first, last) in which the dry position goes on from sample to sample."""
    goes_on = np.abs(np.diff(dry) - 1.0) < 0.01
    edges = np.flatnonzero(np.diff(np.concatenate(([False], goes_on, [False])).astype(np.int8)))
    return [(int(first), int(last) + 1) for first, last in zip(edges[::2], edges[1::2], strict=True)]


def _in_step(off: Array, found: Alignment) -> Array:
    """A pair on one clock keeps a lag of a few samples: `applied.IN_STEP` leaves such a constant to the twin."""
    if found.warp != "shift" or found.applied_lag_samples != 0.0:
        return off
    for constant in range(max(-IN_STEP[0], IN_STEP[1]) + 1):
        close = np.abs(off - constant) < MOST_OFF
        if close.sum() > 0.5 * np.isfinite(off).sum():
            return np.where(close, 0.0, off)
    return off


def _runs(where: Mask) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], where.astype(np.int8), [0])))).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))


# Trying it


@dataclass(frozen=True)
class Outcome:
    """What was said of a mutilation: `ok`, `suspect`, `refused` or `error`, what is wrong with that, and warnings.

    `left_in` is what is wrong with an alignment that is called suspect: no failure, for a person was told.
    """

    seed: int
    kind: str
    kinds: tuple[str, ...]
    notes: tuple[str, ...]
    base: int
    said: str
    reasons: tuple[str, ...]
    failures: tuple[str, ...]
    left_in: tuple[str, ...]
    warned: tuple[str, ...]
    seconds: float


def attempt(seed: int, folder: Path) -> Outcome:
    """Mutilate, align, ingest, and for some seeds run the `twin` command too; the take is removed afterwards."""
    mutilation = mutilate(seed, folder)
    begun = time.process_time()
    failures: list[str] = []
    left_in: list[str] = []
    said = "error"
    reasons: tuple[str, ...] = ()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = _tried(
            "align",
            failures,
            lambda: align(mutilation.reel, mutilation.take, channel=mutilation.channel, clicks=mutilation.base.clicks),
        )
        if isinstance(found, Alignment):
            said, reasons = found.verdict, found.reasons
            failures += _form(found.verdict, found.reasons)
            _tried("to_dict", failures, lambda: json.dumps(found.to_dict(), allow_nan=False))
            if found.verdict != "refused":
                failures += _warps(mutilation, found)
        elif isinstance(found, TwinError):
            reasons = (str(found),)
        take = _tried(
            "ingest", failures, lambda: ingest(mutilation.take, reel=mutilation.reel, channel=mutilation.channel + 1)
        )
        if take is not None and not isinstance(take, TwinError):
            failures += _form(take.verdict, take.reasons)
            _tried("to_dict", failures, lambda: json.dumps(take.to_dict(), allow_nan=False))
        if seed % 5 == 0:
            words = ["check", mutilation.take, "--reel", mutilation.reel, "--channel", mutilation.channel + 1]
            failures += _command(words + ["--json"] * (seed % 2))
        elif seed % 5 == 1:
            out = folder / f"aligned{seed}.wav"
            words = ["align", mutilation.reel, mutilation.take, "--channel", mutilation.channel + 1, "--out", out]
            failures += _command([*words, "--json"])
            out.unlink(missing_ok=True)
    seconds = time.process_time() - begun
    if isinstance(found, Alignment) and said != "refused":
        wrong = wrongs(mutilation, found)
        if said == "ok":
            failures += wrong
        else:
            left_in += wrong
    mutilation.take.unlink(missing_ok=True)
    warned = {
        f"{one.message} ({Path(one.filename).name}:{one.lineno})"
        for one in caught
        if issubclass(one.category, RuntimeWarning)
    }
    return Outcome(
        seed,
        mutilation.kind,
        mutilation.kinds,
        mutilation.notes,
        mutilation.base.number,
        said,
        tuple(reasons),
        tuple(failures),
        tuple(left_in),
        tuple(sorted(warned)),
        seconds,
    )


def _tried(what: str, failures: list[str], action: Callable[[], Any]) -> Any:
    """What an action gives, or the `TwinError` it ends with; anything else is a failure."""
    try:
        return action()
    except TwinError as error:
        if not _is_sentence(str(error)):
            failures.append(f"{what} ends with an error that is no sentence: {error}")
        return error
    except Exception:
        failures.append(f"{what} broke: {traceback.format_exc(limit=-4)}")
        return None


def _is_sentence(text: str) -> bool:
    """Some words, and nothing that only a program would say."""
    odd = re.search(r"Traceback|\bnan\b|\binf\b|<[a-z_.]+ (object|at)|None\b|array\(", text)
    return len(text.split()) >= 5 and odd is None and "\n" not in text


def _form(verdict: str, reasons: Iterable[str]) -> list[str]:
    reasons = list(reasons)
    out = [f"a reason that is no sentence: {reason}" for reason in reasons if not _is_sentence(reason)]
    if verdict not in ("ok", "suspect", "refused") or (verdict == "ok") != (not reasons):
        out.append(f"the verdict {verdict} with the reasons {reasons}")
    return out


def _warps(mutilation: Mutilation, found: Alignment) -> list[str]:
    """Reading the wet signal on the dry clock, as the shards do."""
    failures: list[str] = []

    def read() -> None:
        with WarpedWet(mutilation.take, found, mutilation.channel) as warped_wet:
            start, stop = warped_wet.valid_range()
            for first in range(start, stop, audio.BLOCK):
                warped_wet.read(first, min(stop, first + audio.BLOCK))

    _tried("the warp", failures, read)
    return failures


def _command(words: Sequence[object]) -> list[str]:
    """Run the `twin` command in this process: it ends with 0, or with 1 and a sentence."""
    out, err = io.StringIO(), io.StringIO()
    handler = signal.getsignal(signal.SIGTERM)
    failures: list[str] = []
    code: Any = None

    def run() -> None:
        nonlocal code
        with (
            mock.patch.object(sys, "argv", ["twin", *map(str, words)]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                cli.main()
            except SystemExit as ended:
                code = ended.code

    _tried(f"twin {words[0]}", failures, run)
    signal.signal(signal.SIGTERM, handler)
    last = err.getvalue().strip().splitlines()
    if not failures and code not in (0, 1):
        failures.append(f"twin {words[0]} ends with {code}")
    if code == 1 and not (last and last[-1].startswith("error: ") and _is_sentence(last[-1])):
        failures.append(f"twin {words[0]} is refused without a sentence: {last}")
    return failures


# The table


def table(outcomes: Sequence[Outcome]) -> str:
    """Counts by kind."""
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    for one in outcomes:
        for name in (one.kind, "all"):
            rows[name].update(("count", one.said))
            rows[name]["failures"] += bool(one.failures)
            rows[name]["left in"] += bool(one.left_in)
            rows[name]["warned"] += bool(one.warned)
    columns = ("count", "ok", "suspect", "refused", "error", "failures", "left in", "warned")
    lines = [f"{'kind':<26}" + "".join(f"{name:>10}" for name in columns)]
    order = [*KINDS, *sorted(name for name in rows if name not in KINDS and name != "all"), "all"]
    lines += [f"{name:<26}" + "".join(f"{rows[name][key]:>10}" for key in columns) for name in order if name in rows]
    return "\n".join(lines)


def described(one: Outcome) -> str:
    """A failure, for people."""
    what = f"seed {one.seed}: {', '.join(one.kinds)} (base {one.base}; {'; '.join(one.notes)[:300]})"
    lines = [f"{what}\n    said {one.said} {'; '.join(one.reasons)[:300]}"]
    lines += [f"    FAILED {failure}" for failure in one.failures]
    lines += [f"    warned {warned}" for warned in one.warned]
    return "\n".join(lines)


def main() -> None:
    """Try many seeds and print the table."""
    parser = argparse.ArgumentParser(description="Mutilated takes, and what is said of them.")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--step", type=int, default=1, help="every so many seeds: for several processes")
    parser.add_argument("--seeds", type=int, nargs="*", help="these and no others")
    parser.add_argument("--out", type=Path, help="a line of JSON for every seed")
    args = parser.parse_args()
    outcomes = []
    folder = Path(tempfile.mkdtemp(prefix="mutilations"))
    try:
        for seed in args.seeds or range(args.first, args.count, args.step):
            outcome = attempt(seed, folder)
            outcomes.append(outcome)
            if outcome.failures or outcome.warned:
                print(described(outcome), flush=True)
            if args.out:
                with args.out.open("a") as stream:
                    stream.write(json.dumps(vars(outcome)) + "\n")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(table(outcomes))
    sys.exit(any(outcome.failures or outcome.warned for outcome in outcomes))


if __name__ == "__main__":
    main()
