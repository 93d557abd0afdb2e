import dataclasses
import json
import os
import subprocess
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.model import nam_reader
from tests.model.factories import loud_twin, make_twin, networks, noise, with_filter
from twinlib import audio
from twinlib.capture.device_card import DeviceCard
from twinlib.errors import ModelError
from twinlib.model.architecture import PRESETS, Architecture
from twinlib.model.nam import CURRENT, LEGACY, PHASES, SHORT, NamVersion, nam_content, write_nam
from twinlib.model.render import render_file
from twinlib.model.streaming import Stream

NETWORKS = {"small": Architecture().network, "dry": Architecture(dry_path=True).network, **PRESETS}
NEW = {"nam-a2", "damskagg-2019", "original", "dry"}
VERSIONS = (None, "0.7")


def parse_strict_json(text: str) -> dict:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


def assert_same_output(twin, version: NamVersion | None = None, frames: int = 3000) -> None:
    """Assert that an independent reader of the file gives the output of the stream, latency included."""
    content, dry = parse_strict_json(json.dumps(nam_content(twin, version=version))), noise(frames, 1)
    np.testing.assert_allclose(nam_reader.play(content, dry), Stream(twin).process(dry), atol=1e-5)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_presets_play_from_the_file_as_from_the_stream(name, version):
    assert_same_output(loud_twin(NETWORKS[name], guard=12), version)


@settings(max_examples=60, deadline=None)
@given(networks(), st.integers(0, 20), st.integers(0, 9), st.sampled_from(VERSIONS))
def test_any_network_plays_from_the_file_as_from_the_stream(network, guard, seed, version):
    assert_same_output(loud_twin(network, seed, guard), version, 200)


@settings(max_examples=20, deadline=None)
@given(networks(), st.integers(1, 60), st.integers(0, 9))
def test_any_filter_plays_from_the_file_as_from_the_stream(network, taps, seed):
    assert_same_output(with_filter(loud_twin(network, seed), taps, seed), None, 200)


@pytest.mark.parametrize("name", ["small", "nam-a2"])
def test_a_long_filter_plays_from_the_file_as_from_the_stream(name):
    twin = with_filter(loud_twin(NETWORKS[name], guard=12), 1024)
    assert_same_output(twin)
    assert nam_content(twin)["version"] == CURRENT


@pytest.mark.parametrize("taps", [1, SHORT - 1, SHORT, SHORT + 1, 2 * SHORT + PHASES - 1])
@pytest.mark.parametrize("name", ["damskagg-2019", "original", "nam-a2"])
def test_filters_of_any_length_beside_any_skip_and_head_play_as_the_stream(name, taps):
    assert_same_output(with_filter(loud_twin(NETWORKS[name], guard=12), taps), None, 300)


def test_version_for_old_cores_refuses_a_filter_with_the_remedy():
    with pytest.raises(ModelError, match=r"cannot hold the linear filter .* training\.linear_taps: 0"):
        nam_content(with_filter(make_twin(PRESETS["nam-nano"]), 64), version="0.5")


@settings(max_examples=40, deadline=None)
@given(networks())
def test_readers_that_assume_tanh_play_a_file_correctly_or_refuse_it(network):
    content = nam_content(make_twin(network))
    arrays = content["config"]["layers"]
    assumes_tanh = all(array.get("activation") == "Tanh" and array.get("gated") is False for array in arrays)
    assert (content["version"] == LEGACY) <= assumes_tanh


@settings(max_examples=40, deadline=None)
@given(networks(), st.integers(0, 9))
def test_version_for_old_cores_plays_as_the_stream_or_is_refused(network, seed):
    twin = loud_twin(network, seed)
    fits = network.skip == "activation" and not network.dry_path
    fits &= all(len(set(stack.kernel_sizes)) == 1 and stack.head_kernel_size == 1 for stack in network.stacks)
    if fits:
        assert nam_content(twin, version="0.5")["version"] == LEGACY
        assert_same_output(twin, "0.5", 200)
    else:
        with pytest.raises(ModelError, match=r"version 0\.5 of the \.nam format cannot hold this network"):
            nam_content(twin, version="0.5")


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_version_is_the_oldest_sufficient_one(name):
    content = nam_content(make_twin(NETWORKS[name]))
    assert content["version"] == (CURRENT if name in NEW else LEGACY)
    keys = {key for array in content["config"]["layers"] for key in array}
    if name not in NEW:
        assert keys == {
            "input_size", "condition_size", "head_size", "channels", "kernel_size", "dilations", "activation", "gated",
            "head_bias",
        }  # fmt: skip
    assert nam_content(make_twin(NETWORKS[name]), version="0.7")["version"] == CURRENT


