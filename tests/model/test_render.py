import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.model.factories import make_twin, one_pass
from twinlib import audio
from twinlib.errors import AudioError
from twinlib.model.architecture import Architecture
from twinlib.model.render import render_file

NETWORK = Architecture(channels=3, kernel_size=3, dilations=(1, 4)).network
TWIN = make_twin(NETWORK, guard=3)


def noise(frames: int, channels: int) -> np.ndarray:
    return (0.3 * np.random.default_rng(0).standard_normal((frames, channels))).astype(np.float32)


def expected(twin, dry: np.ndarray) -> np.ndarray:
    """Return one pass over each channel without the guard."""
    guard = twin.guard_samples
    padded = np.concatenate([dry, np.zeros((guard, dry.shape[1]), np.float32)])
    return np.stack([one_pass(twin, channel)[guard:] for channel in padded.T], axis=1)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 200), st.integers(1, 3), st.sampled_from([0, 3, 12]))
def test_any_length_and_channel_count(tmp_path_factory, frames, channels, guard):
    folder, dry, twin = tmp_path_factory.mktemp("render"), noise(frames, channels), make_twin(NETWORK, guard=guard)
    audio.write(folder / "dry.wav", dry, 44100, "FLOAT")
    render_file(twin, folder / "dry.wav", folder / "wet.wav")
    assert audio.read_info(folder / "wet.wav").subtype == "FLOAT"
    np.testing.assert_allclose(audio.read(folder / "wet.wav"), expected(twin, dry), atol=1e-6)


def test_file_of_several_blocks(tmp_path):
    dry, seen = noise(2 * audio.BLOCK + 77, 2), []
    audio.write(tmp_path / "dry.wav", dry, 44100, "FLOAT")
    render_file(TWIN, tmp_path / "dry.wav", tmp_path / "wet.wav", progress=lambda n, note="": seen.append(n))
    np.testing.assert_allclose(audio.read(tmp_path / "wet.wav"), expected(TWIN, dry), atol=1e-6)
    assert sum(seen) == len(dry)


def test_suffix_selects_flac(tmp_path):
    audio.write(tmp_path / "dry.wav", noise(300, 1), 44100, "FLOAT")
    render_file(TWIN, tmp_path / "dry.wav", tmp_path / "wet.flac")
    info = audio.read_info(tmp_path / "wet.flac")
    assert (info.format, info.subtype, info.frames) == ("FLAC", "PCM_24", 300)


@pytest.mark.parametrize("rate", [22050, 48000, 96000])
def test_other_sample_rates_are_resampled_without_delay(tmp_path, rate):
    frames = rate  # one second
    time = np.arange(frames) / rate
    dry = (0.1 * np.sin(2 * np.pi * 500 * time) * np.hanning(frames)).astype(np.float32)[:, None]
    audio.write(tmp_path / "dry.wav", dry, rate, "FLOAT")
    render_file(TWIN, tmp_path / "dry.wav", tmp_path / "wet.wav")
    found = audio.read_info(tmp_path / "wet.wav")
    assert (found.sample_rate, found.frames) == (rate, frames)
    at_home = (0.1 * np.sin(2 * np.pi * 500 * np.arange(44100) / 44100) * np.hanning(44100)).astype(np.float32)
    wanted = np.interp(time, np.arange(44100) / 44100, expected(TWIN, at_home[:, None])[:, 0])
    wet = audio.read(tmp_path / "wet.wav")[:, 0]
    middle = slice(
        rate // 10, -rate // 10
    )  # a linear interpolation is off by 1e-4 of the peak, the edges by the filter
    error = np.abs(wet - wanted)[middle].max() / np.abs(wanted - wanted[0]).max()
    assert error < 3e-3


