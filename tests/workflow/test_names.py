"""Odd names of folders and files, from the list of pairs to the dataset."""

from pathlib import Path

import numpy as np
import pytest

from tests.workflow.project import RATE, TINY, Project, noise
from twinlib import audio
from twinlib.contracts import DATASET
from twinlib.files import read_json

pytestmark = pytest.mark.slow

FOLDER = '-rf it\'s $(touch pwned) "best" & é #1 100% ~ * | ; `touch pwned`'
RESULTS = "-out $(touch pwned) 'a' & 音"


def test_odd_names_of_folders_and_files_make_a_dataset(tmp_path: Path) -> None:
    dry = noise(6.0, 1)
    audio.write(tmp_path / FOLDER / "-dry.wav", dry, RATE, "PCM_24")
    audio.write(tmp_path / FOLDER / "--wet.wav", 0.5 * np.tanh(3 * dry), RATE, "PCM_24")
    (tmp_path / "pairs.tsv").write_text(f"capture\tdry\twet\none\t{FOLDER}/-dry.wav\t{FOLDER}/--wet.wav\n")
    project = Project(tmp_path)
    keys = ("dataset", "models", "training")
    settings = {"$(touch pwned)": "'; touch pwned; '", "{tone}": "<b>"}
    devices = {"box": {"pairs": "pairs.tsv", "settings": settings, "card": {"make": "{x} $(touch pwned) <results>"}}}
    project.write({**{key: TINY[key] for key in keys}, "devices": devices, "results": RESULTS})
    run = project.run(f"{RESULTS}/devices/box/dataset.json", f"{RESULTS}/devices/box/device_card.json")
    assert run.code == 0, run.text[-3000:]
    device = tmp_path / RESULTS / "devices" / "box"
    assert read_json(device / "dataset.json", DATASET)["captures"].keys() == {"one"}
    assert not list(tmp_path.rglob("pwned"))
