"""Devices for comparing recipes and trainers: clips of dry and wet, without the pipeline.

A clip is contiguous, and no context crosses its border. `klon` is the gain stage of a Klon Centaur
(github.com/jatinchowdhury18/KlonCentaur: 425 clips of 11,025 samples on one clock, one file per gain): the last 25
clips are the test split, the preceding 16 the validation split. `simulated` processes slices of the demo corpus with a
simulated circuit; the splits have disjoint tracks. Simulated devices also have clips of steady sines.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from twinlib import audio
from twinlib.audio import Signal
from twinlib.db import db_to_amp
from twinlib.excitation.tones import TONE_LEVEL_DB, draw_tone, tone_hertz
from twinlib.simulation import process_stream
from twinlib.simulation.settings import Circuit
from twinlib.training import Training
from twinlib.training.data import Pair, Split

Clips = npt.NDArray[np.float32]
"""Mono clips `(count, samples)`."""

RATE = 44100
CORPUS = Path(__file__).parents[1] / "config" / "demo_corpus" / "Audio"

COMPARED_FROM = 4096
"""First compared sample of a clip: all networks have their full context from here."""

TEST_CLIPS, VALID_CLIPS = 25, 16

SLICE = 12288
"""Samples of a clip of a simulated device."""

TRAIN_CLIPS = 900
"""Training clips of a simulated device: four minutes."""


TONE_CLIPS = {"train": 400, "valid": 40, "test": 40}
"""Clips of steady sines, tones, of a simulated device."""

Process = Callable[[Signal], Signal]
"""A device: maps samples `(n,)` to as many."""


@dataclass(frozen=True)
class Device:
    """Dry and wet clips by split: `train`, `valid`, `test`; and those of tones, with their fundamentals.

    `fundamentals` holds cycles per sample `(count,)` by split. Recorded devices have no tones.
    """

    name: str
    splits: dict[str, tuple[Clips, Clips]]
    tones: dict[str, tuple[Clips, Clips]] = field(default_factory=dict)
    fundamentals: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write a file that NumPy alone can read."""
        arrays = {f"{split}_{part}": clips[at] for split, clips in self.splits.items() for at, part in enumerate(PARTS)}
        for split, clips in self.tones.items():
            arrays |= {f"{split}_tones_{part}": clips[at] for at, part in enumerate(PARTS)}
            arrays[f"{split}_fundamentals"] = self.fundamentals[split]
        np.savez(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> "Device":
        """Read a file of `save`; the file name is the name of the device."""
        arrays = np.load(path)
        splits = {split: (arrays[f"{split}_dry"], arrays[f"{split}_wet"]) for split in SPLITS}
        if "train_fundamentals" not in arrays:
            return cls(path.stem, splits)
        tones = {split: (arrays[f"{split}_tones_dry"], arrays[f"{split}_tones_wet"]) for split in SPLITS}
        return cls(path.stem, splits, tones, {split: arrays[f"{split}_fundamentals"] for split in SPLITS})


SPLITS, PARTS = ("train", "valid", "test"), ("dry", "wet")


def from_files(name: str, dry: Path, wet: Path, clip_samples: int) -> Device:
    """Split a pair of files on one clock into clips; an incomplete last clip is dropped."""
    both = []
    for path in (dry, wet):
        with audio.Reader(path) as reader:
            samples = reader.read(0, reader.info.frames)[:, 0]
        both.append(samples[: len(samples) // clip_samples * clip_samples].reshape(-1, clip_samples))
    last, valid = len(both[0]) - TEST_CLIPS, len(both[0]) - TEST_CLIPS - VALID_CLIPS
    ranges = {"train": slice(0, valid), "valid": slice(valid, last), "test": slice(last, None)}
    return Device(name, {split: (both[0][part], both[1][part]) for split, part in ranges.items()})


def klon(folder: Path, gain: int) -> Device:
    """Return the gain stage of the Klon Centaur at a gain of 0, 25 or 75 %."""
    return from_files(f"klon{gain:03d}", folder / "dry.flac", folder / f"wet_gain{gain:03d}.flac", 11025)


def play(circuit: Circuit) -> Process:
    """Return the simulation of a circuit."""
    return lambda dry: np.concatenate(list(process_stream(circuit, RATE, [dry])))


def simulated(name: str, process: Process, seed: int = 0) -> Device:
    """Process slices of the demo corpus, at peaks of -18 to 0 dBFS, and steady sines, each in one continuous pass."""
    tracks = sorted(CORPUS.glob("*/*_MIX.flac"))
    random = np.random.default_rng(seed)
    random.shuffle(tracks)  # type: ignore[arg-type]
    # A sixth of the tracks each for validation and test.
    few = max(1, len(tracks) // 6)
    parts = {"test": tracks[:few], "valid": tracks[few : 2 * few], "train": tracks[2 * few :]}
    counts = {"test": TEST_CLIPS, "valid": VALID_CLIPS, "train": TRAIN_CLIPS}
    splits, tones, fundamentals = {}, {}, {}
    for split, paths in parts.items():
        sounds = [_mono(path) for path in paths]
        dry = np.stack([_slice(random, sounds) for _ in range(counts[split])])
        splits[split] = dry, process(dry.reshape(-1)).reshape(dry.shape)
    for number, (split, count) in enumerate(TONE_CLIPS.items()):
        draw = np.random.default_rng([seed, number])
        hertz = np.array([tone_hertz(draw_tone(draw, RATE)) for _ in range(count)])
        levels = draw.uniform(*TONE_LEVEL_DB, count)
        dry = np.stack([_tone(hz, level) for hz, level in zip(hertz, levels, strict=True)])
        tones[split] = dry, process(dry.reshape(-1)).reshape(dry.shape)
        fundamentals[split] = hertz / RATE
    return Device(name, splits, tones, fundamentals)


def _tone(hz: float, dbfs: float) -> npt.NDArray[np.float32]:
    """Return a sine of `SLICE` samples between fades of 256."""
    edge = np.minimum(1.0, (np.minimum(np.arange(SLICE), np.arange(SLICE)[::-1]) + 0.5) / 256)
    return (db_to_amp(dbfs) * edge * np.sin(2 * np.pi * hz / RATE * np.arange(SLICE))).astype(np.float32)


def _mono(path: Path) -> npt.NDArray[np.float32]:
    with audio.Reader(path) as reader:
        assert reader.info.sample_rate == RATE, path
        return np.asarray(reader.read(0, reader.info.frames).mean(axis=1), np.float32)


def _slice(random: np.random.Generator, sounds: list[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Return a slice that is not silent, with its peak at -18 to 0 dBFS."""
    while True:
        sound = sounds[int(random.integers(len(sounds)))]
        if len(sound) < SLICE:
            sound = np.tile(sound, SLICE // len(sound) + 1)
        start = int(random.integers(len(sound) - SLICE + 1))
        found = sound[start : start + SLICE]
        peak = float(np.abs(found).max())
        if peak > 1e-2:
            return np.asarray(found * (10 ** (random.uniform(-18.0, 0.0) / 20) / peak), np.float32)


class ClipData:
    """Clips as `TrainingData`: random crops of random clips with true context, the last `tones` of a batch of tones."""

    sample_rate, guard_samples = RATE, 0

    def __init__(self, device: Device, receptive_field: int, settings: Training, tones: int = 0) -> None:
        self.device = self.digest = device.name
        self._source, self._context, self._settings = device, receptive_field - 1, settings
        self._tones = tones if device.tones else 0

    def _draw(self, step: int) -> Iterable[tuple[Clips, Clips, float, str]]:
        """Yield dry and wet samples, fundamental and position of each crop of a step."""
        settings, random = self._settings, np.random.default_rng([self._settings.seed, step])
        for number in range(settings.batch):
            is_tone = number >= settings.batch - self._tones
            dry, wet = (self._source.tones if is_tone else self._source.splits)["train"]
            clip = int(random.integers(len(dry)))
            # The fade at the end of a tone is not steady.
            stop = dry.shape[1] - (256 if is_tone else 0)
            at = int(random.integers(self._context, stop - settings.crop_samples + 1))
            fundamental = float(self._source.fundamentals["train"][clip]) if is_tone else 0.0
            end = at + settings.crop_samples
            yield dry[clip, at - self._context : end], wet[clip, at:end], fundamental, f"clip {clip}, sample {at}"

    def batch(self, step: int) -> Pair:
        dry, wet, _, _ = zip(*self._draw(step), strict=True)
        return np.stack(dry), np.stack(wet)

    def fundamentals(self, step: int) -> npt.NDArray[np.float64]:
        return np.array([fundamental for _, _, fundamental, _ in self._draw(step)])

    def crop_positions(self, step: int) -> list[str]:
        return [position for _, _, _, position in self._draw(step)]

    def excerpts(self, seconds: float) -> list[Pair]:
        del seconds
        return [(dry, wet[self._context :]) for dry, wet in zip(*self._source.splits["valid"], strict=True)]

    def spans(self, split: Split, taps: int, samples: int) -> Iterator[Pair]:
        del samples
        for dry, wet in zip(*self._source.splits[split], strict=True):
            yield dry, wet[taps - 1 :]
