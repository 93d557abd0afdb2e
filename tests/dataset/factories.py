"""Small synthetic reels, pairs and captures."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from twinlib.alignment.result import Alignment, Window
from twinlib.contracts import ALIGNMENT
from twinlib.dataset.segments import tile_pair, tile_reel
from twinlib.dataset.settings import Dataset
from twinlib.dataset.shards import shard_metadata, write_shard
from twinlib.dataset.source import CaptureSource, capture_source
from twinlib.files import write_json, write_table
from twinlib.resampling.time_map import TimeMap

RATE = 8000
SIZE = 256
GUARD = 12
SETTINGS = Dataset(segment_samples=SIZE, guard_samples=GUARD)
SPLITS = ("train", "valid", "test")


def take(**changes: Any) -> dict[str, Any]:
    sha256 = hashlib.sha256(str(changes.pop("seed", 0)).encode()).hexdigest()
    base = {"sha256": sha256, "verdict": "ok", "reasons": [], "sample_rate": RATE, "settings": {"drive": 0.5, "a": 1}}
    return {**base, "simulated": False, "clipped": [], "clips": len(changes.get("clipped", [])), **changes}


def alignment(frames: int, lag: float = 500.0, drift_ppm: float = 0.0, **changes: Any) -> Alignment:
    """An alignment with one straight piece, or with other `pieces`."""
    wet_frames = changes.get("wet_frames", frames + 1000)
    base: dict[str, Any] = {
        "sample_rate": RATE, "wet_sample_rate": RATE, "dry_frames": frames, "wet_frames": wet_frames,
        "dry_range": (0, frames), "wet_range": (0, wet_frames), "lag_samples": lag, "drift_ppm": drift_ppm,
        "drift_error_ppm": 0.001, "polarity": 1, "gain_db": 0.0, "residual_rms_samples": 0.01,
        "wander_rms_samples": 0.0, "confidence": 1.0, "dropouts": (), "excluded": (), "verdict": "ok", "reasons": (),
        "guard_samples": GUARD, "reference": None, "warp": "sinc", "applied_lag_samples": lag,
        "applied_drift_ppm": drift_ppm, "applied_polarity": 1, "applied_gain": 1.0, "applied_dc": 0.0,
        "pieces": TimeMap.straight(lag, drift_ppm, 0, frames).pieces,
        "track": (Window(0.0, lag, 1.0, 0.01), Window(float(frames), lag, 1.0, 0.03)),
    }  # fmt: skip
    return Alignment(**{**base, **changes})


@dataclass
class Reel:
    cues: pd.DataFrame
    entry: dict[str, Any]

    @property
    def frames(self) -> int:
        return int(self.entry["frames"])


def reel(seed: int = 0, slices: tuple[int, int, int] = (12, 5, 5), length: int = 600, fade: int = 100) -> Reel:
    """Silence, click, three blocks of crossfaded slices with silence between, click, silence; lengths vary by seed."""
    rng = np.random.default_rng(seed)
    click, position = 40, int(rng.integers(300, 900))
    clicks = [position]
    position += click + int(rng.integers(300, 500))
    rows, blocks = [], []
    for split, count in zip(SPLITS, slices, strict=True):
        begin = position
        for k in range(count):
            track = f"{split}-{(k + seed) % 4}"
            offset = int(rng.integers(0, 10_000))
            rows.append(
                {
                    "reel": "r-01", "position": len(rows), "start": position, "stop": position + length,
                    "track_id": track,
                    "artist": f"artist of {track}", "licence": f"CC-{split}", "source": f"{track}.wav",
                    "source_sha256": "00", "source_start": offset, "source_stop": offset + length, "gain_db": 0.0,
                    "split": split,
                }
            )  # fmt: skip
            position += length - fade
        blocks.append({"split": split, "start": begin, "stop": position + fade})
        position += fade + int(rng.integers(300, 1200))
    clicks.append(position)
    frames = position + click + int(rng.integers(300, 900))
    entry = {"frames": frames, "clicks": clicks, "click_frames": click, "blocks": blocks}
    return Reel(pd.DataFrame(rows), entry)


def signals(frames: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random dry samples and the matching wet ones."""
    dry = np.random.default_rng(seed).uniform(-1, 1, frames).astype(np.float32)
    return dry, np.tanh(3 * np.concatenate([np.zeros(GUARD, np.float32), dry[:-GUARD]])).astype(np.float32)


def source(
    frames: int, capture: str = "r-01", take_changes: dict[str, Any] | None = None, **changes: Any
) -> CaptureSource:
    dry_range = changes.pop("dry_range", None)
    return capture_source("box", capture, take(**(take_changes or {})), alignment(frames, **changes), dry_range)


def write(
    folder: Path, segments: pd.DataFrame, origin: CaptureSource, dry: np.ndarray, wet: np.ndarray, **options: Any
) -> pd.DataFrame:
    """Write a capture as the shard stage does: the shard and its table."""
    path = folder / f"{origin.capture}.arrow"
    metadata = shard_metadata(origin, int(segments["stop"].iloc[0] - segments["start"].iloc[0]))
    done = write_shard(path, segments, lambda a, b: dry[a:b], lambda a, b: wet[a:b], metadata, **options)
    write_table(path.with_suffix(".parquet"), "segments/1", done)
    return done


def written_reel(
    folder: Path, seed: int = 0, capture: str = "r-01", excluded: tuple[str, ...] = (), **changes: Any
) -> tuple[Reel, pd.DataFrame, np.ndarray, np.ndarray]:
    """A reel, its segments as written, and its signals."""
    made = reel(seed)
    origin = source(made.frames, capture, **changes)
    segments = tile_reel(origin, made.cues, made.entry, SETTINGS, excluded)
    dry, wet = signals(made.frames, seed)
    return made, write(folder, segments, origin, dry, wet), dry, wet


def written_pair(folder: Path, frames: int = 40_000, capture: str = "p", **options: Any) -> pd.DataFrame:
    origin = source(frames, capture, dry_range=options.pop("dry_range", None), lag=0.0)
    segments = tile_pair(origin, options.pop("dry_name", "dry.wav"), SETTINGS, **options)
    return write(folder, segments, origin, *signals(frames))


def write_part_files(folder: Path, frames: int, take_changes: dict[str, Any] | None = None) -> tuple[Path, Path]:
    """take.json and alignment.json of one capture."""
    write_json(folder / "take.json", "take/1", take(**(take_changes or {})))
    write_json(folder / "alignment.json", ALIGNMENT, alignment(frames).to_dict())
    return folder / "take.json", folder / "alignment.json"
