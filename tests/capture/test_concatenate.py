"""Concatenation of clips."""

from pathlib import Path

import numpy as np
import pytest

from twinlib import audio
from twinlib.capture.concatenate import concatenate_clips
from twinlib.errors import AudioError


def write_clips(folder: Path, count: int, drift: np.ndarray | float = 0.0, frames: int = 400) -> np.ndarray:
    generator = np.random.default_rng(0)
    clips = generator.uniform(-0.3, 0.3, (count, frames)).astype(np.float32)
    for number, clip in enumerate(clips):
        audio.write(folder / f"sample{number}.wav", (clip + drift).astype(np.float32), 44100, "FLOAT")
    return clips


def test_clips_are_ordered_by_number(tmp_path: Path) -> None:
    clips = write_clips(tmp_path / "clips", 12)
    assert concatenate_clips(tmp_path / "clips", tmp_path / "all.flac", skip=100) == 12
    joined = audio.read(tmp_path / "all.flac")[:, 0]
    np.testing.assert_allclose(joined, clips[:, 100:].reshape(-1), atol=2**-23)


def test_clips_beyond_the_limit_of_wav_are_all_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "RIFF_LIMIT", 10_000)
    clips = write_clips(tmp_path / "clips", 12)
    (tmp_path / "clips/sample11.wav").rename(tmp_path / "clips/sample11.WAV")
    assert concatenate_clips(tmp_path / "clips", tmp_path / "all.wav") == 12
    assert audio.read_info(tmp_path / "all.wav").format == "RF64"
    np.testing.assert_array_equal(audio.read(tmp_path / "all.wav")[:, 0], clips.reshape(-1))


def test_common_drift_is_subtracted(tmp_path: Path) -> None:
    drift = -0.4 * np.exp(-np.arange(400) / 150) + 0.05
    clips = write_clips(tmp_path / "clips", 100, drift)
    concatenate_clips(tmp_path / "clips", tmp_path / "all.wav", subtract_drift=True)
    joined = audio.read(tmp_path / "all.wav")[:, 0].reshape(100, 400)
    assert np.sqrt(np.mean((joined - clips) ** 2)) < 0.003


def test_mismatched_clips_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"contains no \.wav"):
        concatenate_clips(tmp_path, tmp_path / "all.wav")
    write_clips(tmp_path, 3)
    with pytest.raises(AudioError, match="cannot be skipped"):
        concatenate_clips(tmp_path, tmp_path / "all.flac", skip=400)
    audio.write(tmp_path / "sample9.wav", np.zeros(300, np.float32), 44100, "FLOAT")
    with pytest.raises(AudioError, match=r"sample9\.wav and .* differ"):
        concatenate_clips(tmp_path, tmp_path / "all.flac")
    assert not (tmp_path / "all.flac").exists()
