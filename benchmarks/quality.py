"""Accuracy of a twin at equal CPU time: our trainer against that of Neural Amp Modeler.

For each device both train on the same clips, select weights on the same 16 clips and are tested on the same 25 unseen
clips: ESR pooled over all, from sample 4,096 of each clip on. One thread each; budgets are CPU-seconds of training,
validation included. NAM trains its standard WaveNet with its own recipe (quality_nam.py), with batches of 16 and of 1,
as its trainers do with and without a GPU; the lower test error counts. Ours is the default network or a preset with the
default recipe. Each training runs in its own process, alternating. The ratio is NAM over ours.

    OMP_NUM_THREADS=1 python benchmarks/quality.py --klon FOLDER --nam .peers/nam/bin/python

`--klon` is the folder of dry.flac and wet_gain000.flac, wet_gain025.flac, wet_gain075.flac; the simulated devices
need no files. `--pair NAME DRY WET SAMPLES` adds a device: two files on one clock, cut into clips of SAMPLES.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from devices import COMPARED_FROM, RATE, ClipData, Clips, Device, Process, from_files, klon, play, simulated
from valve import play_valve

from twinlib.audio import Signal
from twinlib.model import Architecture, Stream, Twin
from twinlib.simulation.settings import DiodeClipper, Transformer
from twinlib.training import Training, train

GAINS, BATCHES = (0, 25, 75), ("16", "1")


def render_clips(twin: Twin, clips: tuple[Clips, Clips]) -> Iterator[tuple[Signal, Signal]]:
    """Yield the output of the twin and of the device per clip, float32 `(samples,)`, from `COMPARED_FROM` on."""
    for x, y in zip(*clips, strict=True):
        # Silence precedes the clip if the receptive field is longer than `COMPARED_FROM`.
        yield Stream(twin).process(x)[COMPARED_FROM:], y[COMPARED_FROM:]


def error(twin: Twin, device: Device, split: str) -> float:
    """Return the ESR of a twin, pooled over a split."""
    total = energy = 0.0
    for found, wet in render_clips(twin, device.splits[split]):
        total += float(np.square(found - wet, dtype=np.float64).sum())
        energy += float(np.square(wet, dtype=np.float64).sum())
    return total / energy


def train_ours(device: Device, model: Architecture, settings: Training) -> dict[str, float]:
    """Train and test; return budget, steps and the errors."""
    torch.set_num_threads(1)
    network = model.network
    with tempfile.TemporaryDirectory() as folder:
        trained = train(ClipData(device, network.receptive_field, settings), network, settings, Path(folder), "")
    errors = {split: error(trained.twin, device, split) for split in ("valid", "test")}
    return {"budget": settings.cpu_seconds or 0, "steps": trained.steps, **errors}


def device_processes() -> dict[str, Process]:
    """Return the simulated devices by name."""
    return {
        "clipper": play(DiodeClipper(drive=0.5)),
        "transformer": play(Transformer(drive=0.6)),
        "valve": partial(play_valve, RATE),
    }


def choose_devices(args: argparse.Namespace) -> dict[str, Callable[[], Device]]:
    """Return factories of the selected devices by name."""
    found: dict[str, Callable[[], Device]] = {}
    if args.klon:
        found |= {f"klon{gain:03d}": partial(klon, args.klon, gain) for gain in GAINS}
    found |= {name: partial(simulated, name, process) for name, process in device_processes().items()}
    for name, dry, wet, samples in args.pair:
        found[name] = partial(from_files, name, Path(dry), Path(wet), int(samples))
    return {name: make for name, make in found.items() if not args.devices or name in args.devices}


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `choose_devices`."""
    parser.add_argument("--klon", type=Path, metavar="FOLDER", help="dry.flac, wet_gain000.flac, ...")
    parser.add_argument("--pair", nargs=4, action="append", default=[], metavar=("NAME", "DRY", "WET", "SAMPLES"))
    parser.add_argument("--devices", nargs="+", metavar="NAME", help="only these")


def run_process(arguments: list[str]) -> list[dict[str, float]]:
    """Run a program; return the JSON lines of its output."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def format_result(who: str, row: dict[str, float]) -> str:
    return f"{who} {row['test']:9.4%} ({row['steps']:.0f} steps)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_device_options(parser)
    parser.add_argument("--nam", metavar="PYTHON", help="interpreter with neural-amp-modeler; default: ours only")
    parser.add_argument("--budgets", nargs="+", type=float, default=[60.0, 300.0, 900.0], metavar="CPU-SECONDS")
    parser.add_argument("--models", nargs="+", default=["default"], metavar="PRESET", help="ours: default, or presets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        clips, model, budget = args.one
        device = Device.load(Path(clips))
        architecture = Architecture() if model == "default" else Architecture.model_validate({"preset": model})
        print(json.dumps(train_ours(device, architecture, Training(cpu_seconds=float(budget), seed=args.seed))))
        return
    for name, make in choose_devices(args).items():
        with tempfile.TemporaryDirectory() as folder:
            clips = Path(folder) / f"{name}.npz"
            make().save(clips)
            theirs: dict[float, dict[str, float]] = {}
            if args.nam:
                peer = str(Path(__file__).with_name("quality_nam.py"))
                for batch in BATCHES:
                    for row in run_process([args.nam, peer, str(clips), batch, *map(str, args.budgets)]):
                        budget = row["budget"]
                        theirs[budget] = min(theirs.get(budget, row), row, key=lambda one: one["test"])
            for model in args.models:
                for budget in args.budgets:
                    one = ["--one", str(clips), model, str(budget), "--seed", str(args.seed)]
                    (found,) = run_process([sys.executable, __file__, *one])
                    line = f"{name:>12} {model:>9} {budget:5.0f} CPU-s: {format_result('ours', found)}"
                    if budget in theirs:
                        nam, ratio = theirs[budget], theirs[budget]["test"] / found["test"]
                        line += f", {format_result('NAM', nam)}: {ratio:6.1f} times"
                    print(line, flush=True)


if __name__ == "__main__":
    main()
