"""Listening clips: excerpts dry, from device, twin and best linear filter, and the twin's error, at true levels."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from twinlib import audio
from twinlib.audio import Signal
from twinlib.contracts import CLIPS, MUSIC
from twinlib.db import amp_to_db, db_to_amp
from twinlib.evaluation.excerpts import Excerpt, Span
from twinlib.files import write_json

NAMES = ("dry", "wet", "twin", "linear", "difference")

PEAK = db_to_amp(-1.0)
"""No clip rises above -1 dBFS."""

_GAP_SECONDS = 0.1


def common_gain(signals: Sequence[Signal]) -> float:
    """The one gain, 1 at most, that keeps the peaks of all signals below `PEAK`."""
    peak = max(float(np.max(np.abs(signal), initial=0.0)) for signal in signals)
    return min(1.0, PEAK / peak) if peak > 0.0 else 1.0


def write_clips(
    folder: Path,
    spans: Sequence[Span],
    excerpts: Sequence[Excerpt],
    twins: Sequence[Signal],
    linears: Sequence[Signal],
    guard: int,
    sample_rate: int,
) -> dict[str, Any]:
    """Write a FLAC file (24 bits, mono) for each of `NAMES`, and `clips.json`; return that JSON.

    `twins[i]` is the twin's output `(frames,)` for `excerpts[i]`, `linears[i]` that of the best linear filter.
    The guard is taken off: all clips are in step with the dry one. All share one gain, so the difference is as loud as
    it is beside the others. Excerpts are joined by silence. `pieces` tells where each excerpt stands in the clips, in
    samples, and where in its shard the wet signal begins.
    """
    pieces: dict[str, list[Signal]] = {name: [] for name in NAMES}
    gap = np.zeros(round(_GAP_SECONDS * sample_rate), np.float32)
    told: list[dict[str, Any]] = []
    for excerpt, twin, linear in zip(excerpts, twins, linears, strict=True):
        span = spans[excerpt.span]
        begin = told[-1]["stop"] + len(gap) if told else 0
        stop = begin + excerpt.stop - excerpt.start
        told.append({"start": begin, "stop": stop, "shard": span.shard, "shard_start": excerpt.start})
        wet = span.read_wet(excerpt.start, excerpt.stop)
        dry = span.read_dry(excerpt.start - guard, excerpt.stop - guard)
        for name, samples in zip(NAMES, (dry, wet, twin, linear, twin - wet), strict=True):
            pieces[name] += [gap, samples] if pieces[name] else [samples]
    signals = {name: np.concatenate(parts) for name, parts in pieces.items()}
    content = {**_written(folder, "", signals, sample_rate), "excerpts": len(excerpts), "pieces": told}
    write_json(folder / "clips.json", CLIPS, content)
    return content


def write_music(
    folder: Path, signals: Mapping[str, Signal], sample_rate: int, reel: str, start: int, withdrawn: Sequence[str] = ()
) -> dict[str, Any]:
    """Write the music of a probe reel, `(frames,)` for each of `NAMES` and in step, as `music-NAME.flac`; returns what
    `music.json` beside them holds.

    Sample n of the clips is sample `start + n` of the `reel`. Where tracks of it are `withdrawn`, the signals are to be
    silence, as the stretches of such tracks are in the shards; the file names them.
    """
    content = {
        **_written(folder, "music-", {name: signals[name] for name in NAMES}, sample_rate),
        "reel": reel,
        "reel_start": start,
        "reel_stop": start + len(signals["dry"]),
        "withdrawn": list(withdrawn),
    }
    write_json(folder / "music.json", MUSIC, content)
    return content


def _written(folder: Path, prefix: str, signals: Mapping[str, Signal], sample_rate: int) -> dict[str, Any]:
    gain = common_gain(list(signals.values()))
    for name, signal in signals.items():
        audio.write(folder / f"{prefix}{name}.flac", signal * np.float32(gain), sample_rate, "PCM_24")
    return {
        "seconds": len(signals["dry"]) / sample_rate,
        "gain": gain,
        "gain_db": amp_to_db(gain),
        "sample_rate": sample_rate,
    }
