import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.model.factories import make_twin, with_filter
from twinlib.contracts import TWIN, TWIN_FILE
from twinlib.errors import ModelError
from twinlib.model.architecture import PRESETS
from twinlib.model.streaming import Stream
from twinlib.model.tensors import load_tensors, save_tensors
from twinlib.model.twin import LINEAR, load_twin


def header(twin) -> dict:
    names = ("sample_rate", "guard_samples", "input_gain", "output_gain", "device", "model", "dataset")
    content = {name: getattr(twin, name) for name in names}
    return {**content, "metadata": dict(twin.metadata), "network": twin.network.model_dump(mode="json")}


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_save_load_round_trip(tmp_path, name):
    twin = make_twin(PRESETS[name])
    twin.save(tmp_path / TWIN_FILE)
    for place in (tmp_path, tmp_path / TWIN_FILE):
        found = load_twin(place)
        assert dataclasses.replace(found, weights={}) == dataclasses.replace(twin, weights={})
        assert found.weights.keys() == twin.weights.keys()
        assert all(np.array_equal(found.weights[key], twin.weights[key]) for key in twin.weights)


def test_linear_filter_is_saved_and_checked(tmp_path, tiny):
    twin = with_filter(tiny, 9)
    twin.save(tmp_path / TWIN_FILE)
    assert np.array_equal(load_twin(tmp_path).linear_filter, twin.linear_filter)
    assert tiny.linear_filter is None
    for wrong in (np.zeros(0), np.zeros(tiny.network.receptive_field + 1), np.zeros((1, 4)), np.float32(1)):
        broken = dataclasses.replace(tiny, weights={**tiny.weights, LINEAR: np.asarray(wrong, np.float32)})
        with pytest.raises(ModelError, match=r"linear\.kernel"):
            broken.save(tmp_path / TWIN_FILE)
    double = dataclasses.replace(tiny, weights={**tiny.weights, LINEAR: np.zeros(4)})
    with pytest.raises(ModelError, match="float64"):
        double.save(tmp_path / TWIN_FILE)


def test_the_state_of_a_module_is_a_twin(tmp_path, tiny):
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(weight.copy()) for name, weight in tiny.weights.items()}
    dataclasses.replace(tiny, weights=tensors).save(tmp_path / TWIN_FILE)
    assert all(np.array_equal(weight, tiny.weights[name]) for name, weight in load_twin(tmp_path).weights.items())


def test_loaded_twin_gives_equal_output(tmp_path, tiny):
    dry = np.random.default_rng(1).standard_normal(200).astype(np.float32)
    tiny.save(tmp_path / "t.safetensors")
    assert np.array_equal(Stream(load_twin(tmp_path / "t.safetensors")).process(dry), Stream(tiny).process(dry))


def test_equal_twins_are_equal_bytes_across_processes(tmp_path, tiny):
    tiny.save(tmp_path / "first.safetensors")
    code = (
        "import sys; from pathlib import Path; from twinlib.model.twin import load_twin;"
        "load_twin(Path(sys.argv[1])).save(Path(sys.argv[2]))"
    )
    arguments = [str(tmp_path / "first.safetensors"), str(tmp_path / "second.safetensors")]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)
    assert (tmp_path / "first.safetensors").read_bytes() == (tmp_path / "second.safetensors").read_bytes()


def test_missing_file_raises(tmp_path):
    with pytest.raises(ModelError, match="does not exist"):
        load_twin(tmp_path)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"\x80\x04K\x01.", b"\xff" * 64])
def test_other_file_formats_raise(tmp_path, content):
    (tmp_path / TWIN_FILE).write_bytes(content)
    with pytest.raises(ModelError, match="not a readable safetensors"):
        load_twin(tmp_path)


@pytest.mark.parametrize("keep", [10, 200, 0.5, -1])
def test_truncated_file_raises(tmp_path, tiny, keep):
    tiny.save(tmp_path / TWIN_FILE)
    content = (tmp_path / TWIN_FILE).read_bytes()
    (tmp_path / TWIN_FILE).write_bytes(content[: int(keep * len(content)) if keep == 0.5 else keep])
    with pytest.raises(ModelError, match="not a readable safetensors"):
        load_twin(tmp_path)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"twinlib": "[]"}, {"twinlib": '{"contract": "twin/9"}'}])
