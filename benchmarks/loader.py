"""Drawing training crops from shards: our loader against slices of a raw `numpy.memmap`.

The peer draws uniform positions in two raw float32 files of the same samples and copies `numpy.memmap` slices into a
new batch, without seeds per step, splits, silence or provenance. A third reader slices plain arrays on the same maps,
the limit for a loader in Python. Prints crops per CPU-second and ratios, medians over interleaved rounds, for the
default batch of 4 x 1024 samples and for 16 x 8192, each with the context of the default network. Run with
OMP_NUM_THREADS=1.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.dataset.factories import source, write
from twinlib.audio import Signal
from twinlib.dataset import Dataset, tile_pair
from twinlib.dataset.loader import Crops
from twinlib.model import Architecture

ROUNDS, CAPTURES, SECONDS, RATE = 15, 4, 120, 44100
SHAPES = ((4, 1024, 1000), (16, 8192, 100))
"""Crops per batch, compared samples per crop, batches per round."""

Batch = Callable[[int], tuple[Signal, Signal]]


def write_audio(folder: Path, split: str | None = "train") -> pd.DataFrame:
    """Write the same samples as shards and as two raw files; return the table of segments."""
    generator, tables = np.random.default_rng(0), []
    with (folder / "dry.f32").open("wb") as raw_dry, (folder / "wet.f32").open("wb") as raw_wet:
        for number in range(CAPTURES):
            dry = generator.uniform(-1, 1, SECONDS * RATE).astype(np.float32)
            wet = np.tanh(3 * dry)
            capture = source(len(dry), f"capture{number}", lag=0.0)
            segments = tile_pair(capture, "dry.wav", Dataset(segment_samples=8192), split=split)
            tables.append(write(folder, segments, capture, dry, wet))
            dry.tofile(raw_dry)
            wet.tofile(raw_wet)
    return pd.concat(tables)


def reread(path: Path) -> None:
    """Read a file from the disk again: pages just written map faster or slower, depending on how they were written."""
    with path.open("rb", buffering=0) as file:
        os.fsync(file)
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while file.read(2**20):
            pass


def raw_batches(dry_file: Signal, wet_file: Signal, batch: int, size: int, context: int, seed: int) -> Batch:
    """Return a reader of random crops of two arrays."""
    generator = np.random.default_rng(seed)

    def draw(step: int) -> tuple[Signal, Signal]:
        dry = np.empty((batch, context + size), np.float32)
        wet = np.empty((batch, size), np.float32)
        for k, position in enumerate(generator.integers(context, len(dry_file) - size, batch)):
            dry[k] = dry_file[position - context : position + size]
            wet[k] = wet_file[position : position + size]
        return dry, wet

    return draw


def crops_per_second(draw: Batch, first: int, steps: int, batch: int) -> float:
    clock = time.process_time()
    for step in range(first, first + steps):
        draw(step)
    return batch * steps / (time.process_time() - clock)


def main() -> None:
    field = Architecture().network.receptive_field
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        segments = write_audio(folder)
        for path in folder.iterdir():
            reread(path)
        maps = [np.memmap(folder / f"{signal}.f32", np.float32, "r") for signal in ("dry", "wet")]
        plain = [np.asarray(mapped).view(np.ndarray) for mapped in maps]
        for batch, size, steps in SHAPES:
            readers: dict[str, Batch] = {
                "ours": Crops(segments, folder, "train", size, field, batch, 0).batch,
                "memmap": raw_batches(maps[0], maps[1], batch, size, field - 1, 1),
                "arrays": raw_batches(plain[0], plain[1], batch, size, field - 1, 2),
            }
            rates: dict[str, list[float]] = {reader: [] for reader in readers}
            for number in range(ROUNDS + 1):
                for reader, draw in readers.items():
                    rate = crops_per_second(draw, number * steps, steps, batch)
                    if number:  # the first round maps the pages
                        rates[reader].append(rate)
            speed = {reader: median(values) for reader, values in rates.items()}
            print(
                f"{batch:>2} x {size}: {speed['ours']:.0f} crops/CPU-s, memmap {speed['memmap']:.0f}, plain arrays "
                f"{speed['arrays']:.0f}: {speed['ours'] / speed['memmap']:.2f} times memmap "
                f"(plain arrays {speed['arrays'] / speed['memmap']:.2f} times)"
            )


if __name__ == "__main__":
    main()
