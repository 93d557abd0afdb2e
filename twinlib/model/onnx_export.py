"""A twin as an `.onnx` file: a graph that plays block by block, with the memory of every convolution in plain sight.

Inputs are `dry`, float32 `(channels, 1, frames)`, and for every convolution that looks back a state
`state.STACK.LAYER`, float32 `(channels, width, samples)`: the last samples of what it read, oldest first. Outputs are
`wet`, of the shape of `dry`, and `next.STATE` for each state, to be given back with the next block. Channels and frames
are free in every call, so any block sizes give the same samples; channels do not hear each other. To start, give zeros
as states and play `warm_up_samples` of silence. `wet` is late by `latency_samples`, the guard of the twin.

Nothing runs but operators of the standard set: Conv, Concat, Slice, Split, Add, Mul, Tanh, Sigmoid, Relu, LeakyRelu.
Gains are in the weights (`folding`). Every network that `architecture` describes can be held.
"""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twinlib.errors import ModelError
from twinlib.files import written_aside
from twinlib.model.architecture import ActivationName
from twinlib.model.export_metadata import card
from twinlib.model.export_weights import Folded, FoldedLayer, FoldedStack, fold
from twinlib.model.twin import Twin

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

OPSET, IR = 13, 8
"""The oldest operator set and file version that say all of it, for old runtimes: ONNX 1.8 and 1.10."""

SLOPE = 0.01
"""Below zero, of leaky rectifiers."""

_END = np.iinfo(np.int64).max


def write_onnx(twin: Twin, path: Path, date: datetime | None = None) -> None:
    """Write a twin as `.onnx`, whole or not at all; equal twins and dates give equal bytes with one version of onnx.

    Raises `ModelError` if the package onnx is missing, or if the weights, once gains are folded in, are not finite.
    """
    content = onnx_model(twin, date).SerializeToString(deterministic=True)
    with written_aside(path) as aside:
        aside.write_bytes(content)


def onnx_model(twin: Twin, date: datetime | None = None) -> "ModelProto":
    """The model of a twin, checked; `metadata_props` hold its card as strings (JSON where it is no string).

    `metadata_props["states"]` is a JSON object: for every state its shape with `channels` in words, and the name of
    the output that continues it. `date`: when the twin was trained. Raises `ModelError` as `write_onnx` does.
    """
    try:
        import onnx
        from onnx import helper
    except ImportError:
        raise ModelError(
            "an .onnx file is written with the package onnx, which is not installed here: pip install onnx, or export "
            "a .nam file"
        ) from None
    graph = _Graph()
    graph.build(fold(twin))
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
        doc_string=f"{twin.device} as {twin.model}: {twin.sample_rate} Hz, late by {twin.guard_samples} samples",
    )
    states = {name: {"shape": shape, "next": names[name]} for name, shape in shapes.items() if name != "dry"}
    helper.set_model_props(model, _strings({**card(twin, date), "states": states}))
    onnx.checker.check_model(model, full_check=True)
    return model


def _strings(content: Mapping[str, Any]) -> dict[str, str]:
    return {
        key: value if isinstance(value, str) else json.dumps(value, sort_keys=True, allow_nan=False)
        for key, value in content.items()
    }


class _Graph:
    """The nodes, weights and states of a graph that is being built; methods return the name of what they add."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []
        self.states: dict[str, tuple[int, int]] = {}

    def build(self, folded: Folded) -> None:
        """Everything from `dry` to `wet`."""
        signal, total = "dry", ""
        for index, stack in enumerate(folded.stacks):
            signal, total = self._stack(stack, f"{index}", signal, total)
        if folded.dry_gain:
            late = self._extended("state.dry", "dry", 1, folded.dry_delay)
            if folded.dry_delay:
                late = self._slice("dry.late", late, 0, -folded.dry_delay)
            gain = self._weight("dry.gain", np.float32(folded.dry_gain))
            total = self._node("Add", "dry.added", total, self._node("Mul", "dry.level", late, gain))
        self._node("Mul", "wet", total, self._weight("scale", np.float32(folded.scale)))

    def _stack(self, stack: FoldedStack, name: str, signal: str, total: str) -> tuple[str, str]:
        signal = self._convolution(f"{name}.rechannel", signal, stack.rechannel)
        for index, layer in enumerate(stack.layers):
            place = f"{name}.{index}"
            active = self._active(stack, layer, index, place, signal)
            skip = active
            if layer.skip is not None:
                skip = self._convolution(f"{place}.skip", active, layer.skip, layer.skip_bias)
            total = self._node("Add", f"{place}.total", total, skip) if total else skip
            residual = self._convolution(f"{place}.residual", active, layer.residual, layer.residual_bias)
            signal = self._node("Add", f"{place}.out", signal, residual)
        width, look_back = stack.head.shape[1], stack.head.shape[2] - 1
        before = self._extended(f"state.{name}.head", total, width, look_back)
        return signal, self._convolution(f"{name}.head", before, stack.head, stack.head_bias)

    def _active(self, stack: FoldedStack, layer: FoldedLayer, index: int, place: str, signal: str) -> str:
        description = stack.description
        dilation, taps = description.dilations[index], description.kernel_sizes[index]
        before = self._extended(f"state.{place}", signal, description.channels, (taps - 1) * dilation)
        z = self._convolution(f"{place}.z", before, layer.kernel, layer.bias, dilation)
        if layer.mix is not None:
            z = self._node("Add", f"{place}.mixed", z, self._convolution(f"{place}.mix", "dry", layer.mix))
        return self._activation(description.activation, place, z)

    def _activation(self, name: ActivationName, place: str, z: str) -> str:
        active = f"{place}.active"
        match name:
            case "tanh":
                return self._node("Tanh", active, z)
            case "relu":
                return self._node("Relu", active, z)
            case "leaky_relu":
                return self._node("LeakyRelu", active, z, alpha=SLOPE)
            case "gated" | "adaptive":
                signal, gate = f"{place}.signal", f"{place}.gate"
                self._add("Split", [z], [signal, gate], axis=1)
                opened = self._node("Sigmoid", f"{place}.open", gate)
                return self._node("Mul", active, self._node("Tanh", f"{place}.bent", signal), opened)

    def _extended(self, state: str, signal: str, width: int, count: int) -> str:
        """The signal with `count` samples before it, which become a state."""
        if not count:
            return signal
        self.states[state] = (width, count)
        extended = f"{state}.extended"
        self._add("Concat", [state, signal], [extended], axis=2)
        self._slice(f"next.{state}", extended, -count, _END)
        return extended

    def _slice(self, name: str, signal: str, start: int, stop: int) -> str:
        bounds = {"start": start, "stop": stop, "axis": 2}
        places = [self._weight(f"{name}.{bound}", np.array([value], np.int64)) for bound, value in bounds.items()]
        return self._node("Slice", name, signal, *places)

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
