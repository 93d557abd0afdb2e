import builtins
import dataclasses
import json
from datetime import datetime

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.model.factories import loud_twin, make_twin, networks, noise, with_filter
from twinlib import audio
from twinlib.errors import ModelError
from twinlib.model.architecture import PRESETS, Architecture
from twinlib.model.onnx_export import onnx_model, write_onnx
from twinlib.model.render import render_file
from twinlib.model.streaming import Stream

NETWORKS = {"small": Architecture().network, "dry": Architecture(dry_path=True).network, **PRESETS}


class Player:
    """Player of a file that uses only its inputs, outputs and metadata."""

    def __init__(self, content: bytes, channels: int) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self.props = self._session.get_modelmeta().custom_metadata_map
        self.states = json.loads(self.props["states"])
        shapes = {name: [channels, *state["shape"][1:]] for name, state in self.states.items()}
        self._states = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
        silence = np.zeros((int(self.props["warm_up_samples"]), channels), np.float32)
        if len(silence):
            self.process(silence)

    def process(self, dry: np.ndarray) -> np.ndarray:
        """`(frames, channels)`."""
        names = ["wet", *(state["next"] for state in self.states.values())]
        found = dict(zip(names, self._session.run(names, {"dry": dry.T[:, None], **self._states}), strict=True))
        self._states = {name: found[state["next"]] for name, state in self.states.items()}
        return found["wet"][:, 0].T

    def in_blocks(self, dry: np.ndarray, sizes: list[int]) -> np.ndarray:
        parts, start = [], 0
        while start < len(dry):
            size = sizes[len(parts) % len(sizes)]
            parts.append(self.process(dry[start : start + size]))
            start += size
        return np.concatenate(parts)


def assert_same_output(twin, dry: np.ndarray, sizes: list[int]) -> None:
    player = Player(onnx_model(twin).SerializeToString(), dry.shape[1])
    wanted = Stream(twin, dry.shape[1]).process(dry)
    np.testing.assert_allclose(player.in_blocks(dry, sizes), wanted, atol=1e-5)


@pytest.mark.parametrize("name", sorted(NETWORKS))
@pytest.mark.parametrize("sizes", [[3000], [1, 64, 511]])
def test_presets_match_the_stream_for_any_block_size(name, sizes):
    assert_same_output(loud_twin(NETWORKS[name], guard=12), noise(3000, 1)[:, None], sizes)


@settings(max_examples=40, deadline=None)
@given(
    networks(), st.integers(0, 20), st.integers(1, 3), st.lists(st.integers(1, 60), min_size=1, max_size=5),
    st.integers(0, 9),
)  # fmt: skip
def test_any_network_matches_the_stream_for_any_block_size(network, guard, channels, sizes, seed):
    dry = np.stack([noise(200, channel) for channel in range(channels)], axis=1)
    assert_same_output(loud_twin(network, seed, guard), dry, sizes)


@settings(max_examples=20, deadline=None)
@given(networks(), st.integers(1, 60), st.lists(st.integers(1, 60), min_size=1, max_size=5), st.integers(0, 9))
def test_any_filter_matches_the_stream_for_any_block_size(network, taps, sizes, seed):
    assert_same_output(with_filter(loud_twin(network, seed), taps, seed), noise(200, seed)[:, None], sizes)


@pytest.mark.parametrize("sizes", [[3000], [1, 64, 511]])
def test_a_long_filter_matches_the_stream(sizes):
    twin = with_filter(loud_twin(NETWORKS["small"], guard=12), 1024)
    assert_same_output(twin, noise(3000, 1)[:, None], sizes)
    props = {prop.key: prop.value for prop in onnx_model(twin).metadata_props}
    assert json.loads(props["states"])["state.dry"]["shape"] == ["channels", 1, 1023]


def test_the_smallest_block_is_documented():
    player = Player(onnx_model(make_twin(PRESETS["nam-nano"])).SerializeToString(), 1)
    smallest = int(player.props["min_frames"])
    assert player.process(np.zeros((smallest, 1), np.float32)).shape == (smallest, 1)
    with pytest.raises(Exception, match="ONNXRuntimeError"):
        player.process(np.zeros((smallest - 1, 1), np.float32))


def test_channels_are_independent():
    content = onnx_model(loud_twin(NETWORKS["small"])).SerializeToString()
    dry = np.stack([noise(500, 1), noise(500, 2)], axis=1)
    both = Player(content, 2).process(dry)
    for channel in range(2):
        alone = Player(content, 1).process(dry[:, channel : channel + 1])
        np.testing.assert_allclose(both[:, channel : channel + 1], alone, atol=1e-6)


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_metadata_describes_all_inputs_and_outputs(name):
    model = onnx_model(make_twin(NETWORKS[name]))
    props = {prop.key: prop.value for prop in model.metadata_props}
    states = json.loads(props["states"])
    assert {value.name for value in model.graph.input} == {"dry", *states}
    assert {value.name for value in model.graph.output} == {"wet", *(state["next"] for state in states.values())}
    for value in model.graph.input:
        shape = [dimension.dim_param or dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        assert shape == (["channels", 1, "frames"] if value.name == "dry" else states[value.name]["shape"])
    assert {entry.domain for entry in model.opset_import} == {""}


def test_metadata_holds_the_origin():
    twin = dataclasses.replace(make_twin(PRESETS["nam-nano"], guard=9), metadata={"valid_esr": 0.02})
    props = {prop.key: prop.value for prop in onnx_model(twin, datetime(2026, 3, 4, 5, 6, 7)).metadata_props}
    wanted = {
        "device": "box", "model": "tiny", "dataset": "d1ge57", "sample_rate": "44100", "latency_samples": "9",
        "warm_up_samples": "4092", "validation_esr": "0.02", "date": "2026-03-04T05:06:07",
    }  # fmt: skip
    assert {key: props[key] for key in wanted} == wanted


def test_equal_twins_give_equal_bytes(tmp_path):
    for name in ("a", "b"):
        write_onnx(make_twin(PRESETS["original"]), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    onnx.checker.check_model(tmp_path / "a", full_check=True)


def test_float32_overflow_raises(tmp_path):
    twin = dataclasses.replace(make_twin(PRESETS["nam-nano"]), input_gain=1e39)
    with pytest.raises(ModelError, match="float32"):
        write_onnx(twin, tmp_path / "twin.onnx")
    assert list(tmp_path.iterdir()) == []


def test_missing_package_raises_with_the_install_command(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments):
        if name.split(".")[0] == "onnx":
            raise ImportError(name)
        return real(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModelError, match=r"onnx is not installed.*export.*, or export to \.nam"):
        write_onnx(make_twin(PRESETS["nam-nano"]), tmp_path / "twin.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_exported_file_matches_rendered_file(tmp_path, name):
    twin, dry = loud_twin(NETWORKS[name], guard=12), noise(audio.BLOCK + 10_000, 2)
    audio.write(tmp_path / "dry.wav", dry, 44100, "FLOAT")
    render_file(twin, tmp_path / "dry.wav", tmp_path / "wet.wav")
    write_onnx(twin, tmp_path / "twin.onnx")
    player = Player((tmp_path / "twin.onnx").read_bytes(), 1)
    latency = int(player.props["latency_samples"])
    wet = player.in_blocks(np.append(dry, np.zeros(latency, np.float32))[:, None], [4096, 1, 512])[latency:]
    np.testing.assert_allclose(wet, audio.read(tmp_path / "wet.wav"), atol=1e-5)
