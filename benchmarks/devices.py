"""Devices for comparing recipes and trainers: clips of dry and wet, without the pipeline.

A clip is contiguous, and no context crosses its border. `klon` is the gain stage of a Klon Centaur
(github.com/jatinchowdhury18/KlonCentaur: 425 clips of 11,025 samples on one clock, one file per gain): the last 25
clips are the test split, the preceding 16 the validation split. `simulated` processes slices of the demo corpus with a
simulated circuit; the splits have disjoint tracks.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from twinlib import audio
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


@dataclass(frozen=True)
class Device:
    """Dry and wet clips by split: `train`, `valid`, `test`."""

    name: str
    splits: dict[str, tuple[Clips, Clips]]

    def save(self, path: Path) -> None:
        """Write a file that NumPy alone can read."""
        arrays = {f"{split}_{part}": clips[at] for split, clips in self.splits.items() for at, part in enumerate(PARTS)}
        np.savez(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> "Device":
        """Read a file of `save`; the file name is the name of the device."""
        arrays = np.load(path)
        return cls(path.stem, {split: (arrays[f"{split}_dry"], arrays[f"{split}_wet"]) for split in SPLITS})


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


def simulated(name: str, circuit: Circuit, seed: int = 0) -> Device:
    """Process slices of the demo corpus, at peaks of -18 to 0 dBFS, with a circuit in one continuous pass."""
    tracks = sorted(CORPUS.glob("*/*_MIX.flac"))
    random = np.random.default_rng(seed)
    random.shuffle(tracks)  # type: ignore[arg-type]
    # A sixth of the tracks each for validation and test.
    few = max(1, len(tracks) // 6)
    parts = {"test": tracks[:few], "valid": tracks[few : 2 * few], "train": tracks[2 * few :]}
    counts = {"test": TEST_CLIPS, "valid": VALID_CLIPS, "train": TRAIN_CLIPS}
    splits = {}
    for split, paths in parts.items():
        sounds = [_mono(path) for path in paths]
        dry = np.stack([_slice(random, sounds) for _ in range(counts[split])])
        wet = np.concatenate(list(process_stream(circuit, RATE, [dry.reshape(-1)])))
        splits[split] = dry, wet.reshape(dry.shape).astype(np.float32)
    return Device(name, splits)


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
    """Clips as `TrainingData`: random crops of random clips with true context."""

    sample_rate, guard_samples = RATE, 0

    def __init__(self, device: Device, receptive_field: int, settings: Training) -> None:
        self.device = self.digest = device.name
        self._splits, self._context, self._settings = device.splits, receptive_field - 1, settings

    def _draw(self, step: int) -> Iterable[tuple[int, int]]:
        """Return clip and first compared sample of each crop of a step."""
        settings, (dry, _) = self._settings, self._splits["train"]
        random = np.random.default_rng([settings.seed, step])
        clips = random.integers(len(dry), size=settings.batch)
        places = random.integers(self._context, dry.shape[1] - settings.crop_samples + 1, size=settings.batch)
        return zip(clips.tolist(), places.tolist(), strict=True)

    def batch(self, step: int) -> Pair:
        dry, wet = self._splits["train"]
        length = self._settings.crop_samples
        drawn = list(self._draw(step))
        return (
            np.stack([dry[clip, at - self._context : at + length] for clip, at in drawn]),
            np.stack([wet[clip, at : at + length] for clip, at in drawn]),
        )

    def crop_positions(self, step: int) -> list[str]:
        return [f"clip {clip}, sample {at}" for clip, at in self._draw(step)]

    def excerpts(self, seconds: float) -> list[Pair]:
        del seconds
        return [(dry, wet[self._context :]) for dry, wet in zip(*self._splits["valid"], strict=True)]

    def spans(self, split: Split, taps: int, samples: int) -> Iterator[Pair]:
        del samples
        for dry, wet in zip(*self._splits[split], strict=True):
            yield dry, wet[taps - 1 :]
