"""Pairs as people have them, from the list of pairs to the dataset."""

import re
from pathlib import Path

import numpy as np
import pytest

from tests.workflow.project import RATE, TINY, Project, noise
from twinlib import audio
from twinlib.contracts import ALIGNMENT, CAPTURES, DATASET
from twinlib.files import read_json

pytestmark = pytest.mark.slow


def test_a_longer_dry_file_and_an_accepted_pair_make_a_dataset(tmp_path: Path) -> None:
    """The first wet file holds two thirds of its dry file; the second does not match and is accepted with a reason."""
    dry = noise(6.0, 1)
    audio.write(tmp_path / "dry.wav", dry, RATE, "PCM_24")
    audio.write(tmp_path / "wet.wav", 0.5 * np.tanh(3 * dry[: 4 * RATE]), RATE, "PCM_24")
    audio.write(tmp_path / "other.wav", noise(6.0, 2), RATE, "PCM_24")
    rows = ("one\tdry.wav\twet.wav\t\t", "two\tdry.wav\tother.wav\t7\ta gate {by ear}")
    (tmp_path / "pairs.tsv").write_text("\n".join(("capture\tdry\twet\tlag\taccept", *rows)))
    project = Project(tmp_path)
    keys = ("dataset", "models", "training")
    project.write({**{key: TINY[key] for key in keys}, "devices": {"box": {"pairs": "pairs.tsv"}}})
    run = project.run("results/devices/box/dataset.json")
    assert run.code == 0, run.text[-3000:]
    device = tmp_path / "results" / "devices" / "box"
    captures = read_json(device / "dataset.json", DATASET)["captures"]
    assert [captures[name]["accepted"] for name in ("one", "two")] == [None, "a gate {by ear}"]
    (missing,) = captures["one"]["alignment_reasons"]
    assert f"set `stop` of the pair to {4 * RATE}" in missing
    assert "accepts it: a gate {by ear}" in captures["two"]["alignment_reasons"][0]
    assert captures["one"]["usable"]["seconds"] > 2.0
    assert captures["two"]["usable"]["seconds"] > 4.0
    reasons = " ".join(reason for one in captures.values() for reason in one["alignment_reasons"])
    assert not re.search(r"\b(reel|take|interface|record again)\b", reasons)
    accepted = read_json(device / "two" / "alignment.json", ALIGNMENT)
    assert accepted["known"] == {"lag": 7.0, "same_clock": None, "polarity": None, "accept": "a gate {by ear}"}
    assert (accepted["warp"], accepted["applied_lag_samples"], accepted["verdict"]) == ("shift", 7.0, "suspect")
    assert read_json(device / "captures.json", CAPTURES)["captures"].keys() == {"one", "two"}
