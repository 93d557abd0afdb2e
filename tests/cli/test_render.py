"""`twin render`: its output, formats and errors."""

from pathlib import Path

import numpy as np
import pytest

from tests.cli.harness import Command, refused, twin_output, wav
from tests.workflow.project import RATE, noise
from twinlib import audio
from twinlib.model.twin import Twin


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("frames", [1, 3000, 100_001])
def test_render_equals_the_stream_without_latency(
    twin: Command, model: Twin, model_file: Path, tmp_path: Path, channels: int, frames: int
) -> None:
    samples = np.stack([noise(3.0, seed)[:frames] for seed in range(channels)], axis=1)
    dry, out = wav(tmp_path / "dry.wav", samples), tmp_path / "new" / "out.wav"
    for name in (model_file, model_file.parent):
        assert twin("render", name, dry, out)[0] == 0
        found = audio.read(out)
        assert found.shape == samples.shape
        np.testing.assert_allclose(found, twin_output(model, samples), atol=1e-6)
    assert audio.read_info(out).subtype == "FLOAT"


def test_render_keeps_another_sample_rate(twin: Command, model_file: Path, tmp_path: Path) -> None:
    dry = wav(tmp_path / "dry.wav", noise(1.0, 1), 48000)
    assert twin("render", model_file, dry, tmp_path / "out.flac")[0] == 0
    info = audio.read_info(tmp_path / "out.flac")
    assert (info.sample_rate, info.frames, info.channels, info.subtype) == (48000, RATE, 1, "PCM_24")


def test_invalid_twin_files_are_refused(
    twin: Command, model_file: Path, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    dry, out, good = pair[0], tmp_path / "out.wav", model_file.read_bytes()
    text = tmp_path / "text.safetensors"
    text.write_text("this is no twin at all, but a text\n" * 50)
    refused(twin("render", text, dry, out), "text.safetensors")
    refused(twin("render", dry, dry, out), "dry.wav")
    refused(twin("render", tmp_path / "none", dry, out), "none does not exist")
    refused(twin("render", tmp_path, dry, out), "twin.safetensors does not exist")
    refused(twin("render", text, dry, out), "text.safetensors")
    broken = tmp_path / "broken.safetensors"
    for content in (b"", good[:7], good[: len(good) // 2], good[:-1]):
        broken.write_bytes(content)
        refused(twin("render", broken, dry, out), "broken.safetensors")
    assert not out.exists()


def test_a_twin_with_a_flipped_bit_is_refused(
    twin: Command, model_file: Path, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    good, generator = model_file.read_bytes(), np.random.default_rng(0)
    for place in (*generator.integers(0, len(good), 40), len(good) - 1):
        content = bytearray(good)
        content[place] ^= 1 << int(generator.integers(8))
        model_file.write_bytes(content)
        refused(twin("render", model_file, pair[0], tmp_path / "out.wav"), "twin.safetensors")
    assert not (tmp_path / "out.wav").exists()


@pytest.mark.parametrize("case", ["ending", "itself", "folder", "below a file", "nan", "cut short", "over"])
def test_render_errors_leave_no_file(
    twin: Command, model_file: Path, pair: tuple[Path, Path], tmp_path: Path, case: str
) -> None:
    dry, out, parts = pair[0], tmp_path / "out.wav", ["out.wav"]
    samples = audio.read(dry)[:, 0]
    match case:
        case "ending":
            out, parts = tmp_path / "out.mp3", ["out.mp3", ".wav or .flac"]
        case "itself":
            out, parts = dry, ["dry.wav", "another name"]
        case "folder":
            out.mkdir()
        case "below a file":
            out, parts = pair[1] / "out.wav", ["wet.wav"]
        case "nan":
            samples[200_000] = np.nan
            dry, parts = wav(tmp_path / "nan.wav", samples), ["nan.wav", "200000", "4.54 s"]
        case "cut short":
            dry = tmp_path / "cut.flac"
            audio.write(dry, samples, RATE, "PCM_16")
            dry.write_bytes(dry.read_bytes()[:50_000])
            parts = ["cut.flac"]
        case "over":
            dry, out, parts = wav(tmp_path / "hot.wav", 100 * samples), tmp_path / "out.flac", ["out.flac", "level"]
    before = sorted(tmp_path.rglob("*"))
    old = dry.read_bytes()
    refused(twin("render", model_file, dry, out), *parts)
    assert sorted(tmp_path.rglob("*")) == before
    assert dry.read_bytes() == old


@pytest.mark.parametrize(("bits", "name", "subtype"), [("24", "out.wav", "PCM_24"), ("float", "out.wav", "FLOAT")])
def test_render_writes_the_requested_bit_depth(
    twin: Command, model_file: Path, tmp_path: Path, bits: str, name: str, subtype: str
) -> None:
    dry = wav(tmp_path / "dry.wav", noise(0.2, 1))
    assert twin("render", model_file, dry, tmp_path / "plain.wav")[0] == 0
    assert twin("render", model_file, dry, tmp_path / name, "--bits", bits)[0] == 0
    assert audio.read_info(tmp_path / name).subtype == subtype
    np.testing.assert_allclose(audio.read(tmp_path / name), audio.read(tmp_path / "plain.wav"), atol=2**-23)
    refused(twin("render", model_file, dry, tmp_path / "out.flac", "--bits", "float"), "out.flac", "integers only")
