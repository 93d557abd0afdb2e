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
from tests.workflow.project import RATE, forked_python, noise
from twinlib import audio, progress, project
from twinlib.capture.pairs import read_pairs
from twinlib.config import Config
from twinlib.contracts import EXCITATION, METRICS
from twinlib.errors import ConfigError
from twinlib.excitation import Excitation, is_reel, layout
from twinlib.excitation.sync_click import make_click
from twinlib.files import read_json, write_json
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


def make_reel(folder: Path) -> tuple[Path, layout.Reel]:
    """A reel of clicks and noise in the folders of an excitation, and its layout."""
    settings = Excitation(seed=1, slices=60, slice_samples=8000, crossfade_samples=2000, reel_minutes=1)
    (reel,) = layout.lay_out_reels("main", settings)
    signal = np.zeros(reel.frames, np.float32)
    click = make_click(RATE)
    for start in reel.clicks:
        signal[start : start + len(click)] = click
    for block in reel.blocks:
        signal[block.start : block.stop] = noise((block.stop - block.start) / RATE, block.start)
    home = folder / "results" / "excitations" / "main"
    write_json(home / "excitation.json", EXCITATION, {"name": "main", "reels": {reel.name: reel.to_dict()}})
    (home / "reels").mkdir()
    return wav(home / "reels" / "main-01.wav", signal), reel


def test_a_take_of_a_reel_becomes_pairs_with_the_splits_of_the_reel(tmp_path: Path) -> None:
    path, reel = make_reel(tmp_path)
    take = wav(tmp_path / "amp.wav", late(audio.read(path)[:, 0], 100))
    pair = make_pair(tmp_path)
    assert project.write_project(tmp_path / "out", [pair], "small", 1.0, [(path, take), (path, take)]) == "fuzz-1"
    pairs = read_pairs(tmp_path / "out" / project.PAIRS)
    assert (pairs[0].dry, pairs[0].wet, pairs[0].split, pairs[0].start, pairs[0].stop) == (*pair, None, 0, None)
    count = len(reel.blocks)
    assert count > 3
    for name, found in (("amp", pairs[1 : count + 1]), ("amp-3", pairs[count + 1 :])):
        assert [each.capture for each in found] == [f"{name}-block-{number}" for number in range(1, count + 1)]
        assert [(each.split, each.start, each.stop) for each in found] == [
            (block.split, block.start, block.stop) for block in reel.blocks
        ]
        assert {(each.dry, each.wet) for each in found} == {(path, take)}


def test_a_reel_that_is_given_as_a_dry_file_is_recognised(twin: Command, tmp_path: Path) -> None:
    path, _ = make_reel(tmp_path)
    out, take = tmp_path / "out", wav(tmp_path / "amp.wav", noise(3.0, 1))
    copy = tmp_path / "copy.wav"
    audio.write(copy, audio.read(path), RATE, "PCM_16")
    for dry in (path, copy):
        refused(twin("train", dry, take, "--out", out), f"use `twin train --take {take} --reel {dry}`")
    refused(twin("train", "--take", take, "--reel", copy, "--out", out), "the splits of", "copy excitation.json too")
    probe = path.rename(path.with_name("main-probe.wav"))
    refused(twin("train", "--take", take, "--reel", probe, "--out", out), "is a probe reel")
    other = probe.rename(path.with_name("other.wav"))
    refused(twin("train", "--take", take, "--reel", other, "--out", out), "has no reel other")
    wav(path, noise(3.0, 2))
    refused(twin("train", "--take", take, "--reel", path, "--out", out), "describes a reel of")
    assert twin("train", "--take", take, "--out", out)[0] == 2
    assert twin("train", "--out", out)[0] == 2
    assert not out.exists()


def test_music_is_no_reel(tmp_path: Path) -> None:
    signal = noise(3.0, 1)
    assert not is_reel(wav(tmp_path / "music.wav", signal))
    signal[: 2 * RATE] = 0
    assert not is_reel(wav(tmp_path / "late.wav", signal))
    assert not is_reel(wav(tmp_path / "short.wav", signal[:100]))
    assert not is_reel(wav(tmp_path / "silent.wav", np.zeros(3 * RATE, np.float32)))


def test_the_training_is_followed_and_errors_are_collected(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lines of the training are those of `show_progress`."""
    clock = iter([0.0, 1.5, 3.0, 10.0, 11.5])
    with monkeypatch.context() as patch:
        patch.setenv(progress.SECONDS_VARIABLE, "1")
        patch.setattr(progress.time, "monotonic", lambda: next(clock))
        with progress.show_progress("train amp/small", 12, "CPU-s") as advance:
            advance(5)
            advance(7, "loss 0.1, validation ESR 1.000%, best 1.000%")
        with progress.show_progress("evaluate amp/small", 12, "s of audio") as advance:
            advance(5)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
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
    words = [str(dry), str(wet), "--out", str(tmp_path / "out"), "--preset", "nam-nano", "--minutes", "0.1"]
    made = tmp_path / "out" / "results" / "twins" / "fuzz-1" / "nam-nano"
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
    while not (made / "checkpoints" / "run.json").exists() and process.poll() is None:
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    rest = process.stderr.read()
    assert process.wait() == 130, rest
    assert "run again to continue" in rest

    monkeypatch.setattr(sys, "executable", forked_python())
    code, out, err = twin("train", *words)
    assert code == 0, err
    assert ": ok, lag" not in err
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
def test_a_refused_pair_gives_one_sentence(twin: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", forked_python())
    dry, _ = make_pair(tmp_path)
    silence = wav(tmp_path / "silent.wav", np.zeros(int(SECONDS * RATE), np.float32))
    ended = twin("train", dry, silence, "--out", tmp_path / "out", "--minutes", "0.1")
    refused(ended, "silent: channel 1 of the wet file is silent")
    assert not (tmp_path / "out" / "results" / "twins").exists()
