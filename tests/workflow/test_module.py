"""The workflow as a module of another workflow in another folder, as `docs/how-to/module.md` describes it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.workflow.project import RATE, REPOSITORY, noise
from twinlib import audio
from twinlib.files import read_json

pytestmark = pytest.mark.slow

CONFIG = {
    "devices": {"box": {"pairs": "pairs.tsv"}},
    "models": {"tiny": {"channels": 4, "kernel_size": 3, "dilations": [1, 3]}},
    "training": {"steps": 20},
}


def snakemake(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """The folder of another workflow, with the Snakefile of the how-to."""
    text = (REPOSITORY / "docs" / "how-to" / "module.md").read_text(encoding="utf-8")
    (snakefile,) = re.findall(r"^```snakemake\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    (tmp_path / "workflow").mkdir()
    (tmp_path / "workflow" / "Snakefile").write_text(snakefile.replace("CLONE", str(REPOSITORY)))
    dry = noise(3.0, 1)
    audio.write(tmp_path / "dry.wav", dry, RATE, "PCM_16")
    audio.write(tmp_path / "wet.wav", 0.9 * np.tanh(2 * dry), RATE, "PCM_16")
    (tmp_path / "pairs.tsv").write_text("capture\tdry\twet\none\tdry.wav\twet.wav\n")
    return tmp_path


def test_all_rules_are_planned_and_run_in_the_other_folder(other: Path) -> None:
    plan = snakemake(other, "--dry-run")
    assert plan.returncode == 0, plan.stdout + plan.stderr
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", plan.stdout + plan.stderr, re.MULTILINE))
    assert {"ingest_take", "align_take", "train_twin", "export_twin", "log_run"} <= jobs.keys()
    assert not (other / "results").exists()
    take = "results/devices/box/one/take.json"
    done = snakemake(other, take)
    assert done.returncode == 0, done.stdout + done.stderr
    assert read_json(other / take, "take/1")["verdict"] == "ok"
    assert set(read_json(other / f"{take}.prov.json", "record/1")["inputs"]) == {"dry.wav", "wet.wav"}


def test_a_part_of_another_configuration_and_a_prefix(other: Path) -> None:
    (other / "config" / "config.yaml").write_text(json.dumps({"mine": 1, "twin": {**CONFIG, "results": "out"}}))
    path = other / "workflow" / "Snakefile"
    text = path.read_text().replace("        config\n", '        config["twin"]\n')
    path.write_text(text.replace("use rule * from twin", "use rule * from twin as twin_*"))
    plan = snakemake(other, "--dry-run", "out/twins/box/tiny/twin.safetensors")
    assert plan.returncode == 0, plan.stdout + plan.stderr
    assert "rule twin_train_twin:" in plan.stdout + plan.stderr


def test_an_error_in_the_configuration_is_one_sentence(other: Path) -> None:
    (other / "config" / "config.yaml").write_text(yaml.safe_dump({**CONFIG, "modles": {}}))
    done = snakemake(other, "--dry-run")
    assert done.returncode == 1
    assert "config of the module: unknown key 'modles' (did you mean 'models'?)" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
