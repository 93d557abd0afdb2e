"""`twin align` on pairs, damaged and unrelated files."""

from pathlib import Path

import numpy as np
import pytest

from tests.cli.harness import Command, late, refused, strict_json, wav
from tests.workflow.project import RATE, noise
from twinlib import audio

MEASURED = {
    "lag_samples", "drift_ppm", "polarity", "gain_db", "residual_rms_samples", "confidence", "dropouts", "verdict",
    "reasons", "findings",
}  # fmt: skip


def test_a_delayed_copy_is_aligned_exactly(twin: Command, tmp_path: Path, music: audio.Signal) -> None:
    dry, wet = wav(tmp_path / "dry.wav", music), wav(tmp_path / "wet.wav", late(music, 1234))
    out, plot = tmp_path / "new" / "aligned.wav", tmp_path / "lag.svg"
    code, text, _ = twin("align", dry, wet, "--out", out, "--plot", plot)
    assert code == 0
    assert "1234.000 samples" in text
    np.testing.assert_array_equal(audio.read(out)[:, 0], music)
    assert plot.read_bytes().startswith(b"<?xml")
    assert twin("align", dry, wet, "--out", tmp_path / "aligned.flac")[0] == 0
    np.testing.assert_allclose(audio.read(tmp_path / "aligned.flac")[:, 0], music, atol=2.0**-23)


def test_align_prints_json(twin: Command, pair: tuple[Path, Path]) -> None:
    code, text, _ = twin("align", *pair, "--json")
    content = strict_json(text)
    assert code == 0
    assert content.keys() >= MEASURED
    assert content["lag_samples"] == pytest.approx(1234, abs=0.01)
    assert (content["polarity"], content["verdict"], content["dropouts"]) == (-1, "suspect", [])
    assert "the dry signal itself (inverted, -6.0 dB)" in content["reasons"][0]
    assert content["gain_db"] == pytest.approx(-6.02, abs=0.05)


@pytest.mark.slow
def test_dropouts_are_reported_and_both_sides_aligned(twin: Command, tmp_path: Path) -> None:
    place, music = 6 * RATE, noise(12.0, 1)
    dry = wav(tmp_path / "dry.wav", music)
    wet = wav(tmp_path / "wet.wav", np.delete(music, slice(place, place + 40)))
    ended = twin("align", dry, wet, "--json", "--out", tmp_path / "aligned.wav")
    assert ended[0] == 0
    content = strict_json(ended[1])
    assert content["verdict"] == "suspect"
    assert "replace the wet file" in content["reasons"][0]
    (dropout,) = content["dropouts"]
    assert dropout.keys() == {"start", "stop", "lost_samples"}
    assert dropout["lost_samples"] == 40
    assert dropout["start"] - 0.05 < 6 < dropout["stop"] + 0.05
    aligned = audio.read(tmp_path / "aligned.wav")[:, 0]
    (left_out,) = content["excluded"]
    assert left_out["start"] <= place < left_out["stop"]
    for kept in (slice(0, left_out["start"]), slice(left_out["stop"], len(music) - 64)):
        np.testing.assert_array_equal(aligned[kept], music[kept])


def test_channels_are_counted_from_1(twin: Command, tmp_path: Path, music: audio.Signal) -> None:
    dry = wav(tmp_path / "dry.wav", music)
    wet = wav(tmp_path / "wet.wav", np.stack([0.3 * noise(8.0, 7), music], axis=1))
    assert strict_json(twin("align", dry, wet, "--channel", 2, "--json")[1])["lag_samples"] == pytest.approx(
        0, abs=0.01
    )
    refused(twin("align", dry, wet, "--channel", 3), "wet.wav", "no channel 3")
    for channel in (0, -1):
        refused(twin("align", dry, wet, "--channel", channel), "counted from 1")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_inf_are_never_written(twin: Command, pair: tuple[Path, Path], tmp_path: Path, bad: float) -> None:
    samples = audio.read(pair[1])[:, 0]
    samples[3 * RATE : 3 * RATE + 50] = bad
    wav(pair[1], samples)
    refused(twin("align", *pair, "--out", tmp_path / "aligned.wav"), "NaN or Inf near")
    assert sorted(tmp_path.iterdir()) == sorted(pair)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_in_the_dry_file_does_not_prevent_alignment(twin: Command, pair: tuple[Path, Path], bad: float) -> None:
    samples = audio.read(pair[0])[:, 0]
    samples[3 * RATE : 3 * RATE + 50] = bad
    wav(pair[0], samples)
    code, text, err = twin("align", *pair, "--json")
    assert (code, err) == (0, "")
    assert strict_json(text)["lag_samples"] == pytest.approx(1234, abs=0.01)


def test_unrelated_files_are_refused(twin: Command, tmp_path: Path, music: audio.Signal) -> None:
    dry = wav(tmp_path / "dry.wav", music)
    for name, samples in (("other", noise(8.0, 2)), ("silent", np.zeros(8 * RATE))):
        ended = twin("align", dry, wav(tmp_path / f"{name}.wav", samples), "--json")
        refused(ended, "cannot be aligned")
        assert strict_json(ended[1])["verdict"] == "refused"
    refused(twin("align", dry, wav(tmp_path / "48.wav", music, 48000)), "48000 Hz", "44100 Hz")


def test_inputs_are_never_overwritten(twin: Command, pair: tuple[Path, Path], tmp_path: Path) -> None:
    dry, wet = pair
    before = [path.read_bytes() for path in pair]
    (tmp_path / "link.wav").symlink_to(wet)
    for out in (dry, wet, tmp_path / "twin" / ".." / "wet.wav"):
        refused(twin("align", dry, wet, "--out", out), "choose another name")
    refused(twin("align", dry, wet, "--plot", wet), ".svg")
    refused(twin("align", dry, tmp_path / "link.wav", "--out", wet), "choose another name")
    refused(twin("align", dry, wet, "--out", tmp_path / "aligned.mp3"), "aligned.mp3", ".wav or .flac")
    assert [path.read_bytes() for path in pair] == before
