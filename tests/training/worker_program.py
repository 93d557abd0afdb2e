"""A training on data in memory by several processes, run as a program: PROCESSES BATCH STEPS FOLDER [NODES]."""

import sys
from pathlib import Path

import torch

from tests.training.factories import MemoryData
from twinlib.cli_runtime import run
from twinlib.model.architecture import Architecture
from twinlib.training.distributed import launch, needs_launch, process_group, rank
from twinlib.training.loop import Trained, train
from twinlib.training.settings import Training

NETWORK = Architecture(channels=3, kernel_size=3, dilations=(1, 3)).network


def train_in_memory(processes: int, batch: int, steps: int, folder: Path) -> Trained:
    settings = Training(
        steps=steps,
        batch=batch,
        processes=processes,
        crop_samples=600,
        device="cpu",
        validate_every=7,
        checkpoint_seconds=0,
        stft_weight=0.1,
        average=0.9,
        clip_norm=0.3,
    )
    data = MemoryData(NETWORK.receptive_field, batch * processes, 600)
    return train(data, NETWORK, settings, folder, "code")


def main() -> None:
    processes, batch, steps = (int(word) for word in sys.argv[1:4])
    folder = Path(sys.argv[4])
    nodes = int(sys.argv[5]) if len(sys.argv) > 5 else 1
    if needs_launch(processes):
        sys.exit(launch(processes, __file__, sys.argv[1:], nodes))
    torch.set_num_threads(1)
    with process_group(processes, "cpu"):
        trained = train_in_memory(processes, batch, steps, folder)
        if rank() == 0:
            trained.twin.save(folder / "twin.safetensors")


if __name__ == "__main__":
    run(main)
