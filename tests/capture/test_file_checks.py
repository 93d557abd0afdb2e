"""Findings on the files of a capture: headers, codecs, bit depth; and on steps of the mean."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sound_files import fmt, pcm, wav
from twinlib.capture.dc_step import DcTrack
from twinlib.capture.ingest import ingest_take

from .conftest import RATE, Write, music


def test_an_unfinished_header_is_noted(write: Write, tmp_path: Path) -> None:
    reel = write("reel.wav", music(2.0))
    path = wav(tmp_path / "take.wav", pcm(music(2.5), 24), fmt(24), data_size=0, riff_size=0)
    take = ingest_take(path, reel=reel)
    assert (take.verdict, take.reasons, take.header, take.seconds) == ("ok", (), "unfinished", 2.5)
    assert [finding.code for finding in take.findings] == ["header-unfinished"]
    assert "the take has a header without a valid length" in take.notes[0]
    assert "read to the end of the file (2.50 s)" in take.notes[0]
    assert "the dry file has a header" in ingest_take(reel, reel=path).notes[0]


def test_a_truncated_file_is_named_whether_wet_or_dry(write: Write, tmp_path: Path) -> None:
    whole = write("whole.wav", music(4.0))
    cut = tmp_path / "cut.wav"
    cut.write_bytes(whole.read_bytes()[: -RATE * 3])
    take = ingest_take(cut, reel=whole)
    assert (take.verdict, take.header) == ("suspect", "truncated")
    assert "incomplete" not in {finding.code for finding in take.findings}
    assert "the take is truncated: it ends at 3.00 s, but its header announces 4.00 s" in take.reasons[0]
    assert "Copy it again" in take.reasons[0]
    take = ingest_take(whole, reel=cut)
    assert "the dry file is truncated: it ends at 3.00 s" in take.reasons[0]
    cut.write_bytes(whole.read_bytes()[:1000])
    take = ingest_take(cut, reel=whole)
    assert (take.verdict, ["truncated" in reason for reason in take.reasons]) == ("refused", [True, False])


@pytest.mark.parametrize(
    ("container", "subtype", "words"),
    [
        ("MP3", "MPEG_LAYER_III", "is lossy (MP3)"),
        ("OGG", "VORBIS", "is lossy (Vorbis)"),
        ("WAV", "PCM_U8", "has 8 bits per sample"),
    ],
)
def test_lossy_and_8_bit_files_are_named(
    write: Write, tmp_path: Path, container: str, subtype: str, words: str
) -> None:
    samples, path = music(1.5), tmp_path / "take"
    soundfile.write(path, samples, RATE, subtype, format=container)
    reel = write("reel.wav", samples[: -RATE // 4])
    take = ingest_take(path, reel=reel)
    assert take.verdict == "suspect"
    assert f"the take {words}" in take.reasons[0]
    played = ingest_take(reel, reel=path)
    assert f"the dry file {words}" in "".join((*played.reasons, *played.notes))


@given(
    step=st.sampled_from([-0.3, -0.05, -0.012, 0.012, 0.05, 0.3]),
    at=st.floats(3.0, 9.0),
    noise=st.floats(0, 1e-3),
    seed=st.integers(0, 100),
)
@settings(max_examples=20, deadline=None)
def test_a_step_of_the_mean_is_found_between_sounds(step: float, at: float, noise: float, seed: int) -> None:
    """Windows of 50 ms for 12 s, of which a third is quiet."""
    rng = np.random.default_rng(seed)
    times = np.arange(240) / 20
    deviation = np.where(times % 1.5 < 0.5, noise, 0.1)
    means = 0.2 * deviation * rng.standard_normal(240) + 0.003 + step * (times + 0.05 > at)
    track = DcTrack()
    for start in range(0, 240, 29):
        track.add(start, means[start : start + 29], deviation[start : start + 29] ** 2)
    found = track.find_step(0.05)
    assert found is not None
    assert found.start <= at <= found.stop <= found.start + 3.5
    assert (found.before, found.after) == (pytest.approx(0.003, abs=2e-3), pytest.approx(0.003 + step, abs=2e-3))


def test_a_step_of_the_mean_is_reported_with_its_place(write: Write) -> None:
    samples = music(6.0)
    step = 0.04 * (np.arange(len(samples)) > 3.2 * RATE)
    take = ingest_take(write("take.wav", samples + step), reel=write("reel.wav", samples))
    assert [finding.code for finding in take.findings] == ["dc-step"]
    assert take.findings[0].span is not None
    assert take.findings[0].span.start <= 3.2 <= take.findings[0].span.stop
    # A device may follow the steps of the dry file.
    assert ingest_take(write("take.wav", samples + step), reel=write("reel.wav", samples + step)).verdict != "refused"
    assert "dc-step" not in {
        finding.code
        for finding in ingest_take(write("t.wav", samples + step), reel=write("r.wav", samples + step)).findings
    }


@pytest.mark.parametrize("device", ["asymmetric", "rectifier", "biased", "constant"])
def test_the_mean_of_a_distorted_sound_is_no_step(write: Write, device: str) -> None:
    """Distortion that is not symmetric moves the mean with the level of the sound."""
    samples = np.concatenate((music(4.0, 0.02), np.zeros(RATE), music(6.0, 0.9, seed=1), np.zeros(RATE)))
    driven = 8.0 * samples
    shaped = {
        "asymmetric": np.tanh(driven + 0.3) - np.tanh(0.3),
        "rectifier": np.abs(np.tanh(driven)),
        "biased": np.maximum(samples, -0.05),
        "constant": np.tanh(driven) + 0.5,
    }[device]
    take = ingest_take(write("take.wav", 0.5 * shaped), reel=write("reel.wav", samples))
    assert "dc-step" not in {finding.code for finding in take.findings}
