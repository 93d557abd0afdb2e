"""A twin as a `.nam` file: plays in the Neural Amp Modeler plug-in and everything else built on its core.

The format is that of NeuralAmpModelerCore (`NAM/wavenet/model.cpp`): JSON with the arrays of layers in `config` and
all weights in one list. Every network that `architecture` describes can be held, with the same output but for float32
rounding:

- gains and slopes are in the weights already (`folding`); a network without input mix has mixing weights of zero;
- skips that are not the bare activation use `head1x1`, which version 0.7.0 of the format brought;
- a dry path becomes one more array. The format adds only what comes out of nonlinearities, but the difference of two
  leaky rectifiers is a straight line: `f(x) - f(-x) = (1 + slope) x`. Its first layer takes the dry signal to the next
  one so, its second delays it by the guard and adds it to the head's sum, which the array before has filled.

The output is late by the guard, as that of the network: a plug-in gets no samples of the future, so the guard cannot
be cut off as `render` does. `metadata` says how late.
"""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from twinlib.errors import ModelError
from twinlib.files import written_aside
from twinlib.model.architecture import ActivationName
from twinlib.model.export_metadata import card
from twinlib.model.export_weights import Folded, FoldedStack, Weights, fold
from twinlib.model.twin import Twin

LEGACY, CURRENT = "0.5.4", "0.7.0"
"""Versions of the format: the first is read by every release of the core (leaky rectifiers from 0.2.0 on), the second
from 0.4.1 on."""

SLOPE = 0.01
"""Below zero, of leaky rectifiers."""

_LEAKY = {"type": "LeakyReLU", "negative_slope": SLOPE}
_ACTIVATIONS: dict[ActivationName, dict[str, Any]] = {
    "tanh": {"type": "Tanh"},
    "relu": {"type": "ReLU"},
    "leaky_relu": _LEAKY,
    "gated": {"type": "Tanh"},
    "adaptive": {"type": "Tanh"},
}


def write_nam(twin: Twin, path: Path, date: datetime | None = None) -> None:
    """Write a twin as `.nam`, whole or not at all; equal twins and dates give equal bytes.

    Raises `ModelError` if the weights, once gains are folded in, are not finite.
    """
    text = json.dumps(nam_content(twin, date), allow_nan=False) + "\n"
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def nam_content(twin: Twin, date: datetime | None = None, legacy: bool = True) -> dict[str, Any]:
    """The JSON object of a `.nam` file: version, metadata, architecture, config, weights, sample rate in Hz.

    The version is 0.5.4 where the network fits its keys, so that old plug-ins play it too, else 0.7.0; without `legacy`
    it is always 0.7.0, which is all that Neural Amp Modeler's own trainer reads. `date`: when the twin was trained.

    Raises `ModelError` if the weights, once gains are folded in, are not finite.
    """
    folded = fold(twin)
    arrays = [_array(stack) for stack in folded.stacks]
    weights = [weight for stack in folded.stacks for weight in _weights(stack)]
    if twin.network.dry_path:
        arrays.append(_dry_array(folded))
        weights += _dry_weights(folded)
    old = [_legacy(array) for array in arrays] if legacy else []
    fits = bool(old) and all(array is not None for array in old)
    flat = [float(value) for weight in weights for value in weight.reshape(-1)] + [folded.scale]
    # The core reads beyond the end of a list that is too short before it complains.
    if len(flat) != (wanted := sum(map(_count, arrays)) + 1):
        raise ModelError(f"the twin has {len(flat)} weights for a .nam file, its description wants {wanted}")
    return {
        "version": LEGACY if fits else CURRENT,
        "metadata": _metadata(twin, date),
        "architecture": "WaveNet",
        "config": {"layers": old if fits else arrays, "head": None, "head_scale": folded.scale},
        "weights": flat,
        "sample_rate": twin.sample_rate,
    }


def _metadata(twin: Twin, date: datetime | None) -> dict[str, Any]:
    """What Neural Amp Modeler knows under its own names, and everything under ours.

    Levels in dBu are not among it: nobody has measured them.
    """
    told = card(twin, date)
    content: dict[str, Any] = {"name": twin.device, "loudness": told["loudness_db"]}
    if date is not None:
        content["date"] = {part: getattr(date, part) for part in ("year", "month", "day", "hour", "minute", "second")}
    if told["validation_esr"] is not None:
        content["training"] = {"validation_esr": told["validation_esr"]}
    return {**content, "twin": told}


