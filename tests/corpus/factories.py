"""A small MedleyDB with all known metadata fields."""

from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml


def sound(path: Path, seed: int, seconds: float = 0.2, channels: int = 2, **how: Any) -> Path:
    """Write a sound file with noise of a given seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).uniform(-0.5, 0.5, (round(seconds * 44100), channels))
    soundfile.write(str(path), samples, how.pop("rate", 44100), **how)
    return path


def metadata(name: str, **changes: Any) -> dict[str, Any]:
    """The 16 MedleyDB metadata keys of a track, with changes."""
    artist, _, title = name.partition("_")
    stem = {"component": "melody", "filename": f"{name}_STEM_01.wav", "instrument": "electric bass"}
    raw = {"R01": {"filename": f"{name}_RAW_01_01.wav", "instrument": ["vocals", "claps"]}}
    return {
        "album": "Album",
        "artist": f"{artist} the Artist",
        "composer": ["One", "Two"],
        "excerpt": "no",
        "genre": "Rock",
        "has_bleed": "no",
        "instrumental": "no",
        "mix_filename": f"{name}_MIX.wav",
        "origin": "Independent Artist",
        "producer": " ",
        "raw_dir": f"{name}_RAW",
        "stem_dir": f"{name}_STEMS",
        "stems": {"S01": {**stem, "raw": raw}},
        "title": title,
        "version": 1.2,
        "website": None,
        **changes,
    }


def track(root: Path, name: str, seed: int, place: Path | None = None, **changes: Any) -> Path:
    """A track with a mix, a stem, a raw file and metadata (in its folder, or in `place`); returns its folder."""
    folder = root / "Audio" / name
    sound(folder / f"{name}_MIX.wav", seed)
    sound(folder / f"{name}_STEMS" / f"{name}_STEM_01.wav", seed + 1000)
    sound(folder / f"{name}_RAW" / f"{name}_RAW_01_01.wav", seed + 2000, channels=1)
    write_metadata(place or folder, name, metadata(name, **changes))
    return folder


def write_metadata(folder: Path, name: str, content: Any) -> None:
    """Write the metadata of a track as YAML; text is written unchanged."""
    folder.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else yaml.safe_dump(content)
    (folder / f"{name}_METADATA.yaml").write_text(text, encoding="utf-8")
