"""Rendering through twins of all presets, for an hour, and in two processes at once. Run with OMP_NUM_THREADS=1.

By default, prints the speed of all presets in times real time (seconds of audio per CPU-second), also relative to
nam-standard; medians over interleaved rounds. kernels.py compares it with other engines.

`--hour` renders an hour of stereo at 48 kHz through a twin for 44.1 kHz from file to file, and prints the speed and the
growth of resident memory beyond the imported libraries (10 minutes without kernels, 2.1 GB of disk). `--processes`
prints the throughput of two processes relative to one, in wall time, for rendering and for training steps; both cores
must be idle.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import torch

from twinlib import audio
from twinlib.model import LINEAR, PRESETS, Architecture, Stream, Twin, WaveNet, render_file

ROUNDS, SECONDS, RATE = 5, 20, 48000
FILTER = 1024
"""Taps of the linear filter of `small, filter`."""

WORK_SECONDS = 10.0
"""Wall time of one measurement of `--processes`."""


def resident() -> float:
    """Return the peak resident memory of this process in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def hour() -> None:
    frames, channels, network = 3600 * RATE, 2, Architecture().network
    twin = Twin(network, WaveNet(network).weights(), 44100, 12)
    generator, before = np.random.default_rng(0), resident()
    with tempfile.TemporaryDirectory() as folder:
        dry, wet = Path(folder) / "dry.wav", Path(folder) / "wet.wav"
        with audio.Writer(dry, RATE, channels, "PCM_16", frames) as writer:
            for start in range(0, frames, RATE):
                writer.write(generator.uniform(-0.5, 0.5, (min(RATE, frames - start), channels)).astype(np.float32))
        clock = time.process_time()
        render_file(twin, dry, wet)
        seconds = time.process_time() - clock
        assert audio.read_info(wet).frames == frames
    print(f"an hour of stereo: {3600 / seconds:.1f} x real time, memory grew by {resident() - before:.0f} MB")
    print(f"  (the libraries and the network took {before:.0f} MB)")


def work(task: str) -> int:
    """Repeat a render of 5 s, or a training step of the default, for `WORK_SECONDS` from the next line of input."""
    network = Architecture().network
    model = WaveNet(network)
    twin = Twin(network, model.weights(), RATE, 0)
    dry = torch.rand(4, 1024 + network.receptive_field - 1) - 0.5
    audio_in = np.random.default_rng(0).uniform(-0.5, 0.5, 5 * RATE).astype(np.float32)
    stream = Stream(twin)

    def once() -> None:
        if task == "render":
            stream.process(audio_in)
        else:
            model.zero_grad()
            model(dry).square().mean().backward()

    once()
    print("ready", flush=True)
    sys.stdin.readline()
    count, start = 0, time.monotonic()
    while time.monotonic() - start < WORK_SECONDS:
        once()
        count += 1
    return count


def throughput(task: str, processes: int) -> int:
    """Return how often all processes together did the task in `WORK_SECONDS`."""
    command = [sys.executable, __file__, "--work", task]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    return sum(int(worker.communicate()[0]) for worker in workers)


def processes() -> None:
    for task in ("render", "train"):
        ratios = [throughput(task, 2) / throughput(task, 1) for _ in range(3)]
        print(f"{task}: two processes do {median(ratios):.2f} times the work of one")


def presets() -> None:
    generator = np.random.default_rng(0)
    dry = generator.uniform(-0.5, 0.5, SECONDS * RATE).astype(np.float32)
    twins = {name: Twin(network, WaveNet(network).weights(), RATE, 0) for name, network in PRESETS.items()}
    response = 1e-3 * generator.standard_normal(FILTER).astype(np.float32)
    twins["small, filter"] = replace(twins["small"], weights={**twins["small"].weights, LINEAR: response})
    seconds: dict[str, list[float]] = {name: [] for name in twins}
    for _ in range(ROUNDS):
        for name, twin in twins.items():
            stream, clock = Stream(twin), time.process_time()
            stream.process(dry)
            seconds[name].append(time.process_time() - clock)
    standard = median(seconds["nam-standard"])
    for name, found in seconds.items():
        print(f"{name:>14}: {SECONDS / median(found):5.1f} x real time, {median(found) / standard:.2f} of nam-standard")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hour", action="store_true", help="speed and memory for an hour of stereo")
    parser.add_argument("--processes", action="store_true", help="throughput of two processes relative to one")
    parser.add_argument("--work", choices=("render", "train"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.work:
        print(work(args.work))
    elif args.hour:
        hour()
    elif args.processes:
        processes()
    else:
        presets()


if __name__ == "__main__":
    main()
