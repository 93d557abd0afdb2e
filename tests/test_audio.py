"""Sound files as streams."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from twinlib import audio
from twinlib.errors import AudioError


def noise(frames: int, channels: int, seed: int = 0) -> audio.Signal:
    return np.random.default_rng(seed).uniform(-0.9, 0.9, (frames, channels)).astype(np.float32)


@given(frames=st.integers(1, 5000), channels=st.integers(1, 3), block=st.integers(1, 700))
@settings(max_examples=20, deadline=None)
def test_blocks_tile_the_file(tmp_path_factory: pytest.TempPathFactory, frames: int, channels: int, block: int) -> None:
    path = tmp_path_factory.mktemp("audio") / "x.wav"
    samples = noise(frames, channels)
    audio.write(path, samples, 44100, "FLOAT")
    with audio.Reader(path) as reader:
        parts = list(reader.blocks(block))
    assert [position for position, _ in parts] == list(range(0, frames, block))
    np.testing.assert_array_equal(np.concatenate([part for _, part in parts]), samples)


@pytest.mark.parametrize(
    ("subtype", "suffix", "bits"), [("PCM_16", ".wav", 16), ("PCM_24", ".wav", 24), ("PCM_24", ".flac", 24)]
)
def test_round_trip_is_exact_to_the_last_bit(tmp_path: Path, subtype: audio.Subtype, suffix: str, bits: int) -> None:
    steps = 2 ** (bits - 1)
    samples = (np.round(noise(1000, 2) * steps) / steps).astype(np.float32)
    path = tmp_path / f"x{suffix}"
    audio.write(path, samples, 48000, subtype)
    np.testing.assert_array_equal(audio.read(path), samples)
    info = audio.read_info(path)
    assert (info.sample_rate, info.channels, info.frames, info.bit_depth) == (48000, 2, 1000, bits)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "PCM_32"])
@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64", "AIFF", "W64"])
def test_windows_equal_the_file_read_by_libsndfile(tmp_path: Path, container: str, subtype: str) -> None:
    """Bit for bit, including full scale and the smallest steps."""
    path = tmp_path / "x"
    samples = np.concatenate(([[1.0, -1.0], [2.0**-23, -(2.0**-23)]], noise(40_000, 2)))
    with soundfile.SoundFile(path, "w", 44100, 2, subtype, format=container) as file:
        file.write(samples)
    expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
    with audio.Reader(path) as reader:
        for start, stop in ((0, 40_002), (0, 1), (1, 2), (7, 7), (12_345, 34_567), (40_001, 40_002)):
            np.testing.assert_array_equal(reader.read(start, stop), expected[start:stop])


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_other_chunks_may_precede_the_samples(tmp_path: Path, subtype: audio.Subtype) -> None:
    """Audio programs write such chunks, some with an odd number of bytes."""
    path = tmp_path / "x.wav"
    audio.write(path, noise(1000, 1), 44100, subtype)
    expected, whole = audio.read(path), path.read_bytes()
    at = whole.index(b"data")
    body = whole[:at] + b"note" + (5).to_bytes(4, "little") + b"data \x00" + whole[at:]
    path.write_bytes(b"RIFF" + (len(body) - 8).to_bytes(4, "little") + body[8:])
    np.testing.assert_array_equal(audio.read(path), expected)


@pytest.mark.parametrize(("subtype", "last"), [("PCM_16", 19980), ("PCM_24", 19986), ("FLOAT", 19990)])
def test_a_wav_truncated_while_open_is_reported_to_the_sample(
    tmp_path: Path, subtype: audio.Subtype, last: int
) -> None:
    """Truncated before it is opened, it has the remaining frames."""
    path = tmp_path / "x.wav"
    audio.write(path, noise(20_000, 1), 44100, subtype)
    expected = audio.read(path)
    with audio.Reader(path) as reader:
        path.write_bytes(path.read_bytes()[:-40])
        np.testing.assert_array_equal(audio.read(path), expected[: audio.read_info(path).frames])
        with pytest.raises(AudioError, match=rf"ends at sample {last} .* truncated"):
            reader.read(0, 20_000)


def test_a_window_outside_the_file_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    audio.write(path, noise(100, 1), 44100, "FLOAT")
    with pytest.raises(AudioError, match="0 to 100: 50 to 101 is out of range"):
        audio.read(path, 50, 101)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"not a sound file at all" * 100])
def test_files_of_other_formats_are_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.wav"
    path.write_bytes(content)
    with pytest.raises(AudioError, match=r"broken\.wav"):
        audio.read_info(path)


def test_missing_and_empty_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="does not exist"):
        audio.read_info(tmp_path / "none.wav")
    with pytest.raises(AudioError, match="is a folder"):
        audio.read_info(tmp_path)
    soundfile.write(tmp_path / "empty.wav", np.zeros((0, 1)), 44100)
    with pytest.raises(AudioError, match="no samples"):
        audio.read_info(tmp_path / "empty.wav")


def test_a_truncated_file_is_never_read_as_complete(tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    audio.write(path, noise(50000, 1), 44100, "PCM_16")
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(AudioError, match=r"x\.flac"):
        audio.read(path)


@pytest.mark.parametrize("bad", [1.5, np.nan, np.inf])
def test_overs_and_nan_are_errors_and_leave_no_file(tmp_path: Path, bad: float) -> None:
    path = tmp_path / "x.wav"
    samples = noise(100, 1)
    samples[50] = bad
    with pytest.raises(AudioError, match="lower its level" if np.isfinite(bad) else "NaN or Inf"):
        audio.write(path, samples, 44100, "PCM_24")
    assert list(tmp_path.iterdir()) == []


def test_files_beyond_the_riff_limit_are_rf64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "RIFF_LIMIT", 1000)
    audio.write(tmp_path / "x.wav", noise(2000, 1), 44100, "PCM_16")
    assert audio.read_info(tmp_path / "x.wav").format == "RF64"
    audio.write(tmp_path / "y.wav", noise(100, 1), 44100, "PCM_16")
    assert audio.read_info(tmp_path / "y.wav").format == "WAV"


def test_a_file_of_unknown_length_never_loses_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "RIFF_LIMIT", 1000)
    with audio.Writer(tmp_path / "x.wav", 44100, 1, "FLOAT") as writer:
        writer.write(noise(250, 1))
        with pytest.raises(AudioError, match=r"x\.wav would exceed 4 GiB"):
            writer.write(noise(1, 1))
    with audio.Writer(tmp_path / "x.flac", 44100, 1, "PCM_24") as writer:
        writer.write(noise(2000, 1))
    assert audio.read_info(tmp_path / "x.flac").frames == 2000


@pytest.mark.parametrize("channels", [1, 2])
def test_a_floating_point_file_does_not_hold_the_time(tmp_path: Path, channels: int) -> None:
    """Left alone, libsndfile writes the time in seconds into the chunk PEAK."""
    path, samples = tmp_path / "x.wav", noise(100, channels)
    audio.write(path, samples, 44100, "FLOAT")
    content = path.read_bytes()
    at = content.index(b"PEAK")
    assert content[at + 12 : at + 16] == bytes(4)
    with soundfile.SoundFile(tmp_path / "peer.wav", "w", 44100, channels, "FLOAT") as file:
        file.write(samples)
    peer = (tmp_path / "peer.wav").read_bytes()
    assert content == peer[: at + 12] + bytes(4) + peer[at + 16 :]
    assert peer[at + 12 : at + 16] != bytes(4)


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.wav"
    audio.write(path, noise(100, 1), 44100, "FLOAT")
    before = path.read_bytes()

    def interrupted() -> None:
        with audio.Writer(path, 44100, 1, "FLOAT") as writer:
            writer.write(noise(10, 1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
