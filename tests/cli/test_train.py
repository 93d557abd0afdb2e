"""`twin train`: from pairs of files to a twin, through the workflow."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.cli.harness import Command, late, refused, wav
from tests.workflow.project import RATE, noise
from twinlib import audio, progress, project
from twinlib.config import Config
from twinlib.contracts import METRICS
from twinlib.errors import ConfigError
from twinlib.files import read_json
from twinlib.parsing import read_yaml

SECONDS = 20.0


def make_pair(folder: Path, name: str = "fuzz (1)") -> tuple[Path, Path]:
    dry = noise(SECONDS, 1)
    return wav(folder / "dry.wav", dry), wav(folder / f"{name}.wav", late(np.tanh(3 * dry), 100))


def test_a_project_names_its_files_network_and_budget(tmp_path: Path) -> None:
    dry, wet = make_pair(tmp_path)
    folder = tmp_path / "new" / "project"
    assert project.write_project(folder, [(dry, wet), (dry, dry), (dry, dry)], "nam-nano", 0.5) == "fuzz-1"
    content = yaml.safe_load((folder / project.CONFIG).read_text())
    assert content == {
        "devices": {"fuzz-1": {"pairs": "pairs.tsv"}},
        "models": {"nam-nano": {"preset": "nam-nano"}},
        "training": {"cpu_seconds": 30.0},
    }
    rows = [line.split("\t") for line in (folder / project.PAIRS).read_text().splitlines()]
    assert rows == [
        ["capture", "dry", "wet"],
        ["fuzz-1", str(dry), str(wet)],
        ["dry", str(dry), str(dry)],
        ["dry-3", str(dry), str(dry)],
    ]


def test_a_project_is_replaced_but_the_configuration_of_the_user_is_not(tmp_path: Path) -> None:
    pair = make_pair(tmp_path)
    project.write_project(tmp_path, [pair], "small", 5.0)
    project.write_project(tmp_path, [pair], "small", 7.0)
    config = tmp_path / project.CONFIG
    assert yaml.safe_load(config.read_text())["training"] == {"cpu_seconds": 420.0}
    config.write_text("devices: {}\n")
    with pytest.raises(ConfigError, match="was not written by `twin train`"):
        project.write_project(tmp_path, [pair], "small", 5.0)
    assert config.read_text() == "devices: {}\n"


@pytest.mark.parametrize("option", [(), ("--pairs",)])
def test_a_new_folder_gets_a_valid_configuration(twin: Command, tmp_path: Path, option: tuple[str, ...]) -> None:
    folder = tmp_path / "new"
    code, out, err = twin("init", folder, *option)
    assert code == 0, err
    written = folder / "config" / "config.yaml"
    assert out.startswith(f"{written}: edit it")
    config = Config.model_validate(read_yaml(written))
    assert list(config.devices) == ["mydevice"]
    listed = config.devices["mydevice"].pairs if option else config.corpus and config.corpus.exclude
    assert listed is not None
    assert (folder / listed).is_file()
    before = written.read_bytes()
    refused(twin("init", folder, *option), "already exists")
    assert written.read_bytes() == before


def test_wrong_use_is_refused_before_a_folder_is_made(twin: Command, tmp_path: Path) -> None:
    dry, wet = make_pair(tmp_path)
    out = tmp_path / "out"
    refused(twin("train", dry, wet, dry, "--out", out), "has no wet file")
    refused(twin("train", dry, tmp_path / "none.wav", "--out", out), "none.wav does not exist")
    tab = wet.rename(tmp_path / "a\tb.wav")
    refused(twin("train", dry, tab, "--out", out), "a tab or a line break")
    assert twin("train", dry, tab, "--minutes", "0")[0] == 2
    assert not out.exists()


def test_the_training_is_followed_and_errors_are_collected(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines of the training are those of `show_progress`."""
    clock = iter([0.0, 11.0, 22.0])
    with monkeypatch.context() as patch:
        patch.setattr(progress.time, "monotonic", lambda: next(clock))
        with progress.show_progress("train amp/small", 12, "CPU-s") as advance:
            advance(5)
            advance(7, "loss 0.1, validation ESR 1.000%, best 1.000%")
    lines = capsys.readouterr().err.splitlines()
    reports: list[tuple[float, str]] = []

    @contextmanager
    def show(title: str, total: float, unit: str) -> Iterator[progress.Progress]:
        assert (title, total, unit) == ("train", 12.0, "CPU-s")
        yield lambda n, note="": reports.append((n, note))

    monkeypatch.setattr(project, "show_progress", show)
    assert project._follow(iter(["a line", *lines, "error: silent"])) == ["silent"]
    assert reports == [(5.0, ""), (7.0, "loss 0.1, validation ESR 1.000%, best 1.000%")]
    assert capsys.readouterr().err == "a line\n"


def test_long_names_are_shortened() -> None:
    assert project.name_device(Path(f"{'x' * 59}  {'y' * 99}.wav")) == "x" * 59


@pytest.mark.slow
def test_two_files_become_a_twin_and_the_same_command_goes_on(
    twin: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the training by a signal to itself alone, the command goes on; finished, it only shows the result."""
    dry, wet = make_pair(tmp_path)
    words = [str(dry), str(wet), "--out", str(tmp_path / "out"), "--preset", "nam-nano", "--minutes", "0.2"]
    monkeypatch.chdir(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-m", "twinlib.cli", "train", *words],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "no leaks" in line:
            break
    time.sleep(5.0)
    process.send_signal(signal.SIGTERM)
    rest = process.stderr.read()
    assert process.wait() == 130, rest
    assert "run again to continue" in rest

    code, out, err = twin("train", *words)
    assert code == 0, err
    assert ": ok, lag" not in err
    made = tmp_path / "out" / "results" / "twins" / "fuzz-1" / "nam-nano"
    assert {"twin.safetensors", "twin.nam", "twin.onnx"} <= {path.name for path in made.iterdir()}
    assert f"render:  twin render {made}" in out
    metrics = read_json(made / "evaluation" / "metrics.json", METRICS)
    assert metrics["esr"] < 0.1

    code, again, err = twin("train", *words)
    assert code == 0
    assert again == out
    assert "validation ESR" not in err
    found = tmp_path / "again.wav"
    assert twin("render", made, dry, found)[0] == 0
    assert audio.read_info(found).frames == SECONDS * RATE


@pytest.mark.slow
def test_a_refused_pair_gives_one_sentence(twin: Command, tmp_path: Path) -> None:
    dry, _ = make_pair(tmp_path)
    silence = wav(tmp_path / "silent.wav", np.zeros(int(SECONDS * RATE), np.float32))
    ended = twin("train", dry, silence, "--out", tmp_path / "out", "--minutes", "0.1")
    refused(ended, "silent: channel 1 of the wet file is silent")
    assert not (tmp_path / "out" / "results" / "twins").exists()
