import importlib.util
import json
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from tests.evaluation.factories import RATE, device, music, near, reader
from twinlib.dataset.shards import ShardMetadata, write_shard
from twinlib.errors import ConfigError, DatasetError, ModelError, TwinError
from twinlib.evaluation.evaluate import evaluate_pair, evaluate_twin, evaluation_seconds
from twinlib.evaluation.metrics import ErrorAccumulator
from twinlib.evaluation.settings import Evaluation
from twinlib.files import read_json, sha256_file
from twinlib.model.architecture import Architecture
from twinlib.model.streaming import Stream
from twinlib.model.twin import Twin
from twinlib.model.wavenet import WaveNet
from twinlib.reports.evaluation_files import write_evaluation

# The third row of the test split contains the crossfade of two tracks.
TRACKS = [["track"]] * 16 + [["one"]] * 2 + [["one", "two"]] + [["two"]] * 5
GUARD, SIZE, ROWS = 12, 2048, 24
SETTINGS = Evaluation(linear_taps=64, clip_seconds=0.5)
CHECKS = {"take_verdict": "ok", "take_reasons": [], "alignment_verdict": "ok", "alignment_reasons": []}
DATASET = {"digest": "d" * 64, "sample_rate": RATE, "guard_samples": GUARD, "captures": {"take": CHECKS}}
CURVE = pd.DataFrame(
    {
        "seed": 0,
        "step": [0, 9],
        "cpu_seconds": [0.0, 1.0],
        "learning_rate": 0.01,
        "loss": [1.0, 0.1],
        "valid_esr": [np.nan, 0.2],
    }
)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def twin():
    network = Architecture(channels=3, kernel_size=2, dilations=(1, 2, 4)).network
    weights = WaveNet(network, seed=1).weights()
    return Twin(network, weights, RATE, GUARD, output_gain=20.0, device="silk", model="tiny", dataset=DATASET["digest"])


@pytest.fixture(scope="module")
def signals():
    dry = music(SIZE * ROWS)
    return dry, device(dry, GUARD)


@pytest.fixture(scope="module")
def stored(tmp_path_factory, twin, signals):
    """A folder with a twin and a shard of one capture, and its segments: train, valid, test."""
    folder = tmp_path_factory.mktemp("stored")
    twin.save(folder / "twin.safetensors")
    splits = ["train"] * 8 + ["valid"] * 8 + ["test"] * 8
    rows = [
        {
            "segment_id": f"silk/take/{row * SIZE:010d}",
            "device": "silk",
            "capture": "take",
            "start": row * SIZE,
            "stop": (row + 1) * SIZE,
            "split": split,
            "context": row % 8 * SIZE,
            "track_ids": TRACKS[row],
            "sources": ["path[0:1]"],
            "licences": ["CC0"],
            "artists": ["artist"],
            "settings": "{}",
            "take_sha256": "0" * 64,
            "lag": 0.0,
            "residual": 0.0,
            "flags": [],
            "shard": "",
            "row": -1,
            "dry_sha256": "",
            "wet_sha256": "",
        }
        for row, split in enumerate(splits)
    ]
    metadata = ShardMetadata("silk", "take", RATE, SIZE, GUARD, "0" * 64, True)
    dry, wet = signals
    table = write_shard(folder / "take.arrow", pd.DataFrame(rows), reader(dry), reader(wet), metadata)
    return folder, table


def run(stored, dataset=DATASET, settings=SETTINGS):
    folder, table = stored
    return evaluate_twin(folder / "twin.safetensors", table, folder, dataset, settings)


