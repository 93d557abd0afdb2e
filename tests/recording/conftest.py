"""Two small excitations made of real music, and recordings of their reels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.excitation.factories import table
from twinlib import audio
from twinlib.contracts import EXCITATION
from twinlib.excitation.cue_sheet import draw_cue_sheet
from twinlib.excitation.reels import render_reel
from twinlib.excitation.settings import Excitation
from twinlib.files import write_json

CORPUS = Path(__file__).parents[2] / "config" / "demo_corpus" / "Audio"
RATE = 44100
REELS = 12
SETTINGS = {
    "seed": 1,
    "slices": 20 * REELS,
    "reel_minutes": 0.26,
    "bit_depth": 16,
    "split": {"train": 0.6, "valid": 0.2, "test": 0.2, "by": "artist"},
}


@pytest.fixture(scope="session")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo corpus as WAV files in folders of their artists."""
    root = tmp_path_factory.mktemp("music")
    for path in sorted(CORPUS.rglob("*.flac"))[::2]:
        samples = audio.read(path)[: 8 * RATE]
        target = root / path.parent.name.split("_")[0] / f"{path.stem}.wav"
        target.parent.mkdir(exist_ok=True)
        soundfile.write(target, samples, RATE, "PCM_16")
    return root


def make_excitation(folder: Path, name: str, music: Path, **changes: object) -> Path:
    """Make the reels of an excitation as the workflow does; return its folder."""
    settings = Excitation.model_validate({**SETTINGS, **changes})
    tracks = table(music)
    drawn = draw_cue_sheet(name, settings, tracks, set(), music)
    made = folder / "results" / "excitations" / name
    made.mkdir(parents=True)
    write_json(made / "excitation.json", EXCITATION, drawn.excitation)
    for reel in drawn.excitation["reels"]:
        render_reel(reel, drawn.cues, drawn.excitation, music, made / "reels" / f"{reel}.wav")
    return made


@pytest.fixture(scope="session")
def main(music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve reels. Read-only."""
    return make_excitation(tmp_path_factory.mktemp("main"), "main", music)


@pytest.fixture(scope="session")
def foreign(music: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reel of another excitation of the same music. Read-only."""
    return make_excitation(tmp_path_factory.mktemp("foreign"), "main", music, seed=2, slices=20)


Device = Callable[[audio.Signal], audio.Signal]


def overdrive(samples: audio.Signal, seed: int = 0) -> audio.Signal:
    """An inverting overdrive with noise."""
    noise = np.random.default_rng(seed).standard_normal(len(samples)) * 1e-4
    return (-0.5 * np.tanh(2.0 * samples) + noise).astype(np.float32)


def silence(seconds: float) -> audio.Signal:
    return np.zeros(round(seconds * RATE), np.float32)


def reel_samples(folder: Path, reel: str) -> audio.Signal:
    return audio.read(folder / "reels" / f"{reel}.wav")[:, 0]
