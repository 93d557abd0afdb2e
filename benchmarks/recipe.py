"""Ablation of the training recipe: the default against one change at a time, at equal CPU time.

Each row is a training in its own process on the clips of devices.py. The result is the validation ESR of the selected
weights in percent, and its geometric mean over the devices relative to the default: below 1 the change is better. The
test clips are not used.

    OMP_NUM_THREADS=1 python benchmarks/recipe.py --klon FOLDER --budget 60 --jobs 2

--rows 'crop*' selects rows; --seeds 2 averages logarithms over seeds. Differences of 10 % are within the noise.
"""

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import torch
from devices import ClipData, Device
from quality import add_device_options, choose_devices, error, run_process

from twinlib.model import Architecture
from twinlib.training import Training, train


@dataclass(frozen=True)
class Row:
    """A change of the default: in the entry of `models:` or in `training:`."""

    model: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


ROWS: dict[str, Row] = {
    "default": Row(),
    "net-5-layers-k6": Row({"kernel_size": 6, "dilations": [1, 5, 29, 97, 227]}),
    # Architecture: wide kernels in few layers against doubling stacks, width, depth, receptive field, nonlinearity.
    "net-kernel-2": Row({"kernel_size": 2}),
    "net-10-layers-k4": Row({"kernel_size": 4, "dilations": [1, 2, 4, 8, 16, 32, 64, 128, 180, 240]}),
    "net-8-layers-k4": Row({"kernel_size": 4, "dilations": [1, 3, 7, 18, 43, 101, 200, 310]}),
    "net-8-layers-k3": Row({"kernel_size": 3, "dilations": [1, 3, 8, 20, 55, 140, 300, 500]}),
    "net-7-layers-k6-12": Row({"channels": 12, "kernel_size": 6, "dilations": [1, 3, 7, 17, 41, 101, 239]}),
    "net-medium": Row({"preset": "medium"}),
    "net-large": Row({"preset": "large"}),
    "net-nam-standard": Row({"preset": "nam-standard"}),
    "net-nam-a2": Row({"preset": "nam-a2"}),
    "net-original": Row({"preset": "original"}),
    "net-8-channels": Row({"channels": 8}),
    "net-12-channels": Row({"channels": 12}),
    "net-24-channels": Row({"channels": 24}),
    "net-7-layers-k6": Row({"kernel_size": 6, "dilations": [1, 3, 7, 17, 41, 101, 239]}),
    "net-leaky-relu": Row({"activation": "leaky_relu"}),
    "net-gated": Row({"activation": "gated"}),
    "net-head-16-taps": Row({"head_kernel_size": 16}),
    "net-dry-path": Row({"dry_path": True}),
    "linear-none": Row(training={"linear_taps": 0}),
    "linear-auto": Row(training={"linear_taps": "auto"}),
    **{f"linear-{taps}": Row(training={"linear_taps": taps}) for taps in (64, 256, 1024, 2048)},
    "reach-511": Row({"dilations": [2**power for power in range(8)]}),
    "reach-2047": Row({"dilations": [2**power for power in range(10)]}),
    "reach-4095": Row({"dilations": [2**power for power in range(11)]}),
    # Order of the layers: in descending order of dilation most layers need less context per crop.
    "order-long-first": Row({"dilations": [2**power for power in reversed(range(10))]}),
    "order-long-between": Row({"dilations": [1, 2, 4, 512, 256, 128, 64, 32, 16, 8]}),
    # Crops: number per step and length.
    "crop-1x4096": Row(training={"batch": 1, "crop_samples": 4096}),
    "crop-2x2048": Row(training={"batch": 2, "crop_samples": 2048}),
    "crop-8x512": Row(training={"batch": 8, "crop_samples": 512}),
    "crop-4x512": Row(training={"batch": 4, "crop_samples": 512}),
    "crop-2x1024": Row(training={"batch": 2}),
    "crop-8x1024": Row(training={"batch": 8}),
    "crop-16x4096": Row(training={"batch": 16, "crop_samples": 4096}),
    "optimiser-adamw": Row(training={"optimiser": "adamw"}),
    "optimiser-adamw-0.01": Row(training={"optimiser": "adamw", "adamw_rate": 0.01}),
    "optimiser-muon-0.005": Row(training={"muon_rate": 0.005}),
    "optimiser-muon-0.02": Row(training={"muon_rate": 0.02}),
    "schedule-constant": Row(training={"decay_fraction": 0.0}),
    "schedule-decay-0.2": Row(training={"decay_fraction": 0.2}),
    "schedule-decay-0.7": Row(training={"decay_fraction": 0.7}),
    "schedule-decay-1": Row(training={"decay_fraction": 1.0}),
    "loss-esr-alone": Row(training={"preemphasis_weight": 0.0, "dc_weight": 0.0}),
    "loss-no-dc": Row(training={"dc_weight": 0.0}),
    "loss-preemphasis-1": Row(training={"preemphasis_weight": 1.0}),
    "loss-stft-late": Row(training={"stft_weight": 0.001}),
    "average-0.99": Row(training={"average": 0.99}),
    "average-0.999": Row(training={"average": 0.999}),
    "average-constant": Row(training={"average": 0.999, "decay_fraction": 0.0}),
}


