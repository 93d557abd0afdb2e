"""Export as `.nam` for the Neural Amp Modeler plug-in and other players built on its core.

The format is that of NeuralAmpModelerCore (`NAM/wavenet/model.cpp`): JSON with the layer arrays in `config` and all
weights in one list. It holds every network that `architecture` describes, with equal output within float32 rounding:

- gains and slopes are folded into the weights (`export_weights`); without input mix the mixing weights are zero;
- skips other than the bare activation use `head1x1`, which needs version 0.7.0 of the format;
- a linear filter or a dry path becomes an additional layer array, which needs version 0.7.0. Its activation is a leaky
  rectifier of slope 1, which is linear. The first layers make a channel of the dry signal and of each delay below
  `PHASES` samples; the last one filters them and adds the result to the head sum of the preceding array. Many taps of
  one channel would cost the core six times as much.

The output lags by the guard: a real-time plug-in cannot look ahead, so the delay remains. `metadata` includes its
length.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from twinlib.errors import ModelError
from twinlib.files import atomic_path
from twinlib.model.architecture import LEAKY_SLOPE, ActivationName
from twinlib.model.export_metadata import export_metadata
from twinlib.model.export_weights import FoldedStack, Weights, fold_weights
from twinlib.model.twin import Twin

LEGACY, CURRENT = "0.5.4", "0.7.0"
"""Versions of the format. All releases of the core read the first (leaky rectifiers since 0.2.0), releases since 0.4.1
also the second. Readers outside the core play any network of the first as ungated tanh."""

NamVersion = Literal["0.5", "0.7"]

PHASES, SHORT = 8, 64
"""Channels for the taps of a linear filter, and the longest filter in a single channel."""

_NAM_KEYS = {
    "name": "name",
    "modeled_by": "modeled_by",
    "make": "gear_make",
    "model": "gear_model",
    "gear_type": "gear_type",
    "tone_type": "tone_type",
    "input_level_dbu": "input_level_dbu",
    "output_level_dbu": "output_level_dbu",
}
"""Key of the metadata by key of the device card. Players calibrate and sort by them."""

_LEAKY = {"type": "LeakyReLU", "negative_slope": LEAKY_SLOPE}
_IDENTITY = {"type": "LeakyReLU", "negative_slope": 1.0}
_ACTIVATIONS: dict[ActivationName, dict[str, Any]] = {
    "tanh": {"type": "Tanh"},
    "relu": {"type": "ReLU"},
    "leaky_relu": _LEAKY,
    "gated": {"type": "Tanh"},
    "adaptive": {"type": "Tanh"},
}


def write_nam(
    twin: Twin,
    path: Path,
    date: datetime | None = None,
    card: Mapping[str, Any] | None = None,
    verdict: Mapping[str, Any] | None = None,
    version: NamVersion | None = None,
) -> None:
    """Write a twin as `.nam`, atomically; equal twins, dates, device cards and verdicts give equal bytes.

    Raises `ModelError` as `nam_content` does.
    """
    text = json.dumps(nam_content(twin, date, card, verdict, version), allow_nan=False) + "\n"
    with atomic_path(path) as aside:
        aside.write_text(text, encoding="utf-8")


def nam_content(
    twin: Twin,
    date: datetime | None = None,
    card: Mapping[str, Any] | None = None,
    verdict: Mapping[str, Any] | None = None,
    version: NamVersion | None = None,
) -> dict[str, Any]:
    """Return the JSON object of a `.nam` file: version, metadata, architecture, config, weights, sample rate in Hz.

    The default version is 0.5.4 for ungated tanh if its keys suffice, for old plug-ins, else 0.7.0: readers outside the
    core ignore the activation in files of 0.5.4, and refuse 0.7.0. `version` 0.5 writes other activations as 0.5.4 too,
    for cores from 0.2.0 to 0.4.0; 0.7 is the only version that the trainer of Neural Amp Modeler reads. `date` is the
    time of training, `card` the device card, `verdict` that of the evaluation.

    Raises `ModelError` if a folded weight is not finite, or if version 0.5 cannot hold the network.
    """
    folded = fold_weights(twin)
    stacks = folded.stacks
    if folded.linear is not None:
        phases = 1 if folded.linear.shape[2] <= SHORT else PHASES
        # The core requires as many heads as the next array has channels.
        stacks = (*stacks[:-1], _with_heads(stacks[-1], phases))
    arrays = [_array(stack) for stack in stacks]
    weights = [weight for stack in stacks for weight in _weights(stack)]
    if folded.linear is not None:
        arrays.append(_linear_array(stacks[-1].description.channels, folded.linear, phases))
        weights += _linear_weights(stacks[-1].description.channels, folded.linear, phases)
    old = [_legacy(array) for array in arrays]
    fits = all(array is not None for array in old)
    if version == "0.5" and twin.linear_filter is not None:
        raise ModelError(
            "version 0.5 of the .nam format cannot hold the linear filter of this twin. Export it as version 0.7, or "
            "train it with training.linear_taps: 0"
        )
    if version == "0.5" and not fits:
        raise ModelError(
            "version 0.5 of the .nam format cannot hold this network: it needs one kernel size, and skips without "
            "weights, in every stack. Export it as version 0.7"
        )
    plain = all(stack.description.activation == "tanh" for stack in folded.stacks)
    is_legacy = fits and version != "0.7" and (plain or version == "0.5")
    flat = [float(value) for weight in weights for value in weight.reshape(-1)] + [folded.scale]
    # NeuralAmpModelerCore reads past the end of a list that is too short.
    if len(flat) != (expected := sum(map(_weight_count, arrays)) + 1):
        raise ModelError(f"the .nam file would hold {len(flat)} weights, but its configuration needs {expected}")
    return {
        "version": LEGACY if is_legacy else CURRENT,
        "metadata": _metadata(twin, export_metadata(twin, date, card, verdict), date),
        "architecture": "WaveNet",
        "config": {"layers": old if is_legacy else arrays, "head": None, "head_scale": folded.scale},
        "weights": flat,
        "sample_rate": twin.sample_rate,
    }


def _metadata(twin: Twin, exported: dict[str, Any], date: datetime | None) -> dict[str, Any]:
    """Return the metadata under NAM's keys, and all of it under `twin`. Unknown values are omitted."""
    content: dict[str, Any] = {"name": twin.device, "loudness": exported["loudness_db"]}
    content |= {_NAM_KEYS[key]: value for key, value in exported["device_card"].items() if key in _NAM_KEYS}
    if date is not None:
        content["date"] = {part: getattr(date, part) for part in ("year", "month", "day", "hour", "minute", "second")}
    if exported["validation_esr"] is not None:
        content["training"] = {"validation_esr": exported["validation_esr"]}
    return {**content, "twin": exported}


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
    """Return the weights of a layer array in file order."""
    weights = [stack.rechannel]
    for layer in stack.layers:
        mix = np.zeros((len(layer.bias), 1, 1), np.float32) if layer.mix is None else layer.mix
        weights += [layer.kernel, layer.bias, mix, layer.residual, layer.residual_bias]
        if layer.skip is not None and layer.skip_bias is not None:
            weights += [layer.skip, layer.skip_bias]
    weights.append(stack.head)
    return weights if stack.head_bias is None else [*weights, stack.head_bias]


