"""Rendering with nam-standard and with our default network: our stream against convolutions in one pass.

The peer is what a plain PyTorch renderer does, `conv1d` over the whole file with the same weights. Prints real-time
factors (seconds of audio rendered in a CPU-second) and their ratio, medians over interleaved rounds, and the largest
difference of the two outputs; run with OMP_NUM_THREADS=1.
"""

import time
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv1d, pad

from twinlib.model.architecture import Architecture
from twinlib.model.streaming import Stream
from twinlib.model.twin import Twin
from twinlib.model.wavenet import WaveNet

ROUNDS, SECONDS, RATE = 5, 20, 48000


def one_pass(model: WaveNet, dry: Tensor) -> Tensor:
    """The whole signal `(T,)` through tanh layers by `conv1d`, as the topology is written down."""
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


def main() -> None:
    torch.set_num_threads(1)
    dry = np.random.default_rng(0).uniform(-0.5, 0.5, SECONDS * RATE).astype(np.float32)
    for name, architecture in {"small": Architecture(), "nam-standard": Architecture(preset="nam-standard")}.items():
        model = WaveNet(architecture.network)
        twin = Twin(architecture.network, model.state_dict(), RATE, 0)
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


if __name__ == "__main__":
    main()
