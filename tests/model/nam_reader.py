"""A NumPy reader of `.nam` files, written from the format description, independent of our writer.

Supports WaveNets of version 0.5 (`head_size`, `kernel_size`, `gated`) and 0.7 (`head`, `kernel_sizes`, `gating_mode`,
`head1x1`, `bottleneck`), without groups, FiLM, blending and post-stack heads. Works in float64; the initial state is
the steady state of silence.
"""

from typing import Any

import numpy as np

Array = np.ndarray


class Weights:
    """Sequential reader of the weight list."""

    def __init__(self, values: list[float]) -> None:
        self._values, self._place = np.array(values, np.float64), 0

    def take(self, *shape: int) -> Array:
        count = int(np.prod(shape))
        assert self._place + count <= len(self._values), "the list is too short"
        found = self._values[self._place : self._place + count].reshape(shape)
        self._place += count
        return found

    @property
    def left(self) -> int:
        return len(self._values) - self._place


def leaky(slope: float, z: Array) -> Array:
    return np.where(z > 0, z, slope * z)


def nonlinear(description: Any, z: Array) -> Array:
    """Apply an activation, given by its name or by its type and parameters."""
    content = {"type": description} if isinstance(description, str) else description
    match content["type"]:
        case "Tanh":
            return np.tanh(z)
        case "Sigmoid":
            return 1 / (1 + np.exp(-z))
        case "ReLU":
            return np.maximum(z, 0)
        case "LeakyReLU":
            return leaky(content.get("negative_slope", 0.01), z)
    raise AssertionError(f"unexpected activation: {description}")


def convolved(x: Array, kernel: Array, bias: Array | None = None, dilation: int = 1) -> Array:
    """Return the valid convolution of `(in, n)` with `(out, in, taps)`, oldest sample first."""
    taps = kernel.shape[2]
    length = x.shape[1] - (taps - 1) * dilation
    out = sum(kernel[:, :, tap] @ x[:, tap * dilation : tap * dilation + length] for tap in range(taps))
    return out if bias is None else out + bias[:, None]


def cut(x: Array, length: int) -> Array:
    return x[:, x.shape[1] - length :]


def modern(array: dict[str, Any]) -> dict[str, Any]:
    """Convert a layer array from the keys of 0.5 to those of 0.7."""
    if "head_size" not in array:
        return array
    count = len(array["dilations"])
    gated = array["gated"]
    return {
        **array,
        "kernel_sizes": [array["kernel_size"]] * count,
        "activation": [array["activation"]] * count,
        "gating_mode": ["gated" if gated else "none"] * count,
        "secondary_activation": ["Sigmoid"] * count,
        "head": {"out_channels": array["head_size"], "kernel_size": 1, "bias": array["head_bias"]},
    }


def receptive_field(content: dict[str, Any]) -> int:
    arrays = [modern(array) for array in content["config"]["layers"]]
    return 1 + sum(
        sum((size - 1) * dilation for size, dilation in zip(array["kernel_sizes"], array["dilations"], strict=True))
        + array["head"]["kernel_size"]
        - 1
        for array in arrays
    )


def play(content: dict[str, Any], dry: Array) -> Array:
    """Return wet samples `(n,)` for dry samples `(n,)`."""
    assert content["architecture"] == "WaveNet"
    config, weights = content["config"], Weights(content["weights"])
    assert config["head"] is None
    padding = receptive_field(content) - 1
    condition = np.concatenate([np.zeros(padding), dry.astype(np.float64)])[None]
    y, head, before = condition, None, None
    for array in map(modern, config["layers"]):
        assert array["condition_size"] == 1
        assert before is None or array["channels"] == before, "the core throws here"
        y, head = _array(array, weights, y, condition, head)
        before = array["head"]["out_channels"]
    assert before == 1
    scale = weights.take(1)[0]
    assert scale == config["head_scale"]
    assert weights.left == 0, "the list is too long"
    assert head is not None
    return cut(scale * head, len(dry))[0]


def _array(
    array: dict[str, Any], weights: Weights, y: Array, condition: Array, head: Array | None
) -> tuple[Array, Array]:
    width, middle = array["channels"], array.get("bottleneck", array["channels"])
    skips = array["head1x1"]["out_channels"] if array.get("head1x1", {}).get("active") else None
    assert array.get("layer1x1", {"active": True})["active"]
    x = convolved(y, weights.take(width, array["input_size"], 1))
    total = head
    for index, dilation in enumerate(array["dilations"]):
        size, gating = array["kernel_sizes"][index], array["gating_mode"][index]
        rows = {"none": 1, "gated": 2}[gating] * middle
        z = convolved(x, weights.take(rows, width, size), weights.take(rows), dilation)
        z = z + cut(convolved(condition, weights.take(rows, 1, 1)), z.shape[1])
        active = nonlinear(array["activation"][index], z[:middle])
        if gating == "gated":
            active = active * nonlinear(array["secondary_activation"][index], z[middle:])
        x = cut(x, z.shape[1]) + convolved(active, weights.take(width, middle, 1), weights.take(width))
        skip = active if skips is None else convolved(active, weights.take(skips, middle, 1), weights.take(skips))
        if total is not None:
            # After a head with several taps the sum of the preceding array is the shorter one.
            length = min(total.shape[1], skip.shape[1])
            skip = cut(total, length) + cut(skip, length)
        total = skip
    assert total is not None
    kernel = weights.take(array["head"]["out_channels"], skips or middle, array["head"]["kernel_size"])
    return x, convolved(total, kernel, weights.take(len(kernel)) if array["head"]["bias"] else None)
