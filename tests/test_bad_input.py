"""Bad input to every program of the workflow: one error message, exit code 1, no partial output."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from scipy.interpolate import CubicSpline

from tests.cli_harness import (
    EXCITATION,
    TWIN,
    Fails,
    Options,
    call,
    error_to_signal,
    failing_program,
    fails_on_damage,
    program,
    snapshot,
)
from tests.workflow.project import RATE, make_project
from twinlib import audio
from twinlib.cli_runtime import run
from twinlib.config import Config, load_config
from twinlib.dataset.shards import Shard
from twinlib.files import read_json, read_table, sha256_file, write_json, write_table

CAPTURE = "results/devices/amp/tiny-01"
DEVICE = "results/devices/amp"
REEL = f"{EXCITATION}/reels/tiny-01.wav"
SHARD = f"{DEVICE}/shards/tiny-01.arrow"
ALIGNMENT = f"{CAPTURE}/alignment.json"

STAGES = (
    "index_corpus",
    "plan_excitation",
    "render_reel",
    "fingerprint_reels",
    "simulate_take",
    "ingest_take",
    "align_take",
    "compare_captures",
    "cut_shard",
    "build_manifest",
    "check_leaks",
    "train_twin",
    "evaluate_twin",
    "write_device_card",
    "export_twin",
    "build_summary",
    "build_comparison",
)


def options_of(config: Config) -> dict[str, dict[str, Any]]:
    """Return the options of each program as in the workflow."""
    assert config.corpus is not None
    device = config.devices["amp"]
    assert device.simulate is not None
    corpus, dataset = config.corpus.model_dump_json(), config.dataset.model_dump_json()
    files = {"channel": 1, "dry": REEL, "wet": f"{CAPTURE}/take.wav"}
    capture = {**files, "pair": "null"}
    cues, excitation, tracks = (
        f"{EXCITATION}/cues.parquet",
        f"{EXCITATION}/excitation.json",
        "results/corpus/tracks.parquet",
    )
    table, manifest = f"{DEVICE}/segments.parquet", f"{DEVICE}/dataset.json"
    return {
        "index_corpus": {"settings": corpus, "tracks": tracks, "index": "results/corpus/index.json"},
        "plan_excitation": {
            "name": "tiny",
            "settings": config.excitations["tiny"].model_dump_json(),
            "corpus": corpus,
            "tracks": tracks,
            "exclude": "excluded.tsv",
            "cues": cues,
            "excitation": excitation,
        },
        "render_reel": {
            "name": "tiny-01",
            "root": "corpus",
            "cues": cues,
            "excitation": excitation,
            "devices": "results/devices",
            "reel": REEL,
        },
        "fingerprint_reels": {
            "name": "tiny",
            "cues": cues,
            "reels": REEL,
            "fingerprints": f"{EXCITATION}/fingerprints.parquet",
        },
        "render_probe_reel": {
            "name": "tiny",
            "root": "corpus",
            "cues": cues,
            "excitation": excitation,
            "devices": "results/devices",
            "reel": f"{EXCITATION}/reels/tiny-probe.wav",
            "probe": f"{EXCITATION}/probe.json",
        },
        "write_recording_guide": {
            "name": "tiny",
            "excitation": excitation,
            "probe": [],
            "takes": json.dumps({"amp": "takes/{reel}.wav"}),
            "guide": f"{EXCITATION}/recording.md",
        },
        "simulate_take": {
            "device": "amp",
            "name": "tiny-01",
            "settings": device.simulate.model_dump_json(),
            "reel": REEL,
            "take": f"{CAPTURE}/take.wav",
            "truth": f"{CAPTURE}/truth.json",
        },
        "ingest_take": {
            **files,
            "reference_channel": 0,
            "kind": "simulated",
            "knobs": '{"drive": 1}',
            "accept": "null",
            "take": f"{CAPTURE}/take.json",
        },
        "align_take": {
            **files,
            "reference_channel": 0,
            "repair": device.repair,
            "programme": [],
            "name": "tiny-01",
            "guard": config.dataset.guard_samples,
            "dry_range": "null",
            "known": "{}",
            "excitation": excitation,
            "alignment": f"{CAPTURE}/alignment.json",
            "picture": f"{CAPTURE}/alignment.svg",
        },
        "compare_captures": {
            "device": "amp",
            "names": ["tiny-01"],
            "alignments": f"{CAPTURE}/alignment.json",
            "captures": f"{DEVICE}/captures.json",
        },
        "cut_shard": {
            **capture,
            "captures": [],
            "device": "amp",
            "name": "tiny-01",
            "settings": dataset,
            "withdrawn": "[]",
            "take": f"{CAPTURE}/take.json",
            "alignment": f"{CAPTURE}/alignment.json",
            "cues": cues,
            "excitation": excitation,
            "shard": SHARD,
            "segments": SHARD.replace(".arrow", ".parquet"),
        },
        "build_manifest": {
            "device": "amp",
            "missing": "[]",
            "tolerant": "false",
            "divided": "{}",
            "shards": SHARD,
            "takes": f"{CAPTURE}/take.json",
            "alignments": f"{CAPTURE}/alignment.json",
            "captures": f"{DEVICE}/captures.json",
            "segments": table,
            "dataset": manifest,
        },
        "check_leaks": {
            "by": "artist",
            "artists": "{}",
            "segments": table,
            "cues": cues,
            "fingerprints": f"{EXCITATION}/fingerprints.parquet",
            "leaks": f"{DEVICE}/leaks.json",
        },
        "train_twin": {
            "device": "amp",
            "model": "tiny",
            "network": config.models["tiny"].model_dump_json(exclude_unset=True),
            "settings": config.training.model_dump_json(),
            "best": [],
            "tracking": config.tracking.model_dump_json(),
            "segments": table,
            "dataset": manifest,
            "leaks": f"{DEVICE}/leaks.json",
            "shards": SHARD,
            "results": "results",
            "twin": f"{TWIN}/twin.safetensors",
            "curve": f"{TWIN}/training.parquet",
        },
        "evaluate_twin": {
            "measurements": [],
            "device": "amp",
            "model": "tiny",
            "settings": config.evaluation.model_dump_json(),
            "twin": f"{TWIN}/twin.safetensors",
            "curve": f"{TWIN}/training.parquet",
            "segments": table,
            "dataset": manifest,
            "shards": SHARD,
            "outputs": f"{TWIN}/evaluation/metrics.json",
        },
        "write_device_card": {"device": "amp", "card": "{}", "output": f"{DEVICE}/device_card.json"},
        "export_twin": {
            "twin": f"{TWIN}/twin.safetensors",
            "record": f"{TWIN}/twin.safetensors.prov.json",
            "card": f"{DEVICE}/device_card.json",
            "verdict": f"{TWIN}/evaluation/verdict.json",
            "outputs": [f"{TWIN}/twin.nam", f"{TWIN}/twin.onnx"],
        },
        "build_summary": {"metrics": [], "summary": "results/summary.txt"},
        "build_comparison": {"metrics": [], "comparison": "results/comparison.html"},
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Options]]:
    """A project after all stages have run on valid input."""
    folder = tmp_path_factory.mktemp("bad-input") / "project"
    project = make_project(folder)
    here = Path.cwd()
    os.chdir(project.folder)
    try:
        config = load_config(Path("config.yaml"))
        config = config.model_copy(
            update={"training": config.training.model_copy(update={"steps": 2, "validate_every": 1, "batch": 2})}
        )
        options = options_of(config)
        for stage in STAGES:
            assert call(stage, options[stage]) == 0, stage
        yield folder, options
    finally:
        os.chdir(here)


@pytest.fixture
def fails(
    finished: tuple[Path, Options],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Fails:
    """Change to a copy of the project; return a function that runs a program and checks that it fails."""
    shutil.copytree(finished[0], tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    # Otherwise the first check of every program would find that a file differs from its record.
    for record in Path("results").rglob("*.prov.json"):
        if record.name != "twin.safetensors.prov.json":
            record.unlink()
    return failing_program(finished[1], capsys)


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0x55
    path.write_bytes(content)


TABLES = ("build_summary", "build_comparison")

INPUTS = [
    (stage, name)
    for stage, names in {
        "plan_excitation": ["tracks"],
        "render_reel": ["cues", "excitation"],
        "write_recording_guide": ["excitation"],
        "render_probe_reel": ["cues", "excitation"],
        "simulate_take": ["reel"],
        "ingest_take": ["dry", "wet"],
        "align_take": ["dry", "wet", "excitation"],
        "cut_shard": ["take", "alignment", "cues", "excitation"],
        "compare_captures": ["alignments"],
        "build_manifest": ["shards", "takes", "alignments", "captures"],
        "fingerprint_reels": ["cues", "reels"],
        "check_leaks": ["segments", "cues", "fingerprints"],
        "train_twin": ["segments", "dataset", "leaks", "shards"],
        "evaluate_twin": ["twin", "curve", "segments", "dataset", "shards"],
        "export_twin": ["twin", "record", "card", "verdict"],
        "build_summary": ["metrics"],
        "build_comparison": ["metrics"],
    }.items()
    for name in names
]


@pytest.mark.parametrize(("stage", "name"), INPUTS)
def test_a_missing_or_damaged_input_is_named(
    fails: Fails, finished: tuple[Path, Options], stage: str, name: str
) -> None:
    path = Path("results/broken.json" if stage in TABLES else finished[1][stage][name])
    if stage == "train_twin":
        shutil.rmtree(f"{TWIN}/checkpoints")  # otherwise training is already complete
    fails_on_damage(fails, stage, path, **({"metrics": str(path)} if stage in TABLES else {}))


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        ("fingerprint_reels", "reels"),
        ("align_take", "dry"),
        ("cut_shard", "wet"),
        ("build_manifest", "shards"),
        ("train_twin", "shards"),
        ("evaluate_twin", "shards"),
    ],
)
def test_a_flipped_byte_is_found_by_the_record_of_the_file(
    finished: tuple[Path, Options],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stage: str,
    name: str,
) -> None:
    shutil.copytree(finished[0], tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    path = Path(finished[1][stage][name])
    flip(path, path.stat().st_size // 2)
    failing_program(finished[1], capsys)(stage, path.name, "is damaged or was edited", "Run snakemake again")


def test_without_records_a_take_is_compared_with_its_verdict(fails: Fails) -> None:
    for path in (f"{CAPTURE}/take.wav", REEL):
        content = Path(path).read_bytes()
        flip(Path(path), len(content) // 2)
        fails("cut_shard", Path(path).name, "has changed since", "take.json")
        Path(path).write_bytes(content)


def test_a_flipped_byte_of_a_twin_is_named(fails: Fails) -> None:
    path = Path(f"{TWIN}/twin.safetensors")
    good = path.read_bytes()
    for place in (9, len(good) // 2, len(good) - 2):
        path.write_bytes(good)
        flip(path, place)
        fails("evaluate_twin", path.name)


def test_a_table_of_another_contract_is_named(fails: Fails) -> None:
    shutil.copy(f"{EXCITATION}/cues.parquet", f"{DEVICE}/segments.parquet")
    fails("check_leaks", "segments.parquet has the contract cues/1, not segments/1")
    shutil.copy(f"{CAPTURE}/take.json", f"{CAPTURE}/alignment.json")
    fails("cut_shard", "alignment.json has the contract take/1, not alignment/2")


SETTINGS = [
    ("index_corpus", "settings"),
    ("plan_excitation", "settings"),
    ("plan_excitation", "corpus"),
    ("simulate_take", "settings"),
    ("cut_shard", "settings"),
    ("train_twin", "settings"),
    ("train_twin", "network"),
    ("evaluate_twin", "settings"),
]


@pytest.mark.parametrize(("stage", "name"), SETTINGS)
@pytest.mark.parametrize("text", ["{", "[]", '{"colour": "blue"}'])
def test_invalid_settings_are_reported(fails: Fails, stage: str, name: str, text: str) -> None:
    message = fails(stage, **{name: text})
    assert "pydantic" not in message
    if text.startswith('{"'):
        assert "colour" in message or "circuit" in message


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        ("align_take", "dry_range"),
        ("align_take", "known"),
        ("ingest_take", "accept"),
        ("ingest_take", "knobs"),
        ("cut_shard", "pair"),
        ("cut_shard", "withdrawn"),
        ("write_recording_guide", "takes"),
        ("build_manifest", "missing"),
        ("build_manifest", "tolerant"),
    ],
)
def test_an_option_with_invalid_json_is_reported(fails: Fails, stage: str, name: str) -> None:
    fails(stage, "not readable JSON", "{drive", **{name: "{drive"})


def test_an_invalid_setting_is_named_with_the_allowed_values(fails: Fails) -> None:
    fails("cut_shard", "Dataset", "guard_samples", "greater than or equal to", settings='{"guard_samples": -1}')
    fails("align_take", "guard_samples is -1", guard=-1)
    fails("train_twin", "Training", "unknown key 'step'", "did you mean 'steps'", settings='{"step": 10}')


def test_an_unreadable_search_result_is_named(fails: Fails) -> None:
    shutil.rmtree(f"{TWIN}/checkpoints")
    fails("train_twin", "best.yaml does not exist", network="null", best="best.yaml")
    for text in ("", "network: [", "contract: best/0", "contract: best/1\ntraining: {}\nnetwork: {layers: 3}"):
        Path("best.yaml").write_text(text)
        fails("train_twin", "best.yaml is not the result of a search", network="null", best="best.yaml")


# --- the corpus and its reels


def test_invalid_corpora_are_named(fails: Fails, finished: tuple[Path, Options]) -> None:
    settings = json.loads(finished[1]["index_corpus"]["settings"])
    fails("index_corpus", "nowhere", settings=json.dumps({**settings, "root": "nowhere"}))
    Path("excluded.tsv").write_text("track_id\treason\nartist0/song\tnone\n")
    fails("index_corpus", "excluded.tsv", "header")
    fails("plan_excitation", "excluded.tsv", "header")
    Path("excluded.tsv").unlink()
    fails("plan_excitation", "excluded.tsv does not exist")
    for path in Path("corpus").rglob("*.wav"):
        path.write_bytes(b"RIFF")
    Path("excluded.tsv").write_text("track_id\treason\tdate\n")
    fails("index_corpus", "no usable sound file", "song.wav")


def test_missing_and_changed_sources_are_named(fails: Fails) -> None:
    source = Path("corpus/artist0/song.wav")
    good = source.read_bytes()
    flip(source, len(good) // 2)
    fails("render_reel", "artist0/song.wav")
    for stage in ("plan_excitation", "render_reel"):
        source.write_bytes(good[:3000])
        fails(stage, "artist0/song.wav")
        source.unlink()
        fails(stage, "artist0/song.wav does not exist")


def test_a_recorded_reel_is_never_made_with_other_bytes(fails: Fails) -> None:
    take = read_json(Path(f"{CAPTURE}/take.json"), "take/1")
    write_json(Path(f"{CAPTURE}/take.json"), "take/1", {**take, "kind": "take", "dry_sha256": "0" * 64})
    Path(REEL).unlink()
    fails("render_reel", "tiny-01 was recorded", "put it back")
    assert not Path(REEL).exists()


@pytest.mark.parametrize("stage", ["align_take", "cut_shard", "render_reel"])
def test_a_reel_missing_from_the_excitation_is_named(fails: Fails, stage: str) -> None:
    path = Path(f"{EXCITATION}/excitation.json")
    content = read_json(path, "excitation/1")
    write_json(path, "excitation/1", {**content, "reels": {"tiny-02": content["reels"]["tiny-01"]}})
    fails(stage, "tiny-01", "tiny-02")


# --- takes


def _spoil(name: str, start: int, value: float) -> None:
    path = Path(name)
    samples = audio.read(path)
    samples[start : start + 20] = value
    soundfile.write(path, samples, RATE, "FLOAT")


def test_a_take_with_nan_is_refused_and_never_cut(fails: Fails, finished: tuple[Path, Options]) -> None:
    options = finished[1]
    _spoil(f"{CAPTURE}/take.wav", 200_000, np.nan)
    assert call("ingest_take", options["ingest_take"]) == 0
    take = read_json(Path(f"{CAPTURE}/take.json"), "take/1")
    assert take["verdict"] == "refused"
    assert "200000" in take["reasons"][0]
    assert call("align_take", options["align_take"]) == 0
    assert call("cut_shard", options["cut_shard"]) == 0
    message = fails("build_manifest", "200000", "NaN or infinite", "record the take again")
    assert "tiny-01" in message


def test_nan_added_to_a_take_after_ingest_is_detected(fails: Fails) -> None:
    _spoil(f"{CAPTURE}/take.wav", 200_000, np.inf)
    fails("cut_shard", "take.wav", "has changed since")
    _spoil(f"{CAPTURE}/take.wav", 200_000, 0.0)
    _spoil(REEL, 200_000, np.nan)
    fails("cut_shard", "has changed since")


@pytest.mark.parametrize("frames", [400, 300_000])
def test_a_take_of_another_length_must_be_aligned_again(fails: Fails, frames: int) -> None:
    audio.write(Path(f"{CAPTURE}/take.wav"), audio.read(Path(f"{CAPTURE}/take.wav"))[:frames], RATE, "PCM_24")
    fails("cut_shard", "take.wav", "has changed since", "Run snakemake again")


def test_a_missing_channel_is_named(fails: Fails) -> None:
    fails("align_take", "take.wav", "no channel 2", channel=2)
    fails("align_take", "take.wav", "no channel 2", reference_channel=2)
    fails("cut_shard", "take.wav", "no channel 2", channel=2)
    fails("ingest_take", "counted from 1", channel=0)
    fails("align_take", "no channel", channel=0)


Judged = tuple[dict[str, Any], dict[str, Any], Any, Shard]


def recorded_anew(options: Options, samples: np.ndarray, rate: int = RATE, **changes: Any) -> Judged:
    """Replace the take, run the stages up to its shard, and return take, alignment, segments and shard."""
    soundfile.write(f"{CAPTURE}/take.wav", samples, rate, "FLOAT")
    for stage in ("ingest_take", "align_take", "cut_shard"):
        assert call(stage, {**options[stage], **(changes if stage == "align_take" else {})}) == 0, stage
    take, alignment = read_json(Path(f"{CAPTURE}/take.json"), "take/1"), read_json(Path(ALIGNMENT), "alignment/2")
    return take, alignment, read_table(Path(SHARD).with_suffix(".parquet"), "segments/1"), Shard.open(Path(SHARD))


def without_highs(samples: np.ndarray) -> np.ndarray:
    """Return the signal below 18 kHz, which resampling preserves."""
    return soxr.resample(soxr.resample(samples, RATE, 36000, "VHQ"), 36000, RATE, "VHQ")[: len(samples)]


def flags_of(segments: Any) -> list[list[str]]:
    return [list(flags) for flags in segments["flags"]]


@pytest.mark.parametrize("rate", [48000, 96000])
def test_a_take_of_another_rate_gives_the_same_segments(
    fails: Fails, finished: tuple[Path, Options], rate: int
) -> None:
    played = without_highs(audio.read(Path(f"{CAPTURE}/take.wav"))[:, 0])
    _, _, segments, shard = recorded_anew(finished[1], played)
    take, alignment, others, other = recorded_anew(finished[1], soxr.resample(played, RATE, rate, "VHQ"), rate)
    assert (take["sample_rate"], alignment["wet_sample_rate"], alignment["sample_rate"]) == (rate, rate, RATE)
    assert (take["verdict"], alignment["verdict"]) == ("ok", "ok")
    assert flags_of(others) == flags_of(segments)
    assert (others.split != "").sum() > 80
    assert other.metadata.sample_rate == RATE
    assert np.array_equal(other.dry, shard.dry)
    assert error_to_signal(other.wet, shard.wet) < 1e-9


def test_a_loop_back_channel_gives_the_dry_samples_and_the_clock(fails: Fails, finished: tuple[Path, Options]) -> None:
    segments, shard = read_table(Path(SHARD).with_suffix(".parquet"), "segments/1"), Shard.open(Path(SHARD))
    before = shard.dry.copy(), shard.wet.copy()
    truth = read_json(Path(f"{CAPTURE}/truth.json"), "simulated-take/1")
    take, reel = audio.read(Path(f"{CAPTURE}/take.wav"))[:, 0], audio.read(Path(REEL))[:, 0]
    # The reel on the clock of the recorder, inverted, attenuated by 6 dB, with noise.
    dense = soxr.resample(np.pad(reel.astype(float), 8192), 1, 8, "VHQ")
    at = (np.arange(len(take)) - truth["lag_samples"]) / (1 + truth["drift_ppm"] * 1e-6)
    looped = -0.5 * CubicSpline(np.arange(len(dense)) / 8 - 8192, dense)(np.clip(at, -8000, len(reel) + 8000))
    looped += 1e-5 * np.random.default_rng(0).standard_normal(len(looped))
    _, alignment, others, other = recorded_anew(finished[1], np.stack([take, looped], axis=1), reference_channel=2)
    assert alignment["reference"]["channel"] == 1
    assert alignment["reference"]["polarity"] == -1
    assert alignment["reference"]["gain_db"] == pytest.approx(-6.02, abs=0.01)
    assert alignment["polarity"] == 1
    assert alignment["lag_samples"] == pytest.approx(truth["lag_samples"], abs=1e-3), "the device's delay is not in it"
    assert flags_of(others) == flags_of(segments)
    assert error_to_signal(without_highs(other.dry), without_highs(before[0])) < 1e-6
    assert error_to_signal(other.wet, before[1]) < 1e-3
    assert not np.array_equal(other.dry, before[0])


def test_only_the_requested_repairs_are_applied(fails: Fails, finished: tuple[Path, Options]) -> None:
    before = Shard.open(Path(SHARD)).wet.copy()
    gain_db = read_json(Path(ALIGNMENT), "alignment/2")["gain_db"]
    played = -audio.read(Path(f"{CAPTURE}/take.wav"))[:, 0]
    for repair, factor in ((["polarity"], 1.0), ([], -1.0), (["gain", "polarity"], 10 ** (-gain_db / 20))):
        _, alignment, _, shard = recorded_anew(finished[1], played, repair=repair)
        assert alignment["polarity"] == -1
        assert error_to_signal(shard.wet, factor * before) < 1e-6, repair


LOST = 250_000
"""A sample of the take inside the music."""


@pytest.mark.parametrize(
    ("keep", "flag", "most"),
    [
        ([slice(0, LOST), slice(LOST + 37, None)], "lost-samples", 2),
        ([slice(0, LOST), slice(LOST - 441, None)], "repeated-samples", 2),
        ([slice(0, 400_000)], "outside-take", 124),
        ([slice(150_000, None)], "outside-take", 36),
    ],
)
def test_only_the_damaged_part_of_a_take_is_excluded(
    fails: Fails, finished: tuple[Path, Options], keep: list[slice], flag: str, most: int
) -> None:
    segments, before = read_table(Path(SHARD).with_suffix(".parquet"), "segments/1"), Shard.open(Path(SHARD)).wet.copy()
    played = audio.read(Path(f"{CAPTURE}/take.wav"))[:, 0]
    _, alignment, others, shard = recorded_anew(finished[1], np.concatenate([played[part] for part in keep]))
    assert alignment["verdict"] == "suspect"
    flagged = [flag in flags for flags in flags_of(others)]
    assert 0 < sum(flagged) <= most
    assert [[name for name in flags if name != flag] for flags in flags_of(others)] == flags_of(segments)
    for row in others.itertuples():
        if row.split:
            here = slice(row.row * 4096, (row.row + 1) * 4096)
            assert error_to_signal(shard.wet[here], before[here]) < 0.05, row.start


def test_a_pair_range_outside_its_files_is_refused(fails: Fails) -> None:
    pair = json.dumps({"split": None, "start": 10**9, "stop": 10**9 + 5, "clip_samples": None})
    fails("cut_shard", "correct start and stop", pair=pair)


# --- training and evaluation


def test_training_stops_on_a_leak(fails: Fails) -> None:
    path = Path(f"{DEVICE}/leaks.json")
    leak = {"kind": "artist", "what": "artist0", "splits": ["train", "test"], "segments": ["a", "b"]}
    write_json(path, "leaks/1", {**read_json(path, "leaks/1"), "leaks": [leak]})
    Path(f"{TWIN}/twin.safetensors").unlink()
    fails("train_twin", "leaks.json lists leaks", "before training")


def test_a_leak_is_reported_without_output(fails: Fails) -> None:
    path = Path(f"{EXCITATION}/cues.parquet")
    cues = read_table(path, "cues/1")
    write_table(path, "cues/1", cues.assign(split=np.where(cues.split == "train", "test", "train")))
    Path(f"{DEVICE}/leaks.json").unlink()
    fails("check_leaks", "between the splits")


def test_fingerprints_of_another_reel_are_named(fails: Fails) -> None:
    path = Path(f"{EXCITATION}/fingerprints.parquet")
    table = read_table(path, "fingerprints/1")
    assert len(table) > 0
    write_table(path, "fingerprints/1", table.assign(at=table["at"] + 10**7))
    fails("check_leaks", "belong to different excitations", "delete fingerprints.parquet")
    audio.write(Path(REEL), np.zeros(RATE, np.float32), RATE, "PCM_24")
    fails("fingerprint_reels", "tiny-01.wav has 44100 samples", "the cue sheet extends to")


@pytest.mark.parametrize("harm", ["empty", "text", "half", "head", "weights", "gone"])
def test_a_damaged_checkpoint_is_ignored(
    fails: Fails, finished: tuple[Path, Options], capsys: pytest.CaptureFixture[str], harm: str
) -> None:
    path, twin = Path(f"{TWIN}/checkpoints/seed-0/checkpoint.safetensors"), Path(f"{TWIN}/twin.safetensors")
    # The records were deleted after the first training, so the chain hash in the header differs.
    assert call("train_twin", finished[1]["train_twin"]) == 0
    good, before = path.read_bytes(), sha256_file(twin)
    match harm:
        case "gone":
            path.unlink()
        case "head" | "weights":
            flip(path, 100 if harm == "head" else len(good) - 3)
        case _:
            path.write_bytes({"empty": b"", "text": b"no checkpoint" * 9, "half": good[: len(good) // 2]}[harm])
    assert call("train_twin", finished[1]["train_twin"]) == 0
    assert "Traceback" not in capsys.readouterr().err
    assert sha256_file(twin) == before


def test_training_refuses_a_shard_with_a_flipped_byte(fails: Fails) -> None:
    shutil.rmtree(f"{TWIN}/checkpoints")
    flip(Path(SHARD), len(Path(SHARD).read_bytes()) // 2)
    fails("train_twin", "tiny-01.arrow is corrupted or was replaced", "delete it and run again")


def test_a_file_that_is_not_a_shard_is_named(fails: Fails) -> None:
    shutil.rmtree(f"{TWIN}/checkpoints")
    Path(SHARD).write_bytes(Path(f"{EXCITATION}/cues.parquet").read_bytes())
    for stage in ("build_manifest", "train_twin", "evaluate_twin"):
        fails(stage, "tiny-01.arrow", "delete it and run again")


def test_a_twin_of_another_dataset_is_refused(fails: Fails) -> None:
    path = Path(f"{DEVICE}/dataset.json")
    write_json(path, "dataset/1", {**read_json(path, "dataset/1"), "digest": "other"})
    fails("evaluate_twin", "twin.safetensors", "train the twin again")


# --- outputs


@pytest.mark.parametrize(
    ("stage", "name"),
    [
        ("index_corpus", "tracks"),
        ("plan_excitation", "cues"),
        ("render_reel", "reel"),
        ("write_recording_guide", "guide"),
        ("simulate_take", "take"),
        ("ingest_take", "take"),
        ("align_take", "alignment"),
        ("cut_shard", "shard"),
        ("compare_captures", "captures"),
        ("build_manifest", "segments"),
        ("check_leaks", "leaks"),
        ("fingerprint_reels", "fingerprints"),
        ("export_twin", "outputs"),
        ("build_summary", "summary"),
        ("build_comparison", "comparison"),
    ],
)
def test_an_unwritable_output_is_named(fails: Fails, stage: str, name: str) -> None:
    ending = "nam" if stage == "export_twin" else "wav"
    fails(stage, "config.yaml", **{name: f"config.yaml/below/a/file.{ending}"})


def test_invalid_clips_are_named(fails: Fails, capsys: pytest.CaptureFixture[str]) -> None:
    Path("clips").mkdir()

    def join(*words: str) -> str:
        before, sys.argv = sys.argv, ["join_clips", *words]
        files = snapshot(Path())
        try:
            with pytest.raises(SystemExit) as ended:
                run(program("join_clips").main)
        finally:
            sys.argv = before
        assert ended.value.code == 1
        assert snapshot(Path()) == files
        return capsys.readouterr().err

    assert "contains no .wav files" in join("clips", "out.wav")
    audio.write(Path("clips/sample0.wav"), np.zeros(100, np.float32), RATE, "PCM_16")
    assert "cannot be skipped" in join("clips", "out.wav", "--skip", "101")
    audio.write(Path("clips/sample1.wav"), np.zeros(100, np.float32), 48000, "PCM_16")
    assert "sample1.wav and clips/sample0.wav differ" in join("clips", "out.wav")
    Path("clips/sample1.wav").write_bytes(b"RIFF")
    assert "sample1.wav is not a readable sound file" in join("clips", "out.wav")