@pytest.fixture(scope="module")
def evaluated(stored, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluation")
    found = run(stored)
    write_evaluation(out, found, CURVE)
    return found.metrics, out


def test_metrics_follow_the_contract(evaluated, stored):
    metrics, out = evaluated
    assert metrics == read_json(out / "metrics.json", "metrics/1")
    names = (
        "esr esr_db esr_preemphasis esr_dry esr_gain esr_linear gain_over_linear_db mr_stft mae dc lufs_difference_db"
    )
    for name in [*names.split(), "seconds"]:
        assert metrics[name] == metrics["splits"]["test"][name]
        assert name in metrics["splits"]["valid"]
    assert list(metrics["splits"]) == ["valid", "test"]
    assert metrics["device"] == "silk"
    assert metrics["model"] == "tiny"
    assert metrics["dataset"] == DATASET["digest"]
    assert metrics["twin_sha256"] == sha256_file(stored[0] / "twin.safetensors")
    assert metrics["receptive_field"] == 8
    assert metrics["linear_taps"] == 0
    assert metrics["sample_rate"] == RATE
    assert metrics["parameters"] > 0
    assert metrics["realtime_factor"] > 0
    assert metrics["aliasing"]["worst_db"] == max(sine["alias_db"] for sine in metrics["aliasing"]["sines"])
    assert metrics["aliasing"]["probe"] == []


def test_verdict_is_in_the_metrics_and_in_a_file_of_its_own(evaluated, stored):
    metrics, out = evaluated
    found = read_json(out / "verdict.json", "verdict/1")
    assert {name: value for name, value in found.items() if name != "contract"} == {
        name: metrics[name] for name in ("device", "model", "twin_sha256", "verdict", "reasons", "findings", "takes")
    }
    # The network is not trained.
    assert metrics["verdict"] == "not usable"
    assert metrics["takes"] == {"take": {"verdict": "ok", "reasons": [], "findings": []}}
    suspect = {**DATASET, "captures": {"take": {**CHECKS, "take_verdict": "suspect", "take_reasons": ["clipped"]}}}
    judged = run(stored, suspect).metrics
    assert judged["takes"]["take"] == {"verdict": "suspect", "reasons": ["clipped"], "findings": []}
    assert "1 of 1 take is suspect or refused (take): check or repeat this recording" in judged["reasons"]


def test_errors_equal_those_of_the_rendered_signal(evaluated, twin, signals):
    dry, wet = signals
    rendered = Stream(twin, 1).process(dry)
    # The first 63 samples of each split serve as history of the linear filter.
    for split, begin in (("valid", 8 * SIZE), ("test", 16 * SIZE)):
        first, stop = begin + 63, begin + 8 * SIZE
        errors = ErrorAccumulator(RATE)
        errors.add(wet[first:stop], rendered[first:stop])
        found = evaluated[0]["splits"][split]
        for name, value in errors.result().items():
            assert found[name] == near(value, 1e-4), (split, name)


def test_figures_and_clips_are_written(evaluated):
    _, out = evaluated
    found = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert found == [
        "figures/esr.svg",
        "figures/esr_over_time.svg",
        "figures/learning.svg",
        "figures/spectrum.svg",
        "figures/transfer.svg",
        "figures/waveform.svg",
        "linear.json",
        "listening/clips.json",
        "listening/difference.flac",
        "listening/dry.flac",
        "listening/linear.flac",
        "listening/twin.flac",
        "listening/wet.flac",
        "metrics.json",
        "verdict.json",
    ]
    assert read_json(out / "listening" / "clips.json", "clips/1")["seconds"] == 0.5


def test_evaluation_is_reproducible_except_speed(evaluated, stored, tmp_path):
    write_evaluation(tmp_path, run(stored), CURVE)
    for path in sorted(evaluated[1].rglob("*")):
        other = tmp_path / path.relative_to(evaluated[1])
        if path.name == "metrics.json":
            both = [json.loads(file.read_text()) for file in (path, other)]
            assert both[0].pop("realtime_factor") > 0 < both[1].pop("realtime_factor")
            assert both[0] == both[1]
        elif path.is_file():
            assert path.read_bytes() == other.read_bytes(), path.name


def test_training_split_is_optional(stored):
    settings = Evaluation(linear_taps=64, clip_seconds=0.5, judge_train=True)
    assert list(run(stored, settings=settings).metrics["splits"]) == ["train", "valid", "test"]
    # The residual is measured in a second pass over all splits.
    assert evaluation_seconds(stored[1], settings, RATE) == pytest.approx((24 + 24) * SIZE / RATE)
    assert evaluation_seconds(stored[1], SETTINGS, RATE) == pytest.approx((16 + 24) * SIZE / RATE)


@pytest.mark.parametrize(("key", "value"), [("digest", "e" * 64), ("sample_rate", 44100), ("guard_samples", 8)])
def test_twin_of_another_data_set_raises(stored, key, value):
    with pytest.raises(ModelError, match="train"):
        run(stored, {**DATASET, key: value})


def test_empty_split_raises(stored):
    folder, table = stored
    with pytest.raises(DatasetError):
        run((folder, table[table["split"] != "test"]))


def test_invalid_twin_file_raises(stored, tmp_path):
    (tmp_path / "twin.safetensors").write_bytes(b"not a twin")
    with pytest.raises(TwinError):
        evaluate_twin(tmp_path, stored[1], stored[0], DATASET, SETTINGS)


def test_pair_is_evaluated_like_a_split(twin, signals):
    dry, wet = signals
    found = evaluate_pair(twin, reader(dry), reader(wet), len(dry), SETTINGS)
    errors = ErrorAccumulator(RATE)
    errors.add(wet[63:], Stream(twin, 1).process(dry)[63:])
    assert found["esr"] == pytest.approx(errors.result()["esr"], rel=1e-5)
    assert found["device"] == "silk"
    assert found["esr_linear"] < found["esr_gain"] < found["esr_dry"]
    json.dumps(found, allow_nan=False)


def test_short_pair_raises(twin, signals):
    dry, wet = signals
    with pytest.raises(DatasetError, match="too short"):
        evaluate_pair(twin, reader(dry), reader(wet), 63, SETTINGS)


def test_by_track_pools_the_segments_of_a_track(evaluated, twin, signals):
    _, wet = signals
    rendered = Stream(twin, 1).process(signals[0])
    begin = 16 * SIZE
    places = {"one": (begin + 63, begin + 3 * SIZE), "two": (begin + 2 * SIZE, begin + 8 * SIZE)}
    found = {one["name"]: one for one in evaluated[0]["by_track"]}
    assert list(found) == sorted(places, key=lambda name: -found[name]["esr"])
    for name, (first, stop) in places.items():
        error = rendered[first:stop].astype(float) - wet[first:stop]
        expected = np.sum(error**2) / np.sum(wet[first:stop].astype(float) ** 2)
        assert found[name]["esr"] == pytest.approx(expected, rel=1e-4)
        assert found[name]["seconds"] == pytest.approx((stop - first) / RATE)
        assert found[name]["esr_linear"] > 0


def test_by_level_and_over_time_cover_all_samples(evaluated):
    metrics, _ = evaluated
    assert sum(level["seconds"] for level in metrics["by_level"]) == pytest.approx(metrics["seconds"])
    track = metrics["esr_over_time"]
    assert track["seconds"] == 1.0
    assert len(track["esr"]) == len(track["esr_linear"]) == np.ceil(metrics["seconds"])
    assert min(track["esr"]) <= metrics["esr"] <= max(track["esr"])


def test_segments_without_tracks_are_grouped_by_capture(stored):
    folder, table = stored
    pairs = table.assign(track_ids=[[] for _ in range(len(table))])
    metrics = run((folder, pairs)).metrics
    assert [one["name"] for one in metrics["by_track"]] == ["take"]
    assert metrics["by_track"][0]["esr"] == pytest.approx(metrics["esr"])


def test_missing_visqol_raises_before_the_evaluation(stored, monkeypatch):
    def progress(n, note=""):
        raise AssertionError("the evaluation has started")

    monkeypatch.setitem(sys.modules, "visqol", None)
    folder, table = stored
    settings = SETTINGS.model_copy(update={"visqol": True})
    with pytest.raises(ConfigError, match="perceptual"):
        evaluate_twin(folder / "twin.safetensors", table, folder, DATASET, settings, progress=progress)


@pytest.mark.slow
def test_visqol_rates_the_excerpt(stored):
    if importlib.util.find_spec("visqol") is None:
        pytest.skip("the extra `perceptual` is not installed; `.ci/run` does it")
    found = run(stored, settings=SETTINGS.model_copy(update={"visqol": True, "clip_seconds": 1.5})).metrics
    assert 1.0 <= found["visqol"] < 4.7
