"""Faults of recordings and files, and the damaged take of each seed."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from twinlib import audio
from twinlib.contracts import EXCITATION
from twinlib.files import write_json

from ..conftest import RATE, Array
from .recordings import POOL, Base, Recording, base

Mask = npt.NDArray[np.bool_]
Random = np.random.Generator


@dataclass
class Victim:
    """A recording to damage, and the format of its file."""

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
        """Draw a place of the recording, mostly in the programme."""
        inside = np.flatnonzero(
            (self.recording.dry >= self.base.programme[0]) & (self.recording.dry < self.base.programme[1])
        )
        if len(inside) and self.random.random() < 0.85:
            return int(self.random.choice(inside))
        return int(self.random.integers(max(1, len(self.recording))))

    def size(self, least: float, most: float) -> int:
        """Draw a number of samples, log-uniformly."""
        return round(math.exp(self.random.uniform(math.log(least), math.log(most))))

    def stretch(self, least: float, most: float) -> tuple[int, int]:
        """Draw a span of the recording."""
        start = self.place()
        return start, min(len(self.recording), start + self.size(least, most))

    def cut(self, start: int, stop: int) -> None:
        """Remove samples."""
        here = self.recording
        self.recording = Recording.joined([here.part(0, start), here.part(stop, len(here))])
        self.note(f"cut {start} to {stop}")

    def paste(self, start: int, what: Recording, over: bool) -> None:
        """Insert samples, or overwrite."""
        here = self.recording
        stop = min(len(here), start + len(what)) if over else start
        what = what.part(0, stop - start) if over else what
        self.recording = Recording.joined([here.part(0, start), what, here.part(stop, len(here))])
        self.note(f"{len(what)} samples {'over' if over else 'in'} at {start}")

    def note(self, what: str) -> None:
        """Record a note for the description of a failure."""
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
    """Repeat a buffer in place of the next one or several."""
    size = int(victim.random.choice((64, 128, 256, 512, 1024, 2048, 4096)))
    for _ in range(int(victim.random.integers(1, 5))):
        start = victim.place()
        for number in range(1, int(victim.random.integers(2, 5))):
            victim.paste(start + number * size, victim.recording.part(start, start + size), over=True)


def move(victim: Victim) -> None:
    """Displace a span but not the audio after it."""
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
    """Request a channel that is missing or has other content."""
    more_channels(victim)
    victim.channels = int(victim.random.choice((1, 2)))
    victim.channel = 1 if victim.channels == 1 else -1
    victim.note(f"channel {victim.channel} of {victim.channels}")


def truncate(victim: Victim) -> None:
    """Cut bytes off the end; the header does not change."""
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
    """Flip single bits anywhere, or many in one span."""
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
    """Overwrite disk blocks with zeros, ones or random bytes."""
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
"""File faults, applied last in a mixture."""

HOPELESS = ("wrong channel", "truncated header")
"""Kinds without mixtures, because they hide all others."""


@dataclass(frozen=True)
class Mutilation:
    """A damaged recording as a file, its faults, and the truth about its samples."""

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
    """Write the reel and the damaged take of a seed to a folder with the layout of the pipeline."""
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
    """Write the dry file of a recording, with the `excitation.json` that lists its clicks."""
    path = folder / f"base{chosen.number}" / "reels" / f"reel{chosen.number}.wav"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        audio.write(path, chosen.dry.astype(np.float32), RATE, "PCM_16")
        if chosen.clicks is not None:
            content = {"reels": {path.stem: {"clicks": chosen.clicks}}}
            write_json(path.parent.parent / "excitation.json", EXCITATION, content)
    return path


def _write(victim: Victim, path: Path) -> int:
    """Write the file; return the channel to align."""
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
