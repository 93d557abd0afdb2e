"""Leaks, trainings that learn nothing, and damaged data sets, checkpoints and twins."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.cli_harness import (
    EXCITATION,
    TWIN,
    Fails,
    Options,
    call,
    check_error,
)
from tests.programs.project import DEVICE, REEL, SHARD, flip
from tests.workflow.project import RATE
from twinlib import audio
from twinlib.contracts import RUN
from twinlib.files import read_json, read_table, sha256_file, write_json, write_table
from twinlib.model import load_twin
from twinlib.tracking.store import open_client


def test_training_stops_on_a_leak(fails: Fails) -> None:
    path = Path(f"{DEVICE}/leaks.json")
    leak = {"kind": "artist", "what": "artist0", "splits": ["train", "test"], "segments": ["a", "b"]}
    write_json(path, "leaks/1", {**read_json(path, "leaks/1"), "leaks": [leak]})
    Path(f"{TWIN}/twin.safetensors").unlink()
    fails("train_twin", "leaks.json lists leaks", "before training")


def test_a_training_that_is_worse_than_silence_fails_without_a_twin(
    fails: Fails, finished: tuple[Path, Options], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, twin, options = Path(f"{TWIN}/checkpoints"), Path(f"{TWIN}/twin.safetensors"), finished[1]["train_twin"]
    twin.unlink()
    shutil.rmtree(folder)
    few = options | {"settings": json.dumps(json.loads(options["settings"]) | {"steps": 1, "warmup_steps": 100})}
    # The second run finds a finished training.
    for _ in range(2):
        capsys.readouterr()
        code = call("train_twin", few)
        check_error(
            code, capsys.readouterr().err, "amp/tiny failed", "silence has 100 %", "`twin check`", "(here 1 steps)"
        )
        assert not twin.exists()
    client = open_client("sqlite:///results/mlflow/mlflow.db")
    assert client.get_run(read_json(folder / "run.json", RUN)["run_id"]).info.status == "FAILED"
    assert call("train_twin", options) == 0
    assert load_twin(twin).metadata["valid_esr"] < 1


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