def _array(stack: FoldedStack) -> dict[str, Any]:
    description = stack.description
    gated = description.activation in ("gated", "adaptive")
    count = len(description.dilations)
    return {
        "input_size": stack.rechannel.shape[1],
        "condition_size": 1,
        "channels": description.channels,
        "bottleneck": description.channels,
        "kernel_sizes": list(description.kernel_sizes),
        "dilations": list(description.dilations),
        "activation": [_ACTIVATIONS[description.activation]] * count,
        "gating_mode": ["gated" if gated else "none"] * count,
        "secondary_activation": [{"type": "Sigmoid"} if gated else None] * count,
        "head": {
            "out_channels": stack.head.shape[0],
            "kernel_size": stack.head.shape[2],
            "bias": stack.head_bias is not None,
        },
        "head1x1": {"active": stack.layers[0].skip is not None, "out_channels": stack.head.shape[1], "groups": 1},
        "layer1x1": {"active": True, "groups": 1},
    }


def _weights(stack: FoldedStack) -> list[Weights]:
    """The weights of an array in the order of the format."""
    weights = [stack.rechannel]
    for layer in stack.layers:
        mix = np.zeros((len(layer.bias), 1, 1), np.float32) if layer.mix is None else layer.mix
        weights += [layer.kernel, layer.bias, mix, layer.residual, layer.residual_bias]
        if layer.skip is not None and layer.skip_bias is not None:
            weights += [layer.skip, layer.skip_bias]
    weights.append(stack.head)
    return weights if stack.head_bias is None else [*weights, stack.head_bias]


def _dry_array(folded: Folded) -> dict[str, Any]:
    """One channel; each layer has two leaky rectifiers, and the head's sum is that of the array before."""
    taps = [1, 2] if folded.dry_delay else [1]
    return {
        "input_size": folded.stacks[-1].description.channels,
        "condition_size": 1,
        "channels": 1,
        "bottleneck": 2,
        "kernel_sizes": taps,
        "dilations": [1, folded.dry_delay] if folded.dry_delay else [1],
        "activation": [_LEAKY] * len(taps),
        "gating_mode": ["none"] * len(taps),
        "secondary_activation": [None] * len(taps),
        "head": {"out_channels": 1, "kernel_size": 1, "bias": False},
        "head1x1": {"active": True, "out_channels": 1, "groups": 1},
        "layer1x1": {"active": True, "groups": 1},
    }


def _dry_weights(folded: Folded) -> list[Weights]:
    straight = np.array([1, -1]) / (1 + SLOPE)
    out = folded.dry_gain * straight
    nothing, zero = [0.0, 0.0], [0.0]
    # Into the array nothing of the one before; each layer: kernel, bias, mix, residual, bias, skip, bias.
    weights = [np.zeros(folded.stacks[-1].description.channels)]
    if folded.dry_delay:
        weights += map(np.array, (nothing, nothing, [1.0, -1.0], straight, zero, nothing, zero))
        weights += map(np.array, ([1.0, 0.0, -1.0, 0.0], nothing, nothing, nothing, zero, out, zero))
    else:
        weights += map(np.array, (nothing, nothing, [1.0, -1.0], nothing, zero, out, zero))
    return [weight.astype(np.float32) for weight in [*weights, np.ones(1)]]


def _legacy(array: dict[str, Any]) -> dict[str, Any] | None:
    """An array in the keys of version 0.5.4, or None if they cannot say it; its weights are the same."""
    simple = (
        array["bottleneck"] == array["channels"]
        and len(set(array["kernel_sizes"])) == 1
        and array["head"]["kernel_size"] == 1
        and not array["head1x1"]["active"]
    )
    if not simple:
        return None
    return {
        "input_size": array["input_size"],
        "condition_size": 1,
        "head_size": array["head"]["out_channels"],
        "channels": array["channels"],
        "kernel_size": array["kernel_sizes"][0],
        "dilations": array["dilations"],
        "activation": array["activation"][0]["type"],
        "gated": array["gating_mode"][0] == "gated",
        "head_bias": array["head"]["bias"],
    }


def _count(array: dict[str, Any]) -> int:
    """The weights that the core reads for an array."""
    width, middle, head = array["channels"], array["bottleneck"], array["head"]
    skips = array["head1x1"]["out_channels"] if array["head1x1"]["active"] else 0
    count = array["input_size"] * width
    for taps, gating in zip(array["kernel_sizes"], array["gating_mode"], strict=True):
        rows = middle * (2 if gating == "gated" else 1)
        count += rows * (width * taps + 1 + array["condition_size"]) + width * (middle + 1) + skips * (middle + 1)
    gathered = head["out_channels"] * (skips or middle) * head["kernel_size"]
    return int(count + gathered + head["out_channels"] * head["bias"])
