"""Sampling slices of 10,096 samples from long files: seek and read, against reading the whole file per slice.

Prints slices per CPU-second of both and their ratio, medians over interleaved rounds. Run with OMP_NUM_THREADS=1.
"""

import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from twinlib import audio
from twinlib.excitation import Excitation
from twinlib.excitation.sources import Sources

ROUNDS, OURS, WHOLE, SECONDS, RATE = 7, 2000, 10, 210, 44100


def main() -> None:
    settings = Excitation(seed=1, slices=1)
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        names = [f"{number}{suffix}" for number in range(3) for suffix in (".wav", ".flac")]
        for name in names:
            music = generator.standard_normal((SECONDS * RATE, 2)).cumsum(axis=0, dtype=np.float64)
            music = (0.5 * music / np.abs(music).max()).astype(np.float32)
            audio.write(root / name, music, RATE, "PCM_16")
        for suffix in (".wav", ".flac"):
            chosen = [name for name in names if name.endswith(suffix)]
            rates: dict[str, list[float]] = {"ours": [], "whole file": []}
            with Sources(root, settings) as sources:
                for _ in range(ROUNDS):
                    starts = generator.integers(0, SECONDS * RATE - settings.slice_samples, OURS)
                    clock = time.process_time()
                    for number, start in enumerate(starts):
                        sources.slice(chosen[number % len(chosen)], int(start))
                    rates["ours"].append(OURS / (time.process_time() - clock))
                    clock = time.process_time()
                    for number, start in enumerate(starts[:WHOLE]):
                        whole = audio.read(root / chosen[number % len(chosen)])
                        whole[start : start + settings.slice_samples].mean(axis=1)
                    rates["whole file"].append(WHOLE / (time.process_time() - clock))
            ours, theirs = median(rates["ours"]), median(rates["whole file"])
            print(f"{suffix[1:]:>5}: {ours:.0f} slices/CPU-s, whole file {theirs:.1f}: {ours / theirs:.0f} times")


if __name__ == "__main__":
    main()
