"""The `twin` command, run in this process, and small files for it."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.harness import Command, Ended, late, make_reel, wav
from tests.model.factories import make_twin
from tests.workflow.project import noise
from twinlib import audio, cli
from twinlib.contracts import EXCITATION
from twinlib.files import write_json
from twinlib.model.architecture import Architecture
from twinlib.model.twin import Twin


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Restore the process state that the command changes."""
    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def twin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command in this process: exit code, standard output, standard error."""

    def run(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["twin", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture(scope="session")
def music() -> audio.Signal:
    return noise(8.0, 1)


@pytest.fixture
def pair(tmp_path: Path, music: audio.Signal) -> tuple[Path, Path]:
    """A dry file and a copy delayed by 1234 samples, inverted and 6 dB softer."""
    return wav(tmp_path / "dry.wav", music), wav(tmp_path / "wet.wav", -0.5 * late(music, 1234))


@pytest.fixture(scope="session")
def model() -> Twin:
    return make_twin(Architecture(channels=3, kernel_size=3, dilations=(1, 4), dry_path=True).network)


@pytest.fixture
def model_file(tmp_path: Path, model: Twin) -> Path:
    model.save(tmp_path / "twin" / "twin.safetensors")
    return tmp_path / "twin" / "twin.safetensors"


@pytest.fixture
def reel(tmp_path: Path) -> Path:
    """A reel in the folders of the pipeline, with its clicks in `excitation.json`."""
    path = tmp_path / "excitation" / "reels" / "main-01.wav"
    path.parent.mkdir(parents=True)
    samples, places = make_reel(1)
    wav(path, samples)
    write_json(path.parents[1] / "excitation.json", EXCITATION, {"reels": {"main-01": {"clicks": places}}})
    return path
