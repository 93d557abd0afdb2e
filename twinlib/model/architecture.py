"""What networks are made of, without torch: the entries of `models:` in the configuration, and the presets."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from twinlib.settings import Settings

ActivationName = Literal["tanh", "relu", "leaky_relu", "gated", "adaptive"]
"""`gated` is tanh x sigmoid of two halves; `adaptive` is gated with trainable slopes n*a (n = 10, n*a = 1 at first),
Jagtap, Kawaguchi and Karniadakis 2020; `leaky_relu` has slope 0.01 below zero."""

Skip = Literal["activation", "residual", "mixed"]
"""What a layer gives to the head: its activation; the same 1x1 convolution that goes to the next layer; or its own
bias-free 1x1 convolution, which is what a mixer over all concatenated activations amounts to."""

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
"""The dilations of our default: doubled up to 32, then stretched, so that ten layers of three taps look back 4086
samples: a real pedal's twin that looked back 2046 had most of its error below 60 Hz (`benchmarks/octaves.py`)."""

Count = Annotated[int, Field(ge=1, le=65536)]
Counts = Annotated[tuple[Count, ...], Field(min_length=1, max_length=256)]


class Stack(Settings):
    """Residual layers of one width, from the first to the last; `.nam` files call it a layer array."""

    channels: Count
    """Channels of the signal between layers."""
    kernel_sizes: Counts
    """Taps of the dilated convolution, one a layer."""
    dilations: Counts
    """Samples between taps, one a layer."""
    activation: ActivationName = "tanh"
    """The nonlinearity of every layer."""
    head_kernel_size: Count = 1
    """Taps of the convolution that gathers the layers' sum."""

    @model_validator(mode="after")
    def _same_length(self) -> Self:
        if len(self.kernel_sizes) != len(self.dilations):
            raise ValueError(f"{len(self.kernel_sizes)} kernel sizes for {len(self.dilations)} dilations")
        return self

    @property
    def rows(self) -> int:
        """Channels before the nonlinearity: twice `channels` if a second half is the gate."""
        return self.channels * (2 if self.activation in ("gated", "adaptive") else 1)

    @property
    def reach(self) -> int:
        """Samples by which the output of the stack is shorter than its input."""
        taps = sum((k - 1) * d for k, d in zip(self.kernel_sizes, self.dilations, strict=True))
        return taps + self.head_kernel_size - 1


class Network(Settings):
    """A WaveNet for one channel: stacks in a row, each one's gathered skips starting the sum of the next.

    The topology is Neural Amp Modeler's (NeuralAmpModelerCore, `NAM/wavenet/model.cpp`): a 1x1 convolution without
    bias into each stack, dilated convolutions without padding, a 1x1 convolution with bias on every residual path.
    """

    stacks: Annotated[tuple[Stack, ...], Field(min_length=1, max_length=8)]
    """Where the signal goes, in order; the head of the last has one channel and a bias."""
    input_mix: bool = True
    """The network's input is added before every nonlinearity by a bias-free 1x1 convolution."""
    skip: Skip = "activation"
    """What each layer adds to the head."""
    head_scale: float = Field(0.02, gt=0)
    """Constant factor of the output."""
    dry_path: bool = False
    """The input is added to the output, with unity gain."""

    @model_validator(mode="after")
    def _one_head_convolution(self) -> Self:
        if any(stack.head_kernel_size > 1 for stack in self.stacks[:-1]):
            raise ValueError("only the last stack may have a head_kernel_size above 1")
        if self.skip == "mixed" and (len(self.stacks) > 1 or self.stacks[0].head_kernel_size > 1):
            raise ValueError("with mixed skips the mixer is the head: one stack with a head_kernel_size of 1")
        return self

    def head_channels(self, stack: int) -> int:
        """Channels that the head of a stack gives: those of the next stack, or 1."""
        return self.stacks[stack + 1].channels if stack + 1 < len(self.stacks) else 1

    def input_channels(self, stack: int) -> int:
        """Channels that a stack takes: those of the one before, or 1."""
        return self.stacks[stack - 1].channels if stack else 1

    @property
    def receptive_field(self) -> int:
        """Samples of input that one sample of output depends on, itself included."""
        return 1 + sum(stack.reach for stack in self.stacks)

    @property
    def parameters(self) -> int:
        """Trainable numbers."""
        return sum(self._parameters_of(index) for index in range(len(self.stacks)))

    @property
    def multiply_adds(self) -> int:
        """Multiplications for a sample of output, each with an addition: every weight counts once, biases do not."""
        return self.parameters - self._biases

    @property
    def _biases(self) -> int:
        layers = sum(len(stack.kernel_sizes) * (stack.rows + stack.channels) for stack in self.stacks)
        slopes = sum(2 * len(stack.kernel_sizes) for stack in self.stacks if stack.activation == "adaptive")
        return layers + slopes + 1

    def _parameters_of(self, index: int) -> int:
        stack, heads = self.stacks[index], self.head_channels(index)
        width, rows = stack.channels, stack.rows
        count = self.input_channels(index) * width
        for kernel in stack.kernel_sizes:
            count += rows * (width * kernel + 1 + self.input_mix) + width * (width + 1)
            count += 2 * (stack.activation == "adaptive") + heads * width * (self.skip == "mixed")
        gathered = 0 if self.skip == "mixed" else heads * width * stack.head_kernel_size
        return count + gathered + (heads if index + 1 == len(self.stacks) else 0)


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
    # Ours, by what they cost to play: 10,432, 29,088 and 72,064 multiplications for a sample (nam-standard: 13,320).
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
    # pbrandl/aNN_Audio: the dilations its notebook trains with. It trained one channel and defaulted to 32; 16 compare
    # with the other presets.
    "original": Network(
        stacks=(Stack(channels=16, kernel_sizes=(2,) * 11, dilations=_doubling(11), activation="adaptive"),),
        input_mix=False,
        skip="residual",
        head_scale=0.2,
        dry_path=True,
    ),
}
"""Ours by size, and the networks users know, by name (neural-amp-modeler, Damskägg 2019, aNN_Audio)."""


class Architecture(Settings):
    """An entry of `models:`: a preset by its name, or one stack by its fields; without either the default network."""

    preset: PresetName | None = None
    """A network by its name; the other fields must be left out."""
    channels: Count = 16
    """Channels of the signal between layers."""
    kernel_size: Count = 3
    """Taps of every dilated convolution."""
    dilations: Counts = STRETCHED
    """Samples between taps, one a layer."""
    activation: ActivationName = "tanh"
    """The nonlinearity of every layer."""
    head_kernel_size: Count = 1
    """Taps of the convolution that gathers the layers' sum."""
    dry_path: bool = False
    """Add the input to the output, with unity gain."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        others = sorted(self.model_fields_set - {"preset"})
        if self.preset is not None and others:
            raise ValueError(f"preset {self.preset} already sets {', '.join(others)}: leave out one of them")
        return self

    @model_serializer(mode="wrap")
    def _as_written(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A preset is written alone, or it could not be read again.
        content: dict[str, Any] = dump(self)
        return content if self.preset is None else {"preset": self.preset}

    @property
    def network(self) -> Network:
        """The network that this entry describes."""
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
