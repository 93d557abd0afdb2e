"""Export as `.onnx`: a graph for block-wise inference with explicit convolution states.

Inputs are `dry`, float32 `(channels, 1, frames)`, and a state for each convolution with left context, float32
`(channels, width, samples)`: its last input samples, oldest first (`state.STACK.LAYER`, and `state.dry` of a linear
filter or a dry path). Outputs are `wet`, of the shape of `dry`, and `next.STATE` for each state, to be passed in with
the next block. Channels and frames are dynamic, at least one of each: the output does not depend on the block size, and
channels are independent. To start, pass zeros as states and process `warm_up_samples` of silence. `wet` lags by
`latency_samples`, the guard of the twin.

The graph uses standard operators only: Conv, Concat, Slice, Split, Add, Mul, Tanh, Sigmoid, Relu, LeakyRelu. Gains are
folded into the weights (`export_weights`). The format holds every network that `architecture` describes.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twinlib.errors import ModelError
from twinlib.extras import describe_missing_modules
from twinlib.files import atomic_path
from twinlib.model.architecture import LEAKY_SLOPE, ActivationName
from twinlib.model.export_metadata import export_metadata
from twinlib.model.export_weights import FoldedLayer, FoldedNetwork, FoldedStack, fold_weights
from twinlib.model.twin import Twin

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

OPSET, IR = 13, 8
"""The oldest sufficient operator set and file version, for old runtimes: ONNX 1.8 and 1.10."""

MIN_FRAMES = 1
"""Smallest block: convolutions of ONNX Runtime refuse to return no samples."""

_END = np.iinfo(np.int64).max


def write_onnx(
    twin: Twin,
    path: Path,
    date: datetime | None = None,
    card: Mapping[str, Any] | None = None,
    verdict: Mapping[str, Any] | None = None,
) -> None:
    """Write a twin as `.onnx`, atomically.

    Equal twins, dates, device cards and verdicts give equal bytes with the same version of onnx.

    Raises `ModelError` if the package onnx is missing or a folded weight is not finite.
    """
    content = onnx_model(twin, date, card, verdict).SerializeToString(deterministic=True)
    with atomic_path(path) as aside:
        aside.write_bytes(content)


def onnx_model(
    twin: Twin,
    date: datetime | None = None,
    card: Mapping[str, Any] | None = None,
    verdict: Mapping[str, Any] | None = None,
) -> "ModelProto":
    """Return the checked ONNX model of a twin; `metadata_props` holds its metadata as strings (JSON if not a string).

    `metadata_props["states"]` is a JSON object: for each state its shape, with `channels` symbolic, and the name of the
    corresponding output. `date` is the time of training, `card` the device card, `verdict` that of the
    evaluation.

    Raises `ModelError` if the package onnx is missing or a folded weight is not finite.
    """
    try:
        import onnx
        from onnx import helper
    except ImportError:
        raise ModelError(f"{describe_missing_modules(['onnx'])}, or export to .nam") from None
    graph = _Graph()
    graph.build(fold_weights(twin))
    names = {"dry": "wet", **{state: f"next.{state}" for state in graph.states}}
    shapes: dict[str, list[str | int]] = {"dry": ["channels", 1, "frames"]}
    shapes |= {state: ["channels", *shape] for state, shape in graph.states.items()}
    floats = onnx.TensorProto.FLOAT
    made = helper.make_graph(
        graph.nodes,
        "twin",
        [helper.make_tensor_value_info(name, floats, shape) for name, shape in shapes.items()],
        [helper.make_tensor_value_info(names[name], floats, shape) for name, shape in shapes.items()],
        graph.weights,
        doc_string=__doc__,
    )
    model = helper.make_model(
        made,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="twinlib",
        doc_string=f"{twin.device}, {twin.model}: {twin.sample_rate} Hz, latency {twin.guard_samples} samples",
    )
    states = {name: {"shape": shape, "next": names[name]} for name, shape in shapes.items() if name != "dry"}
    interface = {"states": states, "min_frames": MIN_FRAMES}
    helper.set_model_props(model, _as_strings({**export_metadata(twin, date, card, verdict), **interface}))
    onnx.checker.check_model(model, full_check=True)
    return model


def _as_strings(content: Mapping[str, Any]) -> dict[str, str]:
    return {
        key: value if isinstance(value, str) else json.dumps(value, sort_keys=True, allow_nan=False)
        for key, value in content.items()
    }


class _Graph:
    """Builder of nodes, weights and states; methods return the name of the added node's output."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []
        self.states: dict[str, tuple[int, int]] = {}

    def build(self, folded: FoldedNetwork) -> None:
        """Add all nodes from `dry` to `wet`."""
        signal, total = "dry", ""
        for index, stack in enumerate(folded.stacks):
            signal, total = self._stack(stack, f"{index}", signal, total)
        if folded.linear is not None:
            extended = self._with_state("state.dry", "dry", 1, folded.linear.shape[2] - 1)
            filtered = self._convolution("linear", extended, folded.linear)
            total = self._node("Add", "linear.added", total, filtered)
        self._node("Mul", "wet", total, self._weight("scale", np.float32(folded.scale)))

    def _stack(self, stack: FoldedStack, name: str, signal: str, total: str) -> tuple[str, str]:
        signal = self._convolution(f"{name}.rechannel", signal, stack.rechannel)
        for index, layer in enumerate(stack.layers):
            prefix = f"{name}.{index}"
            active = self._active(stack, layer, index, prefix, signal)
            skip = active
            if layer.skip is not None:
                skip = self._convolution(f"{prefix}.skip", active, layer.skip, layer.skip_bias)
            total = self._node("Add", f"{prefix}.total", total, skip) if total else skip
            residual = self._convolution(f"{prefix}.residual", active, layer.residual, layer.residual_bias)
            signal = self._node("Add", f"{prefix}.out", signal, residual)
        width, context = stack.head.shape[1], stack.head.shape[2] - 1
        extended = self._with_state(f"state.{name}.head", total, width, context)
        return signal, self._convolution(f"{name}.head", extended, stack.head, stack.head_bias)

    def _active(self, stack: FoldedStack, layer: FoldedLayer, index: int, prefix: str, signal: str) -> str:
        description = stack.description
        dilation, taps = description.dilations[index], description.kernel_sizes[index]
        extended = self._with_state(f"state.{prefix}", signal, description.channels, (taps - 1) * dilation)
        z = self._convolution(f"{prefix}.z", extended, layer.kernel, layer.bias, dilation)
        if layer.mix is not None:
            z = self._node("Add", f"{prefix}.mixed", z, self._convolution(f"{prefix}.mix", "dry", layer.mix))
        return self._activation(description.activation, prefix, z)

    def _activation(self, name: ActivationName, prefix: str, z: str) -> str:
        active = f"{prefix}.active"
        match name:
            case "tanh":
                return self._node("Tanh", active, z)
            case "relu":
                return self._node("Relu", active, z)
            case "leaky_relu":
                return self._node("LeakyRelu", active, z, alpha=LEAKY_SLOPE)
            case "gated" | "adaptive":
                signal, gate = f"{prefix}.signal", f"{prefix}.gate"
                self._add("Split", [z], [signal, gate], axis=1)
                opened = self._node("Sigmoid", f"{prefix}.open", gate)
                return self._node("Mul", active, self._node("Tanh", f"{prefix}.bent", signal), opened)

    def _with_state(self, state: str, signal: str, width: int, count: int) -> str:
        """Prepend `count` samples of left context from a state, and update the state."""
        if not count:
            return signal
        self.states[state] = (width, count)
        extended = f"{state}.extended"
        self._add("Concat", [state, signal], [extended], axis=2)
        self._slice(f"next.{state}", extended, -count, _END)
        return extended

    def _slice(self, name: str, signal: str, start: int, stop: int) -> str:
        bounds = {"start": start, "stop": stop, "axis": 2}
        inputs = [self._weight(f"{name}.{bound}", np.array([value], np.int64)) for bound, value in bounds.items()]
        return self._node("Slice", name, signal, *inputs)

    def _convolution(self, name: str, signal: str, kernel: Any, bias: Any = None, dilation: int = 1) -> str:
        inputs = [signal, self._weight(f"{name}.kernel", kernel)]
        if bias is not None:
            inputs.append(self._weight(f"{name}.bias", bias))
        return self._node("Conv", name, *inputs, dilations=[dilation], kernel_shape=[kernel.shape[2]])

    def _node(self, kind: str, name: str, *inputs: str, **attributes: Any) -> str:
        self._add(kind, list(inputs), [name], **attributes)
        return name

    def _add(self, kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, outputs, name=f"{kind}:{outputs[0]}", **attributes))

    def _weight(self, name: str, value: Any) -> str:
        from onnx import numpy_helper

        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name