def test_weight_count_matches_the_published_network():
    assert len(nam_content(make_twin(PRESETS["nam-standard"]))["weights"]) == 13802


@pytest.mark.parametrize("name", ["small", "original", "nam-a2"])
def test_gains_are_folded_into_weights(name):
    twin = dataclasses.replace(loud_twin(NETWORKS[name]), input_gain=0.3)
    assert_same_output(twin)
    assert_same_output(dataclasses.replace(twin, output_gain=2 * twin.output_gain))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 3))
def test_latency_equals_the_guard_and_is_in_the_metadata(guard):
    twin = make_twin(Architecture(channels=2, kernel_size=2, dilations=(1, 2), dry_path=True).network, guard=guard)
    content = nam_content(twin)
    assert content["metadata"]["twin"]["latency_samples"] == guard
    silent = {name: weight * 0 for name, weight in twin.weights.items()}
    click = np.eye(1, 20, 5, dtype=np.float32)[0]
    wet = nam_reader.play(nam_content(dataclasses.replace(twin, weights=silent)), click)
    gain = twin.input_gain * twin.output_gain
    np.testing.assert_allclose(wet, gain * np.eye(1, 20, 5 + guard)[0], atol=1e-6)


def test_metadata_holds_the_origin():
    twin = dataclasses.replace(make_twin(PRESETS["nam-nano"], guard=9), metadata={"valid_esr": 0.02, "step": 7})
    content = nam_content(twin, datetime(2026, 3, 4, 5, 6, 7))
    assert content["sample_rate"] == 44100
    metadata = content["metadata"]
    assert metadata["name"] == "box"
    assert metadata["date"] == {"year": 2026, "month": 3, "day": 4, "hour": 5, "minute": 6, "second": 7}
    assert metadata["training"] == {"validation_esr": 0.02}
    exported = metadata["twin"]
    assert [exported[key] for key in ("device", "model", "dataset", "latency_samples")] == ["box", "tiny", "d1ge57", 9]
    assert exported["validation_esr"] == 0.02
    assert exported["receptive_field"] == 4093
    assert "date" not in nam_content(twin)["metadata"]


def test_metadata_holds_the_device_card_under_the_keys_of_players():
    card = DeviceCard.model_validate(
        {
            "name": "Gold", "make": "Klon", "model": "Centaur", "serial": "1234", "gear_type": "pedal",
            "tone_type": "overdrive", "modeled_by": "A. Engineer", "input_level_dbu": 12.5, "output_level_dbu": 13,
            "date": "2026-05-01", "recorded_by": "B. Friend", "interface": "two channels", "cables": "DI box",
        }
    ).given  # fmt: skip
    metadata = nam_content(make_twin(PRESETS["nam-nano"]), card=card)["metadata"]
    assert {key: metadata[key] for key in metadata if key not in ("twin", "loudness")} == {
        "name": "Gold", "gear_make": "Klon", "gear_model": "Centaur", "gear_type": "pedal", "tone_type": "overdrive",
        "modeled_by": "A. Engineer", "input_level_dbu": 12.5, "output_level_dbu": 13.0,
    }  # fmt: skip
    assert metadata["twin"]["device_card"] == card


def test_metadata_holds_the_verdict_of_the_evaluation():
    verdict = {"verdict": "usable", "reasons": ["1 of 2 takes are suspect"], "takes": {"one": {"verdict": "suspect"}}}
    twin = make_twin(PRESETS["nam-nano"])
    assert nam_content(twin, verdict=verdict)["metadata"]["twin"]["verdict"] == verdict
    assert nam_content(twin)["metadata"]["twin"]["verdict"] == {}


