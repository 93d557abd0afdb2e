"""Rendering speed of nam-standard and of our default network: our stream against one pass of `conv1d`.

The peer is a plain PyTorch renderer, `conv1d` over the whole file with the same weights. Prints real-time factors
(seconds of audio per CPU-second) and their ratio, medians over interleaved rounds, and the maximum difference of the
outputs. Run with OMP_NUM_THREADS=1.

`--hour` renders an hour of stereo at 48 kHz through a twin for 44.1 kHz from file to file, and prints the speed and the
growth of resident memory beyond the imported libraries (10 minutes, 2.1 GB of disk). `--presets` prints the speed of
all presets, also relative to nam-standard.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv1d, pad

from twinlib import audio
from twinlib.model import PRESETS, Architecture, Stream, Twin, WaveNet, render_file

ROUNDS, SECONDS, RATE = 5, 20, 48000


def one_pass(model: WaveNet, dry: Tensor) -> Tensor:
    """Return the output for a whole signal `(T,)` by `conv1d`, for tanh layers."""
    x = pad(dry, (model.network.receptive_field - 1, 0))[None, None]
    signal, total = x, None
    for stack in model.stacks:
        signal = conv1d(signal, stack.rechannel[:, :, None])
        skips = []
        for layer, dilation in zip(stack.layers, stack.description.dilations, strict=True):
            z = conv1d(signal, layer.kernel, layer.bias, dilation=dilation)
            z = torch.tanh(z + conv1d(x[..., -z.shape[-1] :], layer.mix[:, :, None]))
            skips.append(z)
            signal = signal[..., -z.shape[-1] :] + conv1d(z, layer.residual[:, :, None], layer.residual_bias)
        length = skips[-1].shape[-1]
        total = sum(skip[..., -length:] for skip in skips) + (0 if total is None else total[..., -length:])
        total = conv1d(total, stack.head, stack.head_bias)
    return model.network.head_scale * total[0, 0]


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


def speed() -> None:
    dry = np.random.default_rng(0).uniform(-0.5, 0.5, SECONDS * RATE).astype(np.float32)
    for name, architecture in {"small": Architecture(), "nam-standard": Architecture(preset="nam-standard")}.items():
        model = WaveNet(architecture.network)
        twin = Twin(architecture.network, model.weights(), RATE, 0)
        ours, theirs = [], []
        for _ in range(ROUNDS):
            stream, clock = Stream(twin), time.process_time()
            wet = stream.process(dry)
            ours.append(SECONDS / (time.process_time() - clock))
            clock = time.process_time()
            with torch.no_grad():
                plain = one_pass(model, torch.from_numpy(dry)).numpy()
            theirs.append(SECONDS / (time.process_time() - clock))
        a, b = median(ours), median(theirs)
        difference = float(np.abs(wet - plain).max())
        print(f"{name:>12}: stream {a:5.1f} x real time, one pass {b:5.1f}: {a / b:.1f} times, {difference:.0e} apart")


def presets() -> None:
    generator = np.random.default_rng(0)
    dry = generator.uniform(-0.5, 0.5, SECONDS * RATE).astype(np.float32)
    twins = {name: Twin(network, WaveNet(network).weights(), RATE, 0) for name, network in PRESETS.items()}
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
    parser.add_argument("--presets", action="store_true", help="speed of all presets")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.hour:
        hour()
    elif args.presets:
        presets()
    else:
        speed()


if __name__ == "__main__":
    main()
