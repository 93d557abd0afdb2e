"""A twin as plain convolutions: gains, slopes and the kinds of skip are folded into weights, as other players need it.

Other programs know neither a gain before the network nor trainable slopes nor skips that are residuals. All of these
are linear, so they go into the weights next to them without any loss; the sums are taken in float64 and rounded once.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from twinlib.errors import ModelError
from twinlib.model.architecture import Network, Stack
from twinlib.model.twin import Twin
from twinlib.model.wavenet import SLOPE

Weights = npt.NDArray[np.float32]
"""Finite weights in the shape of a convolution, `(out, in, taps)`, tap 0 the oldest, or `(out,)` of a bias."""


@dataclass(frozen=True)
class FoldedLayer:
    """One layer; `z = kernel * x + bias + mix * dry`, the activation of z is `a`, and `x + residual * a` goes on."""

    kernel: Weights
    """`(rows, channels, taps)`."""
    bias: Weights
    """`(rows,)`."""
    mix: Weights | None
    """`(rows, 1, 1)`, or None if the dry signal is not mixed in."""
    residual: Weights
    """`(channels, channels, 1)`."""
    residual_bias: Weights
    """`(channels,)`."""
    skip: Weights | None
    """`(skips, channels, 1)`: what the head gets of `a`; None if it gets `a` itself."""
    skip_bias: Weights | None
    """`(skips,)`, where there is a `skip`."""


@dataclass(frozen=True)
class FoldedStack:
    """One stack: into it by a 1x1 convolution without bias, out of the sum of its skips by its head."""

    description: Stack
    rechannel: Weights
    """`(channels, in, 1)`."""
    layers: tuple[FoldedLayer, ...]
    head: Weights
    """`(heads, skips, taps)`."""
    head_bias: Weights | None
    """`(heads,)`, of the last stack only."""


@dataclass(frozen=True)
class Folded:
    """A network of one dry channel: `scale * (head of the last stack + dry_gain * dry, late by dry_delay samples)`."""

    stacks: tuple[FoldedStack, ...]
    scale: float
    """A float32 number above 0."""
    dry_gain: float
    """A float32 number; 0.0 if the network has no dry path."""
    dry_delay: int
    """Samples; the guard."""


def fold(twin: Twin) -> Folded:
    """The twin with its gains and slopes in its weights.

    Its output is that of `Stream`, and as late: by the guard. Raises `ModelError` if the twin's weights do not fit its
    network, or if a folded one is beyond what float32 holds.
    """
    network, weights = twin.network, {name: tensor.numpy() for name, tensor in twin.build().state_dict().items()}
    if (scale := float(_float32(network.head_scale * twin.output_gain))) <= 0:
        raise ModelError(f"the twin's output gain of {twin.output_gain:g} is no float32 number: train it again")
    stacks = []
    for index, stack in enumerate(network.stacks):
        name = f"stacks.{index}"
        layers = [
            _layer(network, stack, _under(weights, f"{name}.layers.{number}"), twin.input_gain)
            for number in range(len(stack.dilations))
        ]
        own = _under(weights, name)
        # With mixed skips the layers' own convolutions are the mixer, and the head is their plain sum.
        head = own.get("head", np.ones((1, 1, 1)))
        rechannel = own["rechannel"][:, :, None] * np.float64(1.0 if index else twin.input_gain)
        bias = own.get("head_bias")
        stacks.append(
            FoldedStack(
                stack,
                _float32(rechannel),
                tuple(layers),
                _float32(head),
                None if bias is None else _float32(bias),
            )
        )
    dry_gain = float(_float32(twin.input_gain * twin.output_gain / scale)) if network.dry_path else 0.0
    return Folded(tuple(stacks), scale, dry_gain, twin.guard_samples)


def _layer(network: Network, stack: Stack, weights: dict[str, npt.NDArray[Any]], gain: float) -> FoldedLayer:
    slopes = np.ones(stack.rows)
    if stack.activation == "adaptive":
        slopes = np.repeat(SLOPE * weights["slopes"].astype(np.float64), stack.channels)
    mix = weights.get("mix")
    skip, skip_bias = None, None
    match network.skip:
        case "activation":
            pass
        case "residual":
            skip, skip_bias = weights["residual"], weights["residual_bias"]
        case "mixed":
            skip = weights["skip"]
            skip_bias = np.zeros(len(skip))
    return FoldedLayer(
        kernel=_float32(weights["kernel"] * slopes[:, None, None]),
        bias=_float32(weights["bias"] * slopes),
        mix=None if mix is None else _float32(mix[:, :, None] * (slopes * gain)[:, None, None]),
        residual=_float32(weights["residual"][:, :, None]),
        residual_bias=_float32(weights["residual_bias"]),
        skip=None if skip is None else _float32(skip[:, :, None]),
        skip_bias=None if skip_bias is None else _float32(skip_bias),
    )


def _under(weights: dict[str, npt.NDArray[Any]], prefix: str) -> dict[str, npt.NDArray[Any]]:
    """The weights of one module by their last names."""
    return {name.rpartition(".")[2]: value for name, value in weights.items() if name.rpartition(".")[0] == prefix}


def _float32(values: Any) -> Weights:
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = np.asarray(values, np.float64).astype(np.float32)
    if not np.isfinite(rounded).all():
        raise ModelError(
            "the twin's gains and weights multiply to numbers that float32 does not hold, so no other program can play "
            "it: train it again on recordings of a usual level"
        )
    return rounded
