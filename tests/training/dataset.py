"""A dataset on disk of a synthetic pair, and the training program on it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.dataset.factories import GUARD, RATE, SETTINGS, source, write
from tests.workflow.project import REPOSITORY, Program
from twinlib.dataset.segments import tile_pair
from twinlib.dataset.settings import Dataset
from twinlib.files import sha256_file, write_json, write_table


def write_dataset(folder: Path, frames: int = 60_000, repeats: int = 1, settings: Dataset = SETTINGS) -> None:
    """Write a device with `repeats` captures of `frames` samples, each cut into train, valid and test."""
    import pandas as pd

    (folder / "shards").mkdir(parents=True)
    dry = np.random.default_rng(0).uniform(-1, 1, frames).astype(np.float32)
    wet = np.tanh(3 * np.concatenate([np.zeros(GUARD, np.float32), dry[:-GUARD]])).astype(np.float32)
    tables = []
    for number in range(repeats):
        origin = source(frames, f"p{number}", dry_range=None, lag=0.0)
        tables.append(write(folder / "shards", tile_pair(origin, "dry.wav", settings), origin, dry, wet))
    write_table(folder / "segments.parquet", "segments/1", pd.concat(tables, ignore_index=True))
    shards = {path.stem: sha256_file(path) for path in (folder / "shards").glob("*.arrow")}
    content = {
        "sample_rate": RATE,
        "guard_samples": GUARD,
        "device": "box",
        "digest": "d1ge57",
        "segment_samples": settings.segment_samples,
    }
    content["sums"] = {"shards": shards}
    write_json(folder / "dataset.json", "dataset/1", content)
    write_json(folder / "leaks.json", "leaks/1", {"leaks": []})


def training(
    folder: Path, twin: Path, prefix: tuple[str, ...] = (), **settings: object
) -> Program | subprocess.Popen[str]:
    """Start scripts/train_twin.py on this dataset: forked from a server, or with `prefix` in a new interpreter."""
    network = {"channels": 4, "kernel_size": 3, "dilations": [1, 3, 9]}
    words: dict[str, object] = {
        "nodes": 1,
        "device": "box",
        "model": "tiny",
        "network": json.dumps(network),
        "settings": json.dumps({"device": "cpu", "crop_samples": 128, "valid_seconds": 1.0, **settings}),
        "tracking": '{"enabled": false}',
        **{name: folder / f"{name}.parquet" for name in ("segments",)},
        **{name: folder / f"{name}.json" for name in ("dataset", "leaks")},
        "results": folder,
        "twin": twin,
        "curve": twin.parent / "training.parquet",
    }
    options = [part for name, value in words.items() for part in (f"--{name}", str(value))]
    shards = ["--best", "--shards", *map(str, sorted((folder / "shards").glob("*.arrow")))]
    command = [str(REPOSITORY / "scripts" / "train_twin.py"), *options, *shards]
    if not prefix:
        return Program(command, folder)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, *prefix, *command]
    return subprocess.Popen(words, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)
