"""Damaged, exchanged and partial takes, from ingest to the shard."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from scipy.interpolate import CubicSpline

from tests.cli_harness import (
    Fails,
    Options,
    call,
    error_to_signal,
)
from tests.programs.project import ALIGNMENT, CAPTURE, REEL, SHARD
from tests.workflow.project import RATE
from twinlib import audio
from twinlib.dataset.shards import Shard
from twinlib.files import read_json, read_table


def _spoil(name: str, start: int, value: float) -> None:
    path = Path(name)
    samples = audio.read(path)
    samples[start : start + 20] = value
    soundfile.write(path, samples, RATE, "FLOAT")


def test_a_take_with_nan_is_refused_and_never_cut(fails: Fails, finished: tuple[Path, Options]) -> None:
    options = finished[1]
    _spoil(f"{CAPTURE}/take.wav", 200_000, np.nan)
    assert call("ingest_take", options["ingest_take"]) == 0
    take = read_json(Path(f"{CAPTURE}/take.json"), "take/1")
    assert take["verdict"] == "refused"
    assert "200000" in take["reasons"][0]
    assert call("align_take", options["align_take"]) == 0
    assert call("cut_shard", options["cut_shard"]) == 0
    message = fails("build_manifest", "200000", "NaN or infinite", "record the take again")
    assert "tiny-01" in message


def test_nan_added_to_a_take_after_ingest_is_detected(fails: Fails) -> None:
    _spoil(f"{CAPTURE}/take.wav", 200_000, np.inf)
    fails("cut_shard", "take.wav", "has changed since")
    _spoil(f"{CAPTURE}/take.wav", 200_000, 0.0)
    _spoil(REEL, 200_000, np.nan)
    fails("cut_shard", "has changed since")


@pytest.mark.parametrize("frames", [400, 300_000])
def test_a_take_of_another_length_must_be_aligned_again(fails: Fails, frames: int) -> None:
    audio.write(Path(f"{CAPTURE}/take.wav"), audio.read(Path(f"{CAPTURE}/take.wav"))[:frames], RATE, "PCM_24")
    fails("cut_shard", "take.wav", "has changed since", "Run snakemake again")


def test_a_missing_channel_is_named(fails: Fails) -> None:
    fails("align_take", "take.wav", "no channel 2", channel=2)
    fails("align_take", "take.wav", "no channel 2", reference_channel=2)
    fails("cut_shard", "take.wav", "no channel 2", channel=2)
    fails("ingest_take", "counted from 1", channel=0)
    fails("align_take", "no channel", channel=0)


Judged = tuple[dict[str, Any], dict[str, Any], Any, Shard]


def recorded_anew(options: Options, samples: np.ndarray, rate: int = RATE, **changes: Any) -> Judged:
    """Replace the take, run the stages up to its shard, and return take, alignment, segments and shard."""
    soundfile.write(f"{CAPTURE}/take.wav", samples, rate, "FLOAT")
    for stage in ("ingest_take", "align_take", "cut_shard"):
        assert call(stage, {**options[stage], **(changes if stage == "align_take" else {})}) == 0, stage
    take, alignment = read_json(Path(f"{CAPTURE}/take.json"), "take/1"), read_json(Path(ALIGNMENT), "alignment/2")
    return take, alignment, read_table(Path(SHARD).with_suffix(".parquet"), "segments/1"), Shard.open(Path(SHARD))


def without_highs(samples: np.ndarray) -> np.ndarray:
    """Return the signal below 18 kHz, which resampling preserves."""
    return soxr.resample(soxr.resample(samples, RATE, 36000, "VHQ"), 36000, RATE, "VHQ")[: len(samples)]


def flags_of(segments: Any) -> list[list[str]]:
    return [list(flags) for flags in segments["flags"]]


@pytest.mark.parametrize("rate", [48000, 96000])
def test_a_take_of_another_rate_gives_the_same_segments(
    fails: Fails, finished: tuple[Path, Options], rate: int
) -> None:
    played = without_highs(audio.read(Path(f"{CAPTURE}/take.wav"))[:, 0])
    _, _, segments, shard = recorded_anew(finished[1], played)
    take, alignment, others, other = recorded_anew(finished[1], soxr.resample(played, RATE, rate, "VHQ"), rate)
    assert (take["sample_rate"], alignment["wet_sample_rate"], alignment["sample_rate"]) == (rate, rate, RATE)
    assert (take["verdict"], alignment["verdict"]) == ("ok", "ok")
    assert flags_of(others) == flags_of(segments)
    assert (others.split != "").sum() > 80
    assert other.metadata.sample_rate == RATE
    assert np.array_equal(other.dry, shard.dry)
    assert error_to_signal(other.wet, shard.wet) < 1e-9


def test_a_loop_back_channel_gives_the_dry_samples_and_the_clock(fails: Fails, finished: tuple[Path, Options]) -> None:
    segments, shard = read_table(Path(SHARD).with_suffix(".parquet"), "segments/1"), Shard.open(Path(SHARD))
    before = shard.dry.copy(), shard.wet.copy()
    truth = read_json(Path(f"{CAPTURE}/truth.json"), "simulated-take/1")
    take, reel = audio.read(Path(f"{CAPTURE}/take.wav"))[:, 0], audio.read(Path(REEL))[:, 0]
    # The reel on the clock of the recorder, inverted, attenuated by 6 dB, with noise.
    dense = soxr.resample(np.pad(reel.astype(float), 8192), 1, 8, "VHQ")
    at = (np.arange(len(take)) - truth["lag_samples"]) / (1 + truth["drift_ppm"] * 1e-6)
    looped = -0.5 * CubicSpline(np.arange(len(dense)) / 8 - 8192, dense)(np.clip(at, -8000, len(reel) + 8000))
    looped += 1e-5 * np.random.default_rng(0).standard_normal(len(looped))
    _, alignment, others, other = recorded_anew(finished[1], np.stack([take, looped], axis=1), reference_channel=2)
    assert alignment["reference"]["channel"] == 1
    assert alignment["reference"]["polarity"] == -1
    assert alignment["reference"]["gain_db"] == pytest.approx(-6.02, abs=0.01)
    assert alignment["polarity"] == 1
    assert alignment["lag_samples"] == pytest.approx(truth["lag_samples"], abs=1e-3), "the device's delay is not in it"
    assert flags_of(others) == flags_of(segments)
    assert error_to_signal(without_highs(other.dry), without_highs(before[0])) < 1e-6
    assert error_to_signal(other.wet, before[1]) < 1e-3
    assert not np.array_equal(other.dry, before[0])


def test_only_the_requested_repairs_are_applied(fails: Fails, finished: tuple[Path, Options]) -> None:
    before = Shard.open(Path(SHARD)).wet.copy()
    gain_db = read_json(Path(ALIGNMENT), "alignment/2")["gain_db"]
    played = -audio.read(Path(f"{CAPTURE}/take.wav"))[:, 0]
    for repair, factor in ((["polarity"], 1.0), ([], -1.0), (["gain", "polarity"], 10 ** (-gain_db / 20))):
        _, alignment, _, shard = recorded_anew(finished[1], played, repair=repair)
        assert alignment["polarity"] == -1
        assert error_to_signal(shard.wet, factor * before) < 1e-6, repair


LOST = 250_000
"""A sample of the take inside the music."""


@pytest.mark.parametrize(
    ("keep", "flag", "most"),
    [
        ([slice(0, LOST), slice(LOST + 37, None)], "lost-samples", 2),
        ([slice(0, LOST), slice(LOST - 441, None)], "repeated-samples", 2),
        ([slice(0, 400_000)], "outside-take", 124),
        ([slice(150_000, None)], "outside-take", 36),
    ],
)
def test_only_the_damaged_part_of_a_take_is_excluded(
    fails: Fails, finished: tuple[Path, Options], keep: list[slice], flag: str, most: int
) -> None:
    segments, before = read_table(Path(SHARD).with_suffix(".parquet"), "segments/1"), Shard.open(Path(SHARD)).wet.copy()
    played = audio.read(Path(f"{CAPTURE}/take.wav"))[:, 0]
    _, alignment, others, shard = recorded_anew(finished[1], np.concatenate([played[part] for part in keep]))
    assert alignment["verdict"] == "suspect"
    flagged = [flag in flags for flags in flags_of(others)]
    assert 0 < sum(flagged) <= most
    assert [[name for name in flags if name != flag] for flags in flags_of(others)] == flags_of(segments)
    for row in others.itertuples():
        if row.split:
            here = slice(row.row * 4096, (row.row + 1) * 4096)
            assert error_to_signal(shard.wet[here], before[here]) < 0.05, row.start


def test_a_pair_range_outside_its_files_is_refused(fails: Fails) -> None:
    pair = json.dumps({"split": None, "start": 10**9, "stop": 10**9 + 5, "clip_samples": None})
    fails("cut_shard", "correct start and stop", pair=pair)
