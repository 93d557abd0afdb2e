"""Damaged and missing inputs, invalid settings, unwritable outputs: one message, exit code 1, no partial output."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.cli_harness import (
    EXCITATION,
    TWIN,
    Fails,
    Options,
    failing_program,
    fails_on_damage,
    program,
    snapshot,
)
from tests.programs.project import CAPTURE, DEVICE, REEL, flip
from tests.workflow.project import RATE
from twinlib import audio
from twinlib.cli_runtime import run

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
        "build_contact_sheet": ["takes", "alignments"],
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
    Path("best.yaml").write_text("contract: best/0")
    fails("train_twin", "best.yaml has the contract best/0, not best/1", network="null", best="best.yaml")
    for text in ("", "network: [", "contract: best/1\ntraining: {}\nnetwork: {layers: 3}"):
        Path("best.yaml").write_text(text)
        fails("train_twin", "best.yaml is not the result of a search", network="null", best="best.yaml")


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
        ("build_contact_sheet", "sheet"),
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
