"""Exercise the library of a folder with networks of random shapes: `sanitized.py FOLDER COUNT`; imports no torch."""

import itertools
import sys
from pathlib import Path

import numpy as np

from twinlib.kernels import CompiledStream, CompiledTraining, library
from twinlib.kernels.build import library_path
from twinlib.model.architecture import Network, Stack, parameter_shapes
from twinlib.model.compiled import compile_network, kernel_parameters

ACTIVATIONS = ("tanh", "relu", "leaky_relu", "gated", "adaptive")


def draw(random: np.random.Generator, activation: str, skip: str) -> Network:
    """Draw a network with an activation and a kind of skip."""
    count = 1 if skip == "mixed" else int(random.integers(1, 4))
    stacks = []
    for index in range(count):
        layers = int(random.integers(1, 4))
        stacks.append(
            Stack(
                channels=int(random.integers(1, 20)),
                kernel_sizes=tuple(random.integers(1, 7, layers).tolist()),
                dilations=tuple(random.integers(1, 90, layers).tolist()),
                activation=activation,
                head_kernel_size=int(random.integers(1, 5)) if index + 1 == count and skip != "mixed" else 1,
            )
        )
    return Network(stacks=tuple(stacks), skip=skip, input_mix=random.random() < 0.5, dry_path=random.random() < 0.5)


def exercise(random: np.random.Generator, network: Network, instructions: str) -> None:
    """Stream blocks of 1 to 700 samples, and train a step."""
    shapes = parameter_shapes(network)
    weights = {name: random.uniform(-0.5, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}
    gradients = {name: np.empty_like(weight) for name, weight in weights.items()}
    order = kernel_parameters(network)

    def addresses(arrays: dict[str, np.ndarray]) -> np.ndarray:
        return np.array([arrays[name].ctypes.data if name in arrays else 0 for name in order], np.uint64)

    model = compile_network(network, int(random.integers(0, network.receptive_field)), instructions)
    model.pack(addresses(weights))
    channels = int(random.integers(1, 4))
    taps = random.uniform(-0.1, 0.1, int(random.integers(0, 300))).astype(np.float32)
    stream = CompiledStream(model, channels, 1.0, 1.0, 2, taps)
    for size in [1, 2, 63, 64, 700, *random.integers(1, 700, 3).tolist()]:
        block = random.uniform(-1, 1, (size, channels)).astype(np.float32)
        assert np.isfinite(stream.process(block)).all()
    batch, outputs = int(random.integers(1, 4)), int(random.integers(1, 900))
    dry = random.uniform(-1, 1, (batch, network.receptive_field - 1 + outputs)).astype(np.float32)
    wet = np.empty((batch, outputs), np.float32)
    sizes = np.array([weights[name].size if name in weights else 0 for name in order], np.int64)
    training = CompiledTraining(model, *dry.shape, sizes)
    for _ in range(2):
        training.forward(dry.ctypes.data, wet.ctypes.data, 2)
        training.backward(addresses(weights), wet.ctypes.data, addresses(gradients), 2)
    assert np.isfinite(wet).all()


def main() -> None:
    """Exercise every activation and kind of skip in turn."""
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    library.library_path = lambda: library_path(folder)
    random, best = np.random.default_rng(0), library.instruction_set()
    assert best is not None
    kinds = itertools.cycle(itertools.product(ACTIVATIONS, ("activation", "residual", "mixed")))
    for _, (activation, skip) in zip(range(count), kinds, strict=False):
        exercise(random, draw(random, activation, skip), best)
    print("exercised", count)


if __name__ == "__main__":
    main()