@pytest.mark.parametrize("rate", [22050, 44100, 48000, 96000])
def test_identity_twin_keeps_level_and_time_at_any_rate(tmp_path, rate):
    network = Architecture(channels=3, kernel_size=3, dilations=(1, 4), dry_path=True).network
    twin = make_twin(network, guard=12)
    silent = {name: weight * 0 for name, weight in twin.weights.items()}
    wire = dataclasses.replace(twin, weights=silent, input_gain=1.0, output_gain=1.0)
    time = np.arange(rate + 123) / rate
    sines = [np.sin(2 * np.pi * frequency * time) for frequency in (50, 440, 3000, 8000)]
    dry = np.stack([sines[0] + sines[2], sines[1] + sines[3]], axis=1)
    dry = (0.3 * dry * np.hanning(len(dry))[:, None]).astype(np.float32)
    audio.write(tmp_path / "dry.wav", dry, rate, "FLOAT")
    render_file(wire, tmp_path / "dry.wav", tmp_path / "wet.wav")
    inner = slice(1000, -1000)
    error = (audio.read(tmp_path / "wet.wav") - dry)[inner]
    # A thousandth of a dB would cost 1e-8, a thousandth of a sample at 8 kHz 1e-6.
    assert np.mean(error**2) / np.mean(dry[inner] ** 2) < 1e-10


def test_overs_raise_in_integer_formats_and_pass_in_float(tmp_path):
    loud = dataclasses.replace(TWIN, output_gain=1e3)
    audio.write(tmp_path / "dry.wav", noise(300, 1), 44100, "FLOAT")
    for name, subtype in (("wet.flac", None), ("wet.wav", "PCM_24")):
        with pytest.raises(AudioError, match="times full scale"):
            render_file(loud, tmp_path / "dry.wav", tmp_path / name, subtype)
        assert not (tmp_path / name).exists()
    render_file(loud, tmp_path / "dry.wav", tmp_path / "wet.wav")
    assert np.abs(audio.read(tmp_path / "wet.wav")).max() > 1


def test_invalid_paths_raise(tmp_path):
    audio.write(tmp_path / "dry.wav", noise(300, 1), 44100, "FLOAT")
    dry = tmp_path / "dry.wav"
    with pytest.raises(AudioError, match="another name"):
        render_file(TWIN, dry, tmp_path / "." / "dry.wav")
    with pytest.raises(AudioError, match=r"\.wav or \.flac"):
        render_file(TWIN, dry, tmp_path / "wet.mp3")
    with pytest.raises(AudioError, match="FLAC holds integers"):
        render_file(TWIN, dry, tmp_path / "wet.flac", "FLOAT")
    with pytest.raises(AudioError, match="does not exist"):
        render_file(TWIN, tmp_path / "none.wav", tmp_path / "wet.wav")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dry.wav"]


def test_non_finite_sample_raises_with_its_position(tmp_path):
    import soundfile

    dry = noise(audio.BLOCK + 100, 1)
    dry[audio.BLOCK + 7] = np.nan
    soundfile.write(tmp_path / "dry.wav", dry, 44100, "FLOAT")
    with pytest.raises(AudioError, match=str(audio.BLOCK + 7)):
        render_file(TWIN, tmp_path / "dry.wav", tmp_path / "wet.wav")
    assert not (tmp_path / "wet.wav").exists()


PLAY = """
import sys
from pathlib import Path
import numpy as np
from twinlib import cli
from twinlib.model import streaming

class Halve:
    def process(self, block):
        return block / 2

# Where the kernels are not built, any engine without torch serves.
if streaming.instruction_set() is None:
    streaming.create_engine = lambda *arguments: Halve()
for command in (["render", "in.wav", "out.wav"], ["export", "out.nam"]):
    sys.argv = ["twin", command[0], "twin.safetensors", *command[1:]]
    try:
        cli.main()
    except SystemExit as ended:
        assert not ended.code
print(*sorted({"torch", "scipy", "numba", "pandas", "pyarrow", "matplotlib", "mlflow", "onnx"} & set(sys.modules)))
"""


def test_playback_and_nam_export_without_torch_import_no_large_package(tmp_path):
    make_twin(NETWORK).save(tmp_path / "twin.safetensors")
    audio.write(tmp_path / "in.wav", noise(100, 2), 48000, "FLOAT")
    arguments = [sys.executable, "-c", PLAY]
    run = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == ""
    assert audio.read_info(tmp_path / "out.wav").frames == 100
    assert (tmp_path / "out.nam").is_file()
