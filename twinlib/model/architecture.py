"""Descriptions of networks, without torch: the entries of `models:` in the configuration, and the presets."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from twinlib.section import Section

ActivationName = Literal["tanh", "relu", "leaky_relu", "gated", "adaptive"]
"""`gated` is tanh x sigmoid of two halves; `adaptive` is gated with trainable slopes n * alpha (n = 10, initially
n * alpha = 1), Jagtap, Kawaguchi and Karniadakis 2020; `leaky_relu` has slope 0.01 below zero."""

Skip = Literal["activation", "residual", "mixed"]
"""Input of the head from each layer: its activation; the output of its residual 1x1 convolution; or the output of a
separate bias-free 1x1 convolution, equivalent to a linear mixer over all concatenated activations."""

PresetName = Literal[
    "small",
    "medium",
    "large",
    "nam-standard",
    "nam-lite",
    "nam-feather",
    "nam-nano",
    "nam-a2",
    "damskagg-2019",
    "original",
]

STRETCHED = (1, 2, 4, 8, 16, 32, 80, 200, 500, 1200)
"""Default dilations: doubling up to 32, then stretched, so that ten layers of three taps span 4087 samples. With a
span of 2047 samples, most of the error of a pedal was below 60 Hz (`benchmarks/error_by_octave.py`)."""

ADAPTIVE_SCALE = 10.0
"""Fixed factor n of the slopes n * alpha of adaptive activations."""

LEAKY_SLOPE = 0.01
"""Slope of leaky rectifiers below zero."""

Shape = tuple[int, ...]

Count = Annotated[int, Field(ge=1, le=65536)]
Counts = Annotated[tuple[Count, ...], Field(min_length=1, max_length=256)]


class Stack(Section):
    """Residual layers of equal width, a "layer array" in `.nam` files."""

    channels: Count
    """Channels of the signal between layers."""
    kernel_sizes: Counts
    """Taps of the dilated convolution, per layer."""
    dilations: Counts
    """Samples between taps, per layer."""
    activation: ActivationName = "tanh"
    """Nonlinearity of all layers."""
    head_kernel_size: Count = 1
    """Taps of the convolution on the sum of all skips."""

    @model_validator(mode="after")
    def _same_length(self) -> Self:
        if len(self.kernel_sizes) != len(self.dilations):
            raise ValueError(f"{len(self.kernel_sizes)} kernel sizes for {len(self.dilations)} dilations")
        return self

    @property
    def preactivation_channels(self) -> int:
        """Channels before the nonlinearity: twice `channels` if gated."""
        return self.channels * (2 if self.activation in ("gated", "adaptive") else 1)

    @property
    def context(self) -> int:
        """Left context in samples: the output of the stack is shorter than its input by this."""
        taps = sum((k - 1) * d for k, d in zip(self.kernel_sizes, self.dilations, strict=True))
        return taps + self.head_kernel_size - 1


class Network(Section):
    """A mono WaveNet: stacks in series; the head output of each stack is added to the skips of the next.

    The topology is that of Neural Amp Modeler (NeuralAmpModelerCore, `NAM/wavenet/model.cpp`): a bias-free 1x1
    convolution into each stack, valid dilated convolutions, and a 1x1 convolution with bias on each residual path.
    """

    stacks: Annotated[tuple[Stack, ...], Field(min_length=1, max_length=8)]
    """Stacks in signal order; the head of the last has one channel and a bias."""
    input_mix: bool = True
    """Add the network input before each nonlinearity through a bias-free 1x1 convolution."""
    skip: Skip = "activation"
    """Contribution of each layer to the head."""
    head_scale: float = Field(0.02, gt=0)
    """Constant factor of the output."""
    dry_path: bool = False
    """Add the input to the output with unity gain."""

    @model_validator(mode="after")
    def _one_head_convolution(self) -> Self:
        if any(stack.head_kernel_size > 1 for stack in self.stacks[:-1]):
            raise ValueError("only the last stack may have a head_kernel_size above 1")
        if self.skip == "mixed" and (len(self.stacks) > 1 or self.stacks[0].head_kernel_size > 1):
            raise ValueError("with mixed skips the mixer is the head: use one stack with a head_kernel_size of 1")
        return self

    def head_channels(self, stack: int) -> int:
        """Output channels of the head of a stack: the width of the next stack, or 1."""
        return self.stacks[stack + 1].channels if stack + 1 < len(self.stacks) else 1

    def input_channels(self, stack: int) -> int:
        """Input channels of a stack: the width of the previous stack, or 1."""
        return self.stacks[stack - 1].channels if stack else 1

    @property
    def receptive_field(self) -> int:
        """Receptive field in samples, the current sample included."""
        return 1 + sum(stack.context for stack in self.stacks)

    @property
    def parameters(self) -> int:
        """Count of trainable parameters."""
        return sum(map(math.prod, parameter_shapes(self).values()))

    @property
    def multiply_adds(self) -> int:
        """Multiply-accumulate operations per output sample: the count of all weights without biases."""
        return sum(math.prod(shape) for shape in parameter_shapes(self).values() if len(shape) > 1)


def parameter_shapes(network: Network) -> dict[str, Shape]:
    """Return the shapes of all weights of a network by name, in the order of `WaveNet.named_parameters`."""
    shapes: dict[str, Shape] = {}
    for index, stack in enumerate(network.stacks):
        module = f"stacks.{index}"
        shapes |= {f"{module}.{name}": shape for name, shape in _stack_shapes(network, index).items()}
        for layer in range(len(stack.dilations)):
            own = _layer_shapes(network, index, layer)
            shapes |= {f"{module}.layers.{layer}.{name}": shape for name, shape in own.items()}
    return shapes


def _stack_shapes(network: Network, index: int) -> dict[str, Shape]:
    stack, heads = network.stacks[index], network.head_channels(index)
    shapes: dict[str, Shape] = {"rechannel": (stack.channels, network.input_channels(index))}
    if network.skip != "mixed":
        shapes["head"] = (heads, stack.channels, stack.head_kernel_size)
    if index + 1 == len(network.stacks):
        shapes["head_bias"] = (heads,)
    return shapes


def _layer_shapes(network: Network, index: int, layer: int) -> dict[str, Shape]:
    stack = network.stacks[index]
    width, rows = stack.channels, stack.preactivation_channels
    shapes: dict[str, Shape] = {"kernel": (rows, width, stack.kernel_sizes[layer]), "bias": (rows,)}
    if network.input_mix:
        shapes["mix"] = (rows, 1)
    if stack.activation == "adaptive":
        shapes["slopes"] = (2,)
    shapes |= {"residual": (width, width), "residual_bias": (width,)}
    if network.skip == "mixed":
        shapes["skip"] = (network.head_channels(index), width)
    return shapes


Value = TypeVar("Value")


def select_module(values: Mapping[str, Value], module: str) -> dict[str, Value]:
    """Return the values of one module, such as `stacks.0.layers.2`, by the last component of their names."""
    names = ((name.rpartition("."), value) for name, value in values.items())
    return {name: value for (parent, _, name), value in names if parent == module}


def _doubling(count: int) -> tuple[int, ...]:
    return tuple(2**power for power in range(count))


def _nam(width: int, head: int, dilations: tuple[tuple[int, ...], tuple[int, ...]]) -> Network:
    first, second = dilations
    return Network(
        stacks=(
            Stack(channels=width, kernel_sizes=(3,) * len(first), dilations=first),
            Stack(channels=head, kernel_sizes=(3,) * len(second), dilations=second),
        )
    )


_LITE = (_doubling(7), (128, 256, 512, *_doubling(10)))
_A2 = (1, 3, 7, 17, 41, 101, 239)


def _ours(channels: int, kernel_size: int, dilations: tuple[int, ...]) -> Network:
    kernel_sizes = (kernel_size,) * len(dilations)
    return Network(stacks=(Stack(channels=channels, kernel_sizes=kernel_sizes, dilations=dilations),))


PRESETS: dict[PresetName, Network] = {
    # Our networks: 10,432, 29,088 and 72,064 multiply-adds per sample (nam-standard: 13,320).
    "small": _ours(16, 3, STRETCHED),
    "medium": _ours(24, 4, _doubling(10)),
    "large": _ours(32, 6, _doubling(10)),
    "nam-standard": _nam(16, 8, (_doubling(10), _doubling(10))),
    "nam-lite": _nam(12, 6, _LITE),
    "nam-feather": _nam(8, 4, _LITE),
    "nam-nano": _nam(4, 2, _LITE),
    "nam-a2": Network(
        stacks=(
            Stack(
                channels=8,
                kernel_sizes=(6,) * 14 + (15,) * 2 + (6,) * 7,
                dilations=_A2 * 2 + (1, 13) + _A2,
                activation="leaky_relu",
                head_kernel_size=16,
            ),
        ),
        head_scale=0.01,
    ),
    # WaveNet3 of Damskägg, Juvela and Välimäki (SMC 2019): 18 gated layers, a linear mixer over all activations.
    "damskagg-2019": Network(
        stacks=(Stack(channels=16, kernel_sizes=(3,) * 18, dilations=_doubling(9) * 2, activation="gated"),),
        input_mix=False,
        skip="mixed",
        head_scale=1.0,
    ),
    # pbrandl/aNN_Audio: the dilations of its notebook, which trained 1 channel and defaulted to 32; 16 are comparable
    # to the other presets.
    "original": Network(
        stacks=(Stack(channels=16, kernel_sizes=(2,) * 11, dilations=_doubling(11), activation="adaptive"),),
        input_mix=False,
        skip="residual",
        head_scale=0.2,
        dry_path=True,
    ),
}
"""Networks of this library by size, and published networks by name (neural-amp-modeler, Damskägg 2019, aNN_Audio)."""


class Architecture(Section):
    """An entry of `models:`: a preset, or the fields of one stack; the empty entry is the default network."""

    preset: PresetName | None = None
    """Name of a preset; excludes all other fields."""
    channels: Count = 16
    """Channels of the signal between layers."""
    kernel_size: Count = 3
    """Taps of each dilated convolution."""
    dilations: Counts = STRETCHED
    """Samples between taps, per layer."""
    activation: ActivationName = "tanh"
    """Nonlinearity of all layers."""
    head_kernel_size: Count = 1
    """Taps of the convolution on the sum of all skips."""
    dry_path: bool = False
    """Add the input to the output with unity gain."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        others = sorted(self.model_fields_set - {"preset"})
        if self.preset is not None and others:
            raise ValueError(f"preset {self.preset} already sets {', '.join(others)}: remove either")
        return self

    @model_serializer(mode="wrap")
    def _as_written(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # Omit the defaults: validation rejects a preset with other fields.
        content: dict[str, Any] = dump(self)
        return content if self.preset is None else {"preset": self.preset}

    @property
    def network(self) -> Network:
        """The network of this entry."""
        if self.preset is not None:
            return PRESETS[self.preset]
        stack = Stack(
            channels=self.channels,
            kernel_sizes=(self.kernel_size,) * len(self.dilations),
            dilations=self.dilations,
            activation=self.activation,
            head_kernel_size=self.head_kernel_size,
        )
        return Network(stacks=(stack,), dry_path=self.dry_path)