def test_other_contract_raises(tmp_path, tiny, metadata):
    save_file(dict(tiny.weights), tmp_path / TWIN_FILE, metadata)
    with pytest.raises(ModelError, match="not twin/1"):
        load_twin(tmp_path)


def test_non_json_header_raises(tmp_path, tiny):
    save_file(dict(tiny.weights), tmp_path / TWIN_FILE, {"twinlib": "{"})
    with pytest.raises(ModelError, match="not a readable"):
        load_twin(tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sample_rate", 0),
        ("guard_samples", -1),
        ("input_gain", None),
        ("output_gain", 0.0),
        ("network", {}),
        ("colour", "red"),
    ],
)
def test_header_value_out_of_range_raises(tmp_path, tiny, key, value):
    save_tensors(tmp_path / TWIN_FILE, TWIN, {**header(tiny), key: value}, tiny.weights)
    with pytest.raises(ModelError, match=key):
        load_twin(tmp_path)


def test_header_with_a_missing_key_raises(tmp_path, tiny):
    content = header(tiny)
    del content["sample_rate"]
    save_tensors(tmp_path / TWIN_FILE, TWIN, content, tiny.weights)
    with pytest.raises(ModelError, match="sample_rate"):
        load_twin(tmp_path)


def test_weights_of_wrong_shape_raise(tmp_path, tiny):
    name = "stacks.0.layers.1.kernel"
    broken = {
        "missing weights": {key: value for key, value in tiny.weights.items() if key != name},
        "unexpected weights": {**tiny.weights, "extra": np.zeros(1, np.float32)},
        r"\(3, 3, 2\)": {**tiny.weights, name: tiny.weights[name][:, :, :2]},
        "float64": {**tiny.weights, name: tiny.weights[name].astype(np.float64)},
    }
    for message, weights in broken.items():
        save_tensors(tmp_path / TWIN_FILE, TWIN, header(tiny), weights)
        with pytest.raises(ModelError, match=message):
            load_twin(tmp_path)
        with pytest.raises(ModelError, match=message):
            dataclasses.replace(tiny, weights=weights).save(tmp_path / "other.safetensors")
        assert not (tmp_path / "other.safetensors").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_weights_raise(tmp_path, tiny, value):
    weights = {name: tensor.copy() for name, tensor in tiny.weights.items()}
    weights["stacks.0.head_bias"][0] = value
    with pytest.raises(ModelError, match="head_bias"):
        dataclasses.replace(tiny, weights=weights).save(tmp_path / TWIN_FILE)
    save_file(weights, tmp_path / TWIN_FILE, {"twinlib": json.dumps({"contract": TWIN, **header(tiny)})})
    with pytest.raises(ModelError, match="head_bias"):
        load_twin(tmp_path)


def test_failed_save_keeps_the_old_file(tmp_path, tiny):
    tiny.save(tmp_path / TWIN_FILE)
    before = (tmp_path / TWIN_FILE).read_bytes()
    with pytest.raises(ModelError):
        dataclasses.replace(tiny, weights={}).save(tmp_path / TWIN_FILE)
    assert (tmp_path / TWIN_FILE).read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [TWIN_FILE]


def test_tensors_of_any_dtype_and_layout_round_trip(tmp_path):
    tensors = {"b": np.arange(6).reshape(2, 3).T, "a": np.array(1.5)}
    save_tensors(tmp_path / "x", "thing/1", {"n": 0.1}, tensors)
    found, loaded = load_tensors(tmp_path / "x", "thing/1")
    assert found == {"n": 0.1}
    assert all(np.array_equal(loaded[name], tensors[name]) for name in tensors)


def test_header_with_nan_raises(tmp_path):
    with pytest.raises(ModelError, match="not JSON"):
        save_tensors(tmp_path / "x", "thing/1", {"n": float("nan")}, {})
