"""Networks in the terms of the compiled kernels: integers for the description, addresses for the weights."""

from collections.abc import Mapping

import numpy as np

from twinlib.kernels import Addresses, CompiledModel
from twinlib.model.architecture import Network

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


def addresses(names: list[str], values: Mapping[str, int]) -> Addresses:
    """Return the addresses of the named arrays, 0 for those without."""
    return np.array([values.get(name, 0) for name in names], np.uint64)