def _with_heads(stack: FoldedStack, count: int) -> FoldedStack:
    """Return a last stack with zeros as further outputs of its head."""
    more = [(0, count - 1)]
    bias = None if stack.head_bias is None else np.pad(stack.head_bias, more)
    return replace(stack, head=np.pad(stack.head, [*more, (0, 0), (0, 0)]), head_bias=bias)


def _linear_array(inputs: int, linear: Weights, phases: int) -> dict[str, Any]:
    """Return the layer array of a filter of the dry signal; one layer for each phase, and one for the filter."""
    layers = phases + 1
    return {
        "input_size": inputs,
        "condition_size": 1,
        "channels": phases,
        "bottleneck": 1,
        "kernel_sizes": [1, *[2] * (phases - 1), -(-linear.shape[2] // phases)],
        "dilations": [1, *range(1, phases), phases],
        "activation": [_IDENTITY] * layers,
        "gating_mode": ["none"] * layers,
        "secondary_activation": [None] * layers,
        "head": {"out_channels": 1, "kernel_size": 1, "bias": False},
        "head1x1": {"active": True, "out_channels": phases, "groups": 1},
        "layer1x1": {"active": True, "groups": 1},
    }


def _linear_weights(inputs: int, linear: Weights, phases: int) -> list[Weights]:
    """Return the weights of `_linear_array`."""
    response = linear[0, 0, ::-1]
    padded = np.pad(response, (0, -len(response) % phases))
    # Tap 0 of a kernel is the oldest; channel c holds the dry signal, c samples late.
    kernel = padded.reshape(-1, phases)[::-1].T
    unit, zero, zeros = np.eye(phases), np.zeros(1), np.zeros(phases)
    delay = np.outer(unit[0], [1, 0])
    # Each layer: kernel, bias, mix, residual, bias, skip, bias.
    weights = [np.zeros(inputs * phases), zeros, zero, np.ones(1), unit[0], zeros, zeros, zeros]
    for phase in range(1, phases):
        weights += [delay, zero, zero, unit[phase], zeros, zeros, zeros]
    weights += [kernel, zero, zero, zeros, zeros, unit[0], zeros, unit[0]]
    return [weight.astype(np.float32) for weight in weights]


def _legacy(array: dict[str, Any]) -> dict[str, Any] | None:
    """Return a layer array in the keys of version 0.5.4, or None if they do not suffice; the weights are the same."""
    representable = (
        array["bottleneck"] == array["channels"]
        and len(set(array["kernel_sizes"])) == 1
        and array["head"]["kernel_size"] == 1
        and not array["head1x1"]["active"]
    )
    if not representable:
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


def _weight_count(array: dict[str, Any]) -> int:
    """Return the number of weights that NeuralAmpModelerCore reads for a layer array."""
    width, middle, head = array["channels"], array["bottleneck"], array["head"]
    skips = array["head1x1"]["out_channels"] if array["head1x1"]["active"] else 0
    count = array["input_size"] * width
    for taps, gating in zip(array["kernel_sizes"], array["gating_mode"], strict=True):
        rows = middle * (2 if gating == "gated" else 1)
        count += rows * (width * taps + 1 + array["condition_size"]) + width * (middle + 1) + skips * (middle + 1)
    gathered = head["out_channels"] * (skips or middle) * head["kernel_size"]
    return int(count + gathered + head["out_channels"] * head["bias"])