def measure(row: Row, device: Device, budget: float, seed: int) -> dict[str, float]:
    """Train with a row's changes; return validation ESR and steps."""
    torch.set_num_threads(1)
    network = Architecture.model_validate(row.model).network
    settings = Training.model_validate({"cpu_seconds": budget, "seed": seed, **row.training})
    with tempfile.TemporaryDirectory() as folder:
        trained = train(ClipData(device, network.receptive_field, settings), network, settings, Path(folder), "")
    return {"valid": error(trained.twin, device, "valid"), "steps": trained.steps}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_device_options(parser)
    parser.add_argument("--budget", type=float, default=60.0, metavar="CPU-SECONDS")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rows", nargs="+", default=["*"], metavar="NAME")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        clips, name, seed = args.one
        print(json.dumps(measure(ROWS[name], Device.load(Path(clips)), args.budget, int(seed))))
        return
    with tempfile.TemporaryDirectory() as folder:
        print_table(args, Path(folder))


def print_table(args: argparse.Namespace, folder: Path) -> None:
    """Print each row as soon as it is finished; `folder` holds the clips of the devices."""
    makers = choose_devices(args)
    for name, make in makers.items():
        make().save(folder / f"{name}.npz")
    rows = [name for name in ROWS if name == "default" or any(fnmatch(name, wanted) for wanted in args.rows)]

    def cell(task: tuple[str, str, int]) -> dict[str, float]:
        name, device, seed = task
        one = ["--one", str(folder / f"{device}.npz"), name, str(seed)]
        return run_process([sys.executable, __file__, "--budget", str(args.budget), *one])[0]

    print(f"validation ESR in percent after {args.budget:.0f} CPU-s", flush=True)
    print(f"{'':>22}" + "".join(f"{device:>13}" for device in makers) + f"{'factor':>9}{'steps':>9}", flush=True)
    baseline: dict[str, float] = {}
    with ThreadPoolExecutor(args.jobs) as pool:
        for name in rows:
            tasks = [(name, device, seed) for device in makers for seed in range(args.seeds)]
            cells = list(pool.map(cell, tasks))
            esr = {
                device: math.exp(
                    float(np.mean([np.log(c["valid"]) for c, t in zip(cells, tasks, strict=True) if t[1] == device]))
                )
                for device in makers
            }
            baseline = baseline or esr
            factor = math.exp(float(np.mean([math.log(esr[device] / baseline[device]) for device in makers])))
            steps = float(np.mean([c["steps"] for c in cells]))
            figures = "".join(f"{esr[device]:13.4%}" for device in makers)
            print(f"{name:>22}{figures}{factor:9.2f}{steps:9.0f}", flush=True)


if __name__ == "__main__":
    main()
