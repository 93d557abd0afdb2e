"""Synthetic sources of a small corpus and its table of tracks."""

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from twinlib.audio import read_info
from twinlib.excitation.settings import Excitation, Split
from twinlib.files import sha256_file

RATE = 44100
EVERY = Split(train=1.0, valid=0.0, test=0.0)
QUICK = {
    **{"seed": 1, "slices": 40, "slice_samples": 2000, "crossfade_samples": 500, "reel_minutes": 0.2},
    "witness": False,
}


def small(**changes: object) -> Excitation:
    """Settings of a quick excitation with one split, with changes."""
    return Excitation.model_validate({**QUICK, "split": EVERY, **changes})


def noise(seconds: float, channels: int = 1, level: float = 0.2, seed: int = 0, rate: int = RATE) -> np.ndarray:
    """White noise `(frames, channels)`, never beyond full scale."""
    generator = np.random.default_rng(seed)
    return np.clip(generator.normal(0, level, (round(seconds * rate), channels)), -1, 1).astype(np.float32)


def add(root: Path, name: str, samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> None:
    """Write a source below the root."""
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(str(path), samples, rate, subtype=subtype)


def table(root: Path) -> pd.DataFrame:
    """The table `tracks/1` of every WAV below the root; the artist is the first folder."""
    rows = []
    for path in sorted(root.rglob("*.wav")):
        info, relative = read_info(path), path.relative_to(root)
        rows.append(
            {
                "track_id": relative.with_suffix("").as_posix(),
                "artist": relative.parts[0],
                "licence": "CC0-1.0",
                "kind": "mix",
                "path": relative.as_posix(),
                "sample_rate": info.sample_rate,
                "channels": info.channels,
                "frames": info.frames,
                "sha256": sha256_file(path),
            }
        )
    return pd.DataFrame(rows)
