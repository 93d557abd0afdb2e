"""Excitations of real recordings that may contain a track twice, and the segments of their takes."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.signal
import soxr

from tests.dataset.factories import source
from tests.workflow.project import REPOSITORY
from twinlib import audio
from twinlib.dataset.fingerprint import fingerprint_reel
from twinlib.dataset.segments import tile_reel
from twinlib.dataset.settings import Dataset
from twinlib.excitation.cue_sheet import CueSheet, draw_cue_sheet
from twinlib.excitation.reels import render_reel
from twinlib.excitation.settings import Excitation, Split
from twinlib.excitation.splits import assign_split
from twinlib.files import sha256_file

RATE = 44100
DEMO = REPOSITORY / "config" / "demo_corpus" / "Audio"
NAMES = ("Suva_GuitarESlide", "Garzul_LoopGarzul", "SubD_GuitarEFifths", "Godspine_LoopCompus", "Lezaarth_LoopTabla",
         "Nemaavla_LoopSafari", "AniMusic_BassVoxyC", "BStateham_GuitarHarmonics")  # fmt: skip
"""Eight recordings of the demo, 53 seconds."""

COPIED = "Lezaarth_LoopTabla"


def recordings(names: Collection[str] = NAMES) -> dict[str, tuple[audio.Signal, int]]:
    """Recordings of the demo by name: samples `(frames, channels)` and rate."""
    paths = {name: DEMO / name / f"{name}_MIX.flac" for name in names}
    return {name: (audio.read(path), audio.read_info(path).sample_rate) for name, path in paths.items()}


def altered(samples: audio.Signal, rate: int, head: float) -> tuple[audio.Signal, int]:
    """A mono copy without its start, at half level, low-passed at 9 kHz, at 48 kHz."""
    mono = 0.5 * samples[round(head * rate) :].mean(axis=1)
    low = scipy.signal.fftconvolve(mono, scipy.signal.firwin(255, 9000, fs=rate), "same").astype(np.float32)
    return soxr.resample(low, rate, 48000), 48000


@dataclass(frozen=True)
class Played:
    """An excitation with its reels and fingerprints."""

    plan: CueSheet
    reels: Mapping[str, Path]
    fingerprints: pd.DataFrame

    @property
    def cues(self) -> dict[str, pd.DataFrame]:
        return {str(name): rows for name, rows in self.plan.cues.groupby("reel")}

    def segments(self, excluded: Collection[str] = ()) -> pd.DataFrame:
        """The segments of a device with takes of every reel."""
        size = Dataset(segment_samples=4096, guard_samples=12)
        tables = []
        for name, rows in self.cues.items():
            entry = self.plan.excitation["reels"][name]
            tables.append(tile_reel(source(entry["frames"], name), rows, entry, size, excluded))
        return pd.concat(tables, ignore_index=True)


def played(folder: Path, music: Mapping[str, tuple[audio.Signal, int]], test: Collection[str], slices: int) -> Played:
    """Two reels of random slices; the tracks in `test` are in the test split, all others in train."""
    rows = []
    for name, (samples, rate) in music.items():
        path = folder / "corpus" / f"{name}.{'flac' if rate == RATE else 'wav'}"
        audio.write(path, samples, rate, "PCM_16")
        info = audio.read_info(path)
        about = {"track_id": name, "artist": name.split("_")[0], "licence": "CC0-1.0", "kind": "mix", "path": path.name}
        size = {"sample_rate": rate, "channels": info.channels, "frames": info.frames, "sha256": sha256_file(path)}
        rows.append(about | size)
    settings = {"seed": len(test), "slices": slices, "reel_minutes": slices * 0.161 / 60 / 1.8 + 0.08}
    made = draw_cue_sheet(
        "p", _with_split(settings, list(music), set(test)), pd.DataFrame(rows), set(), folder / "corpus"
    )
    reels = {}
    for name in made.excitation["reels"]:
        reels[name] = folder / f"{name}.wav"
        render_reel(name, made.cues[made.cues.reel == name], made.excitation, folder / "corpus", reels[name])
    return Played(made, reels, fingerprints(made.cues, reels))


def fingerprints(cues: pd.DataFrame, reels: Mapping[str, Path]) -> pd.DataFrame:
    tables = []
    for name, path in reels.items():
        with audio.Reader(path) as reader:
            tables.append(fingerprint_reel(reader, cues[cues.reel == name]))
    return pd.concat(tables, ignore_index=True)


def _with_split(settings: dict[str, object], names: list[str], test: set[str]) -> Excitation:
    """The settings with a salt that assigns exactly `test` to the test split."""
    for number in range(100_000):
        split = Split(train=0.7, valid=0.0, test=0.3, by="track", salt=str(number))
        if {name for name in names if assign_split(name, split) == "test"} == test:
            return Excitation.model_validate({**settings, "split": split})
    raise AssertionError("no salt gives this split")
