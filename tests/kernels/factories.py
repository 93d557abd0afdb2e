import os
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

import numpy as np
import torch
from hypothesis import strategies as st

from twinlib.errors import ModelError
from twinlib.kernels import SWITCH, instruction_set
from twinlib.model.architecture import PRESETS, Architecture, Network, Stack
from twinlib.model.twin import LINEAR, Twin
from twinlib.model.wavenet import WaveNet

ACTIVATIONS = ["tanh", "relu", "leaky_relu", "gated", "adaptive"]
NETWORKS: dict[str, Network] = {
    **PRESETS,
    "default": Architecture().network,
    "wide taps": Architecture(
        channels=5, kernel_size=6, dilations=(1, 5, 29), head_kernel_size=3, dry_path=True
    ).network,
}


@contextmanager
def using(instructions: str) -> Iterator[None]:
    """Select an instruction set, or `off`."""
    with mock.patch.dict(os.environ, {SWITCH: instructions}):
        yield


def supported_instructions() -> list[str]:
    """Return the instruction sets of this CPU, best first; one placeholder without the library."""
    found = []
    for name in ("avx512", "avx2", "neon", "generic"):
        try:
            with using(name):
                found += [name] if instruction_set() else []
        except ModelError:
            continue
    return found or ["none"]


INSTRUCTIONS = supported_instructions()


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Draw any valid network of moderate cost."""
    skip = draw(st.sampled_from(["activation", "residual", "mixed"]))
    count = 1 if skip == "mixed" else draw(st.integers(1, 3))
    stacks = []
    for index in range(count):
        taps = draw(st.lists(st.tuples(st.integers(1, 7), st.integers(1, 40)), min_size=1, max_size=3))
        stacks.append(
            Stack(
                channels=draw(st.integers(1, 19)),
                kernel_sizes=[size for size, _ in taps],
                dilations=[dilation for _, dilation in taps],
                activation=draw(st.sampled_from(ACTIVATIONS)),
                head_kernel_size=draw(st.integers(1, 5)) if index + 1 == count and skip != "mixed" else 1,
            )
        )
    return Network(
        stacks=stacks, skip=skip, input_mix=draw(st.booleans()), dry_path=draw(st.booleans()), head_scale=0.5
    )


def make_twin(network: Network, seed: int = 0, guard: int = 3, taps: int = 0) -> Twin:
    """Return a twin of random weights, with a filter of `taps` taps, cut to the receptive field."""
    weights = WaveNet(network, seed).weights()
    if taps:
        count = min(taps, network.receptive_field)
        weights[LINEAR] = (0.1 * np.random.default_rng(seed).standard_normal(count)).astype(np.float32)
    return Twin(network, weights, 44100, guard, 1.7, 0.4)


def music(*shape: int, seed: int = 0) -> np.ndarray:
    """Return decaying notes of falling pitch over a little noise, time last."""
    random = np.random.default_rng(seed)
    time = np.arange(shape[-1]) / 44100
    pitch = random.uniform(60, 400, (*shape[:-1], 1))
    notes = 0.5 * np.sin(2 * np.pi * pitch * time) * np.exp(-3 * time) + 0.1 * np.sin(2 * np.pi * 7.1 * pitch * time)
    return (notes + 0.01 * random.standard_normal(shape)).astype(np.float32)


@torch.no_grad()
def by_torch(twin: Twin, dry: np.ndarray) -> np.ndarray:
    """Return the reference output for a whole signal `(frames,)`, in float64, after the state of a new stream."""
    padded = np.concatenate([np.zeros(twin.network.receptive_field - 1), dry]).astype(np.float64)
    model = WaveNet(twin.network, dry_delay=twin.guard_samples)
    model.load_weights(twin.network_weights)
    wet = twin.output_gain * model.double().forward_torch(torch.from_numpy(twin.input_gain * padded)[None])[0].numpy()
    return wet if twin.linear_filter is None else wet + np.convolve(dry, twin.linear_filter)[: len(dry)]


def assert_close(found: np.ndarray, wanted: np.ndarray, tolerance: float = 2e-5) -> None:
    """Compare signals, relative to the peak of the wanted one."""
    assert found.shape == wanted.shape
    peak = np.abs(wanted).max()
    assert np.abs(found - wanted).max() <= tolerance * peak, np.abs(found - wanted).max() / peak
