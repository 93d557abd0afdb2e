"""Fast decoding of 24-bit WAV files."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from twinlib.pcm import open_pcm24


@given(
    numbers=st.lists(st.integers(-(2**23), 2**23 - 1), min_size=6, max_size=60),
    channels=st.integers(1, 3),
    edge=st.integers(0, 20),
)
@settings(max_examples=30, deadline=None)
def test_every_number_equals_that_of_libsndfile(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[int], channels: int, edge: int
) -> None:
    path = tmp_path_factory.mktemp("pcm") / "x.wav"
    frames = len(numbers) // channels
    samples = (np.array(numbers[: frames * channels], np.int32) << 8).reshape(frames, channels)
    soundfile.write(path, samples, 44100, "PCM_24", format="WAV")
    expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
    reader = open_pcm24(path, channels, frames)
    assert reader is not None
    start = min(edge, frames)
    np.testing.assert_array_equal(reader.read(start, frames), expected[start:])
    reader.close()


@pytest.mark.parametrize("size", [0, 3, 2999, 3003, 2**32 - 1])
def test_a_header_that_contradicts_libsndfile_is_left_to_it(tmp_path: Path, size: int) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, np.zeros(1000), 44100, "PCM_24", format="WAV")
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = size.to_bytes(4, "little")
    path.write_bytes(content)
    assert open_pcm24(path, 1, 1000) is None


@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT", "PCM_32"])
def test_other_formats_are_left_to_libsndfile(tmp_path: Path, subtype: str) -> None:
    path = tmp_path / "x.wav"
    soundfile.write(path, np.zeros(1000), 44100, subtype, format="WAV")
    assert open_pcm24(path, 1, 1000) is None
