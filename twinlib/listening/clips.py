"""Listening clips: dry, device, twin, best linear filter and the twin's error, as FLAC files at their true levels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from twinlib import audio
from twinlib.audio import Signal
from twinlib.contracts import CLIPS, MUSIC
from twinlib.db import amp_to_db, db_to_amp
from twinlib.evaluation import ExcerptAudio
from twinlib.files import write_json

CLIP_NAMES = ("dry", "wet", "twin", "linear", "difference")
"""The clips of an excerpt: their file names without prefix and suffix."""

PEAK = db_to_amp(-1.0)
"""The highest peak of a clip: -1 dBFS."""

_GAP_SECONDS = 0.1


def common_gain(signals: Sequence[Signal]) -> float:
    """Return the single gain, at most 1, that keeps the peaks of all signals below `PEAK`."""
    peak = max(float(np.max(np.abs(signal), initial=0.0)) for signal in signals)
    return min(1.0, PEAK / peak) if peak > 0.0 else 1.0


def write_clips(folder: Path, excerpts: Sequence[ExcerptAudio], sample_rate: int) -> dict[str, Any]:
    """Write a FLAC file (24 bits, mono) per name of `CLIP_NAMES`, and `clips.json`; return its content.

    100 ms of silence separate the excerpts. All clips have the same gain, so the difference has its true level relative
    to the others. `pieces` lists the position of each excerpt in the clips, in samples, and in its shard.
    """
    joined: dict[str, list[Signal]] = {name: [] for name in CLIP_NAMES}
    gap = np.zeros(round(_GAP_SECONDS * sample_rate), np.float32)
    pieces: list[dict[str, Any]] = []
    for excerpt in excerpts:
        start = pieces[-1]["stop"] + len(gap) if pieces else 0
        stop = start + len(excerpt.wet)
        pieces.append({"start": start, "stop": stop, "shard": excerpt.shard, "shard_start": excerpt.shard_start})
        for name, samples in excerpt.signals():
            joined[name] += [gap, samples] if joined[name] else [samples]
    signals = {name: np.concatenate(parts) for name, parts in joined.items()}
    content = {**_write_flac(folder, "", signals, sample_rate), "excerpts": len(excerpts), "pieces": pieces}
    write_json(folder / "clips.json", CLIPS, content)
    return content


def write_probe_music(
    folder: Path, music: ExcerptAudio, sample_rate: int, reel: str, start: int, withdrawn: Sequence[str] = ()
) -> dict[str, Any]:
    """Write the music of a probe reel as `music-NAME.flac` for `CLIP_NAMES`, and `music.json`; return its content.

    Sample n of the clips is sample `start + n` of the `reel`. If some of its tracks are `withdrawn`, pass silence, as
    in the shards; `music.json` lists them.
    """
    content = {
        **_write_flac(folder, "music-", dict(music.signals()), sample_rate),
        "reel": reel,
        "reel_start": start,
        "reel_stop": start + len(music.dry),
        "withdrawn": list(withdrawn),
    }
    write_json(folder / "music.json", MUSIC, content)
    return content


def _write_flac(folder: Path, prefix: str, signals: Mapping[str, Signal], sample_rate: int) -> dict[str, Any]:
    gain = common_gain(list(signals.values()))
    for name, signal in signals.items():
        audio.write(folder / f"{prefix}{name}.flac", signal * np.float32(gain), sample_rate, "PCM_24")
    return {
        "seconds": len(signals["dry"]) / sample_rate,
        "gain": gain,
        "gain_db": amp_to_db(gain),
        "sample_rate": sample_rate,
    }
