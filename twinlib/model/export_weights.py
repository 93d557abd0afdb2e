"""Weight folding for export: gains, adaptive slopes and skip convolutions become plain convolution weights.

Other players support neither an input gain nor trainable slopes nor residual skips. All three are linear, so they fold
exactly into the adjacent weights; products are computed in float64 and rounded once.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from twinlib.errors import ModelError
from twinlib.model.architecture import ADAPTIVE_SCALE, Network, Stack, select_module
from twinlib.model.twin import Twin

Weights = npt.NDArray[np.float32]
"""Finite weights of a convolution `(out, in, taps)`, tap 0 the oldest, or of a bias `(out,)`."""


@dataclass(frozen=True)
class FoldedLayer:
    """One layer: z = kernel * x + bias + mix * dry, a = activation(z), output x + residual * a."""

    kernel: Weights
    """`(preactivation_channels, channels, taps)`."""
    bias: Weights
    """`(preactivation_channels,)`."""
    mix: Weights | None
    """`(preactivation_channels, 1, 1)`, or None without input mix."""
    residual: Weights
    """`(channels, channels, 1)`."""
    residual_bias: Weights
    """`(channels,)`."""
    skip: Weights | None
    """`(skips, channels, 1)`, applied to `a` before the head; None if the head takes `a` itself."""
    skip_bias: Weights | None
    """`(skips,)`; None without `skip`."""


@dataclass(frozen=True)
class FoldedStack:
    """One stack: a bias-free 1x1 input convolution, layers, and a head on the sum of the skips."""

    description: Stack
    rechannel: Weights
    """`(channels, in, 1)`."""
    layers: tuple[FoldedLayer, ...]
    head: Weights
    """`(heads, skips, taps)`."""
    head_bias: Weights | None
    """`(heads,)`; last stack only."""


@dataclass(frozen=True)
class FoldedNetwork:
    """A mono network with output `scale * (head of the last stack + linear * dry)`."""

    stacks: tuple[FoldedStack, ...]
    scale: float
    """Output scale, a positive float32."""
    linear: Weights | None
    """`(1, 1, taps)`: the linear filter and the dry path as one filter of the dry signal; None without both."""


def fold_weights(twin: Twin) -> FoldedNetwork:
    """Fold the gains and slopes of a twin into its weights.

    The output equals that of `Stream`, latency included. Raises `ModelError` if the weights do not fit the network, or
    if a folded weight overflows float32.
    """
    twin.check_weights()
    network, weights = twin.network, twin.weights
    if (scale := float(_float32(network.head_scale * twin.output_gain))) <= 0:
        raise ModelError(f"the output gain {twin.output_gain:g} underflows float32. Retrain the twin")
    stacks = []
    for index, stack in enumerate(network.stacks):
        name = f"stacks.{index}"
        layers = [
            _fold_layer(network, stack, select_module(weights, f"{name}.layers.{number}"), twin.input_gain)
            for number in range(len(stack.dilations))
        ]
        own = select_module(weights, name)
        # With mixed skips the skip convolutions are the mixer, and the head is a plain sum.
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
    return FoldedNetwork(tuple(stacks), scale, _fold_linear(twin, scale))


def _fold_linear(twin: Twin, scale: float) -> Weights | None:
    given = np.zeros(0) if twin.linear_filter is None else twin.linear_filter
    dry_taps = twin.guard_samples + 1 if twin.network.dry_path else 0
    response = np.zeros(max(len(given), dry_taps))
    if not len(response):
        return None
    response[: len(given)] = given
    if dry_taps:
        response[dry_taps - 1] += twin.input_gain * twin.output_gain
    return _float32(response[::-1] / scale)[None, None]


def _fold_layer(network: Network, stack: Stack, weights: dict[str, npt.NDArray[Any]], gain: float) -> FoldedLayer:
    slopes = np.ones(stack.preactivation_channels)
    if stack.activation == "adaptive":
        slopes = np.repeat(ADAPTIVE_SCALE * weights["slopes"].astype(np.float64), stack.channels)
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


def _float32(values: Any) -> Weights:
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = np.asarray(values, np.float64).astype(np.float32)
    if not np.isfinite(rounded).all():
        raise ModelError(
            "the product of gains and weights overflows float32, so the twin cannot be exported. Retrain it on "
            "recordings at a normal level"
        )
    return rounded
