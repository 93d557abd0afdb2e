"""Neural Amp Modeler's module as a peer of kernels.py; runs in an environment with neural-amp-modeler 0.13.0.

usage: kernels_nam.py MODEL.nam
reads lines `render SAMPLES` and `train BATCH OUTPUTS`, and prints the CPU-seconds of each: a render of that many
samples in pieces of 65,536, or one forward and backward pass
"""

import json
import sys
import time
from pathlib import Path

import torch
from nam.models import init_from_nam

PIECE = 65536


def render(model, samples: int) -> None:
    context = model.receptive_field - 1
    dry = torch.rand(samples + context) - 0.5
    with torch.no_grad():
        for start in range(0, samples, PIECE):
            model(dry[start : start + PIECE + context], pad_start=False)


def train(model, batch: int, outputs: int) -> None:
    dry = torch.rand(batch, outputs + model.receptive_field - 1) - 0.5
    model.zero_grad()
    model(dry, pad_start=False).square().mean().backward()


def main() -> None:
    torch.set_num_threads(1)
    model = init_from_nam(json.loads(Path(sys.argv[1]).read_text()))
    for line in sys.stdin:
        task, *sizes = line.split()
        clock = time.process_time()
        {"render": render, "train": train}[task](model, *map(int, sizes))
        print(time.process_time() - clock, flush=True)


if __name__ == "__main__":
    main()