def test_loudness_follows_the_output_gain():
    twin = make_twin(PRESETS["nam-nano"])
    before = nam_content(twin)["metadata"]["loudness"]
    after = nam_content(dataclasses.replace(twin, output_gain=10 * twin.output_gain))["metadata"]["loudness"]
    assert after - before == pytest.approx(20, abs=0.02)


def test_silent_twin_has_no_loudness():
    twin = make_twin(PRESETS["nam-nano"])
    silent = {name: weight * 0 for name, weight in twin.weights.items()}
    assert nam_content(dataclasses.replace(twin, weights=silent))["metadata"]["loudness"] is None


def test_equal_twins_give_equal_bytes_and_a_date_changes_only_the_date(tmp_path):
    for name, date in (("a", None), ("b", None), ("c", datetime(2026, 1, 1)), ("d", datetime(2026, 1, 1))):
        write_nam(make_twin(PRESETS["original"]), tmp_path / name, date)
    read = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert read["a"] == read["b"]
    assert read["c"] == read["d"]
    dated, plain = parse_strict_json(read["c"]), parse_strict_json(read["a"])
    del dated["metadata"]["date"], dated["metadata"]["twin"]["date"], plain["metadata"]["twin"]["date"]
    assert dated == plain


@pytest.mark.parametrize("gains", [{"input_gain": 1e39}, {"output_gain": 1e42}, {"output_gain": 1e-60}])
def test_float32_overflow_raises(tmp_path, gains):
    twin = dataclasses.replace(make_twin(PRESETS["nam-nano"]), **gains)
    with pytest.raises(ModelError, match="float32"):
        write_nam(twin, tmp_path / "twin.nam")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_exported_file_matches_rendered_file(tmp_path, name):
    twin = loud_twin(NETWORKS[name], guard=12)
    dry = noise(audio.BLOCK + 10_000, 2)
    audio.write(tmp_path / "dry.wav", dry, 44100, "FLOAT")
    render_file(twin, tmp_path / "dry.wav", tmp_path / "wet.wav")
    write_nam(twin, tmp_path / "twin.nam")
    content = parse_strict_json((tmp_path / "twin.nam").read_text())
    latency = content["metadata"]["twin"]["latency_samples"]
    wet = nam_reader.play(content, np.append(dry, np.zeros(latency, np.float32)))[latency:]
    np.testing.assert_allclose(wet, audio.read(tmp_path / "wet.wav")[:, 0], atol=1e-5)


TRAINER = """
import json, sys
import numpy as np
import torch
from nam.models import init_from_nam

torch.set_num_threads(1)
dry = torch.from_numpy(np.load(sys.argv[1]))
for path in sys.argv[2:]:
    model = init_from_nam(json.load(open(path)))
    model.eval()
    with torch.no_grad():
        np.save(path + ".npy", model(dry, pad_start=True).numpy())
"""


@pytest.fixture(scope="module")
def trainer() -> str:
    """Interpreter of an environment with neural-amp-modeler 0.13.0; `.ci/run` makes it."""
    found = os.environ.get("NAM_PYTHON")
    if not found:
        pytest.skip("NAM_PYTHON does not name an interpreter with neural-amp-modeler 0.13.0")
    return found


@pytest.mark.slow
def test_neural_amp_modeler_plays_all_presets(trainer: str, tmp_path: Path) -> None:
    dry, twins = noise(9000, 3), {name: loud_twin(network, guard=12) for name, network in NETWORKS.items()}
    twins |= {f"{name} and a filter": with_filter(twins[name], 1024) for name in ("small", "nam-a2")}
    np.save(tmp_path / "dry.npy", dry)
    for name, twin in twins.items():
        # The trainer reads version 0.7.0 only.
        (tmp_path / f"{name}.nam").write_text(json.dumps(nam_content(twin, version="0.7")))
    paths = [str(tmp_path / f"{name}.nam") for name in twins]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [trainer, "-c", TRAINER, str(tmp_path / "dry.npy"), *paths],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name, twin in twins.items():
        wet = np.load(tmp_path / f"{name}.nam.npy")
        np.testing.assert_allclose(wet, Stream(twin).process(dry), atol=1e-5, err_msg=name)
