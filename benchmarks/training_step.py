"""CPU time of the parts of a training step: the network, and all that is not the network.

Trains the default network with the default settings on shards of synthetic audio and prints CPU-microseconds per step
of each part and its share. Validation is included with its share of `validate_every` steps. `--average` adds the
moving average of the weights. Run with OMP_NUM_THREADS=1.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from loader import write_audio

from twinlib.model import Architecture
from twinlib.training import Training, loop
from twinlib.training.data import ShardData

PARTS = (
    (ShardData, "batch", "crops"),
    (loop._Session, "_to_device", "scaling"),
    (loop.WaveNet, "__call__", "network, forward"),
    (loop, "training_loss", "loss, forward"),
    (torch.Tensor, "backward", "network and loss, backward"),
    (loop.Optimiser, "zero_grad", "removal of gradients"),
    (loop.Optimiser, "step", "clipping and optimiser"),
    (loop.WeightAverage, "update", "moving average"),
    (loop.ValidationSet, "esr", "validation"),
    (loop._Session, "save", "checkpoint"),
)
"""Owner and name of the timed functions, and their row of the table; calls inside a timed function are not timed."""


class Clock:
    """CPU seconds by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._busy = False

    def time(self, owner: Any, name: str, part: str) -> None:
        """Replace a function by one that adds its CPU time to a part."""
        function: Callable[..., Any] = getattr(owner, name)

        def timed(*arguments: Any, **options: Any) -> Any:
            if self._busy:
                return function(*arguments, **options)
            self._busy, start = True, time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                self.seconds[part] += time.process_time() - start
                self._busy = False

        setattr(owner, name, timed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--average", type=float, default=0.0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    network, clock = Architecture().network, Clock()
    settings = Training(steps=args.steps, average=args.average)
    facts: dict[str, object] = {"sample_rate": 44100, "guard_samples": 12, "device": "noise", "digest": ""}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = ShardData(write_audio(folder, split=None), facts, folder, network.receptive_field, settings)
        for part in PARTS:
            clock.time(*part)
        start = time.process_time()
        loop.train(data, network, settings, folder, "benchmark")
        total = time.process_time() - start
    clock.seconds["rest"] = total - sum(clock.seconds.values())
    for part, seconds in clock.seconds.items():
        print(f"{part:<28} {1e6 * seconds / args.steps:>9.0f} us {seconds / total:>7.1%}")
    print(f"{'all':<28} {1e6 * total / args.steps:>9.0f} us")


if __name__ == "__main__":
    main()
