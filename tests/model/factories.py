import dataclasses

import numpy as np
import torch
from hypothesis import strategies as st

from twinlib.model.architecture import Network, Stack
from twinlib.model.streaming import Stream
from twinlib.model.twin import LINEAR, Twin
from twinlib.model.wavenet import WaveNet, build_network


def make_twin(network: Network, seed: int = 0, guard: int = 3, sample_rate: int = 44100) -> Twin:
    weights = WaveNet(network, seed).weights()
    return Twin(network, weights, sample_rate, guard, 1.7, 0.4, "box", "tiny", "d1ge57", {"seed": seed})


def with_filter(twin: Twin, taps: int, seed: int = 0) -> Twin:
    """Return the twin beside a random filter, cut to the receptive field."""
    count = min(taps, twin.network.receptive_field)
    response = 0.3 * np.random.default_rng(seed).standard_normal(count) * np.exp(-np.arange(count) / 50)
    return dataclasses.replace(twin, weights={**twin.weights, LINEAR: response.astype(np.float32)})


def one_pass(twin: Twin, dry: np.ndarray) -> np.ndarray:
    """Return the reference output for a whole signal `(frames,)` after receptive_field - 1 zeros."""
    padded = np.concatenate([np.zeros(twin.network.receptive_field - 1, np.float32), dry])
    with torch.no_grad():
        wet = build_network(twin)(torch.from_numpy(twin.input_gain * padded)[None])[0]
    found = twin.output_gain * wet.numpy()
    return found if twin.linear_filter is None else found + np.convolve(dry, twin.linear_filter)[: len(dry)]


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Draw any valid small network."""
    skip = draw(st.sampled_from(["activation", "residual", "mixed"]))
    count = 1 if skip == "mixed" else draw(st.integers(1, 2))
    stacks = []
    for index in range(count):
        taps = draw(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 6)), min_size=1, max_size=3))
        stacks.append(
            Stack(
                channels=draw(st.integers(1, 4)),
                kernel_sizes=[size for size, _ in taps],
                dilations=[dilation for _, dilation in taps],
                activation=draw(st.sampled_from(["tanh", "relu", "leaky_relu", "gated", "adaptive"])),
                head_kernel_size=draw(st.integers(1, 3)) if index + 1 == count and skip != "mixed" else 1,
            )
        )
    return Network(
        stacks=stacks, skip=skip, input_mix=draw(st.booleans()), dry_path=draw(st.booleans()), head_scale=0.5
    )


def loud_twin(network: Network, seed: int = 0, guard: int = 3, sample_rate: int = 44100) -> Twin:
    """Return a twin with output near full scale, so that absolute tolerances are meaningful."""
    twin = make_twin(network, seed, guard, sample_rate)
    wet = Stream(twin).process(noise(2000))
    return dataclasses.replace(twin, output_gain=twin.output_gain * 0.7 / max(float(np.abs(wet).max()), 1e-3))


def noise(frames: int, seed: int = 0) -> np.ndarray:
    """Return dry samples `(frames,)`."""
    return (0.3 * np.random.default_rng(seed).standard_normal(frames)).astype(np.float32)
