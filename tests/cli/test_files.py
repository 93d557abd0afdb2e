"""The `twin` command on files of recorders: unfinished headers, truncated and lossy files."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.cli.harness import Command, late, refused
from tests.model.factories import make_twin
from tests.sound_files import fmt, pcm, wav
from tests.workflow.project import RATE, noise
from twinlib import audio
from twinlib.model.architecture import Architecture


@pytest.fixture(scope="module")
def music() -> audio.Signal:
    return noise(3.0, 1)


@pytest.fixture
def reel(tmp_path: Path, music: audio.Signal) -> Path:
    path = tmp_path / "reel.wav"
    soundfile.write(path, music, RATE, "PCM_24")
    return path


def test_an_unfinished_take_is_checked_with_a_note(
    twin: Command,
    tmp_path: Path,
    reel: Path,
    music: audio.Signal,
) -> None:
    take = wav(tmp_path / "take.wav", pcm(0.5 * np.tanh(3 * late(music, 500)), 24), fmt(24), data_size=0, riff_size=0)
    code, out, _ = twin("check", take, "--reel", reel)
    assert code == 0
    assert out.splitlines()[0] == f"{take}: ok"
    assert "note: the take has a header without a valid length" in out.splitlines()[1]


def test_lossy_and_empty_takes_are_named(
    twin: Command,
    tmp_path: Path,
    reel: Path,
    music: audio.Signal,
) -> None:
    take = tmp_path / "take.ogg"
    soundfile.write(take, 0.5 * late(music, 500), RATE, "VORBIS", format="OGG")
    code, out, err = twin("align", reel, take, "--json")
    assert (code, round(json.loads(out)["lag_samples"])) == (0, 500)
    assert f"note: {take} is lossy (Vorbis)" in err
    (tmp_path / "empty.wav").touch()
    refused(twin("check", tmp_path / "empty.wav", "--reel", reel), "empty.wav", "is empty (0 bytes)")


def test_an_unfinished_file_is_rendered_whole(twin: Command, tmp_path: Path) -> None:
    samples = noise(0.3, 1)[: RATE // 4]
    model = tmp_path / "twin.safetensors"
    make_twin(Architecture(channels=2, kernel_size=3, dilations=(1, 4)).network).save(model)
    whole = wav(tmp_path / "whole.wav", pcm(samples, 24), fmt(24))
    unfinished = wav(tmp_path / "unfinished.wav", pcm(samples, 24), fmt(24), data_size=0)
    assert twin("render", model, whole, tmp_path / "a.wav")[0] == 0
    code, _, err = twin("render", model, unfinished, tmp_path / "b.wav")
    assert code == 0
    assert f"note: {unfinished} has a header without a valid length" in err
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()
    assert np.abs(audio.read(tmp_path / "a.wav")).max() > 0
