"""Files without a record: checks of training states, and the classification of all others."""

import random
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from twinlib.audit.results_folder import ResultsFolder
from twinlib.audit.untracked import find_untracked, is_intact_state
from twinlib.files import write_text
from twinlib.model.tensors import save_tensors

HEADER = {"identity": "a", "step": 12, "rows": [{"valid_esr": 0.1, "step": 3}, {"name": "Ä"}], "end": None}
TENSORS = {
    "weights:a": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4),
    "weights:b": np.zeros(5, np.float32),
    "optimiser:step": np.array(7.0, np.float32),
    "optimiser:count": np.arange(4),
    "optimiser:half": np.linspace(0, 1, 3).astype(ml_dtypes.bfloat16),
    "optimiser:double": np.linspace(0, 1, 3),
    "best:mask": np.array([True, False]),
    "best:none": np.zeros((0, 2), np.float32),
}


def test_a_flipped_bit_in_a_training_state_is_found(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_tensors(path, "checkpoint/1", HEADER, TENSORS)
    assert is_intact_state(path)
    before, chance = path.read_bytes(), random.Random(3)
    for place in range(0, len(before), 2):
        content = bytearray(before)
        content[place] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        assert not is_intact_state(path), place
    for content in (b"", before[:-1], before[:40]):
        path.write_bytes(content)
        assert not is_intact_state(path)
    assert not is_intact_state(tmp_path / "nothing.safetensors")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("notes.txt", "unrecorded"),
        ("devices/box/notes.txt", "unrecorded"),
        ("twins/box/small/checkpoints/twin.safetensors", "state"),
        ("searches/tuned/study-1/trials/3/0/checkpoint.safetensors", "state"),
        ("twins/box/small/checkpoints/run.json", "twins/*/*/checkpoints"),
        ("searches/tuned/study-1/study.journal", "searches/*/study-*"),
        ("devices/box/.DS_Store", "devices/*/.DS_Store"),
        (".sums.json", ".sums.json"),
        ("README.md", "README.md"),
        ("logs/train/box/small.log", "logs"),
        ("demo/twins/box/small/checkpoints/twin.safetensors", "demo"),
        ("mlflow/mlflow.db", "mlflow"),
        ("mlflow/artifacts/box/1/artifacts/trials.txt", "mlflow"),
    ],
)
def test_every_file_is_classified(copied: Path, name: str, kind: str) -> None:
    before = find_untracked(ResultsFolder(copied))
    assert (before.states, before.copies, before.unrecorded, before.unchecked) == ({}, {}, [], {})
    write_text(copied / name, "")
    found = find_untracked(ResultsFolder(copied))
    assert found.unrecorded == ([name] if kind == "unrecorded" else [])
    assert list(found.states) == ([name] if kind == "state" else [])
    assert found.unchecked == ({kind: 1} if kind not in ("unrecorded", "state") else {})
    assert found.copies == {}
