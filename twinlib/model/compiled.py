"""Networks in the terms of the compiled kernels: integers for the description, addresses for the weights."""

import numpy as np

from twinlib.kernels import CompiledModel, CompiledStream
from twinlib.model.architecture import Network
from twinlib.model.twin import Twin

_ACTIVATIONS = ("tanh", "relu", "leaky_relu", "gated", "adaptive")
_SKIPS = ("activation", "residual", "mixed")
_STACK_PARAMETERS = ("rechannel", "head", "head_bias")
_LAYER_PARAMETERS = ("kernel", "bias", "mix", "slopes", "residual", "residual_bias", "skip")


def kernel_parameters(network: Network) -> list[str]:
    """Return the names of all parameters in the order of the kernels, with those that the network lacks."""
    names = []
    for index, stack in enumerate(network.stacks):
        names += [f"stacks.{index}.{name}" for name in _STACK_PARAMETERS]
        for layer in range(len(stack.dilations)):
            names += [f"stacks.{index}.layers.{layer}.{name}" for name in _LAYER_PARAMETERS]
    return names


def compile_network(network: Network, dry_delay: int, instructions: str) -> CompiledModel:
    """Return the model of a network, without weights."""
    description = [
        len(network.stacks),
        int(network.input_mix),
        _SKIPS.index(network.skip),
        int(network.dry_path),
        dry_delay,
    ]
    for index, stack in enumerate(network.stacks):
        description += [
            network.input_channels(index),
            stack.channels,
            _ACTIVATIONS.index(stack.activation),
            stack.head_kernel_size,
            network.head_channels(index),
            len(stack.dilations),
        ]
        for taps, dilation in zip(stack.kernel_sizes, stack.dilations, strict=True):
            description += [taps, dilation]
    return CompiledModel(np.array(description, np.int64), network.head_scale, instructions)


def create_stream(twin: Twin, channels: int, instructions: str, threads: int) -> CompiledStream:
    """Return a stream of a twin; raise `ModelError` if the weights do not fit."""
    twin.check_weights()
    model = compile_network(twin.network, twin.guard_samples, instructions)
    weights = {name: np.ascontiguousarray(weight) for name, weight in twin.network_weights.items()}
    found = [weights[name].ctypes.data if name in weights else 0 for name in kernel_parameters(twin.network)]
    model.pack(np.array(found, np.uint64))
    return CompiledStream(model, channels, twin.input_gain, twin.output_gain, threads, twin.linear_filter)
