"""The `twin` command: results on small files, and error messages for invalid input."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from tests.cli_harness import check_error
from tests.model.factories import make_twin
from tests.workflow.project import RATE, noise
from twinlib import audio, cli
from twinlib.contracts import DEVICE_CARD, EXCITATION, VERDICT
from twinlib.excitation.sync_click import make_click
from twinlib.files import sha256_file, write_json
from twinlib.model.architecture import Architecture
from twinlib.model.export import export_twin
from twinlib.model.streaming import Stream
from twinlib.model.twin import Twin

MEASURED = {
    "lag_samples", "drift_ppm", "polarity", "gain_db", "residual_rms_samples", "confidence", "dropouts", "verdict",
    "reasons", "findings",
}  # fmt: skip

Ended = tuple[int, str, str]
Command = Callable[..., Ended]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Restore the process state that the command changes."""
    handler, threads = signal.getsignal(signal.SIGTERM), torch.get_num_threads()
    yield
    signal.signal(signal.SIGTERM, handler)
    torch.set_num_threads(threads)


@pytest.fixture
def twin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command in this process: exit code, standard output, standard error."""

    def run(*words: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["twin", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def refused(ended: Ended, *parts: str) -> None:
    """Check for exit code 1 and one error message with these parts."""
    code, _, err = ended
    check_error(code, err, *parts)


def strict_json(text: str) -> dict[str, Any]:
    """Parse standard JSON, without NaN."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    content = json.loads(text, parse_constant=refuse)
    assert isinstance(content, dict)
    return content


def wav(path: Path, samples: np.ndarray, rate: int = RATE) -> Path:
    soundfile.write(path, np.asarray(samples, np.float32), rate, "FLOAT")  # the library writes no NaN
    return path


def late(samples: np.ndarray, lag: int) -> np.ndarray:
    return np.concatenate([np.zeros((lag, *samples.shape[1:]), np.float32), samples])


@pytest.fixture(scope="module")
def music() -> audio.Signal:
    return noise(8.0, 1)


@pytest.fixture
def pair(tmp_path: Path, music: audio.Signal) -> tuple[Path, Path]:
    """A dry file and a copy delayed by 1234 samples, inverted and 6 dB softer."""
    return wav(tmp_path / "dry.wav", music), wav(tmp_path / "wet.wav", -0.5 * late(music, 1234))


@pytest.fixture(scope="module")
def model() -> Twin:
    return make_twin(Architecture(channels=3, kernel_size=3, dilations=(1, 4), dry_path=True).network)


@pytest.fixture
def model_file(tmp_path: Path, model: Twin) -> Path:
    model.save(tmp_path / "twin" / "twin.safetensors")
    return tmp_path / "twin" / "twin.safetensors"


def twin_output(model: Twin, dry: audio.Signal) -> audio.Signal:
    """Return the output of the twin for `(frames, channels)`, without latency."""
    guard = model.guard_samples
    return Stream(model, dry.shape[1]).process(np.pad(dry, ((0, guard), (0, 0))))[guard:]


@pytest.fixture
def reel(tmp_path: Path) -> Path:
    """A reel in the folders of the pipeline, with its clicks in `excitation.json`."""
    path = tmp_path / "excitation" / "reels" / "main-01.wav"
    path.parent.mkdir(parents=True)
    samples, places = _reel(1)
    wav(path, samples)
    write_json(path.parents[1] / "excitation.json", EXCITATION, {"reels": {"main-01": {"clicks": places}}})
    return path


def _reel(seed: int) -> tuple[np.ndarray, list[int]]:
    outer, inner, mark = np.zeros(RATE, np.float32), np.zeros(RATE // 3, np.float32), make_click(RATE)
    parts = [outer, mark, inner, noise(7.0, seed), inner, mark, outer]
    starts = np.cumsum([0, *map(len, parts)])
    return np.concatenate(parts), [int(starts[1]), int(starts[5])]


def _take(reel: np.ndarray, noise_level: float = 1e-4) -> np.ndarray:
    taken = late(0.6 * np.concatenate([reel, np.zeros(5000, np.float32)]), 4321)
    return taken + noise_level * np.random.default_rng(3).standard_normal(len(taken)).astype(np.float32)


# --- align


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
    assert (content["polarity"], content["verdict"], content["dropouts"]) == (-1, "ok", [])
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


# --- check


def test_a_good_take_is_ok(twin: Command, reel: Path, tmp_path: Path) -> None:
    take = wav(tmp_path / "take.wav", _take(audio.read(reel)[:, 0]))
    code, text, err = twin("check", take, "--reel", reel)
    assert code == 0, text + err
    assert text.startswith(f"{take}: ok\n")
    assert "4321" in text
    code, text, _ = twin("check", take, "--reel", reel, "--json")
    content = strict_json(text)
    assert (code, content["verdict"], content["reasons"]) == (0, "ok", [])
    assert content["take"]["frames"] == audio.read_info(take).frames
    assert content["alignment"].keys() >= MEASURED


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("wrong reel", "another"),
        ("silent", "silent"),
        ("hardly there", "This is too little"),
        ("rate", "48000 Hz"),
    ],
)
def test_a_useless_take_is_refused(twin: Command, reel: Path, tmp_path: Path, case: str, reason: str) -> None:
    samples, rate = _take(audio.read(reel)[:, 0]), RATE
    if case == "wrong reel":
        samples = _take(_reel(2)[0])
    elif case == "silent":
        samples = 1e-6 * samples
    elif case == "hardly there":
        samples = samples[: RATE // 2]
    else:
        rate = 48000
    take = wav(tmp_path / "take.wav", samples, rate)
    ended = twin("check", take, "--reel", reel)
    refused(ended, "take.wav is not usable")
    assert ended[1].startswith(f"{take}: refused\n")
    assert reason in ended[1]
    content = strict_json(twin("check", take, "--reel", reel, "--json")[1])
    assert content["verdict"] == "refused"
    assert content["reasons"]


def test_a_truncated_take_is_usable_up_to_its_end(twin: Command, reel: Path, tmp_path: Path) -> None:
    samples = _take(audio.read(reel)[:, 0])
    take = wav(tmp_path / "take.wav", samples[: len(samples) // 2])
    code, text, err = twin("check", take, "--reel", reel)
    assert code == 0, text + err
    assert text.startswith(f"{take}: suspect\n")
    assert "less than the dry file. The missing part is excluded" in text


def test_a_reel_without_excitation_file_is_aligned_on_the_music(twin: Command, reel: Path, tmp_path: Path) -> None:
    alone = tmp_path / "elsewhere" / "main-01.wav"
    alone.parent.mkdir()
    reel.rename(alone)
    take = wav(tmp_path / "take.wav", _take(audio.read(alone)[:, 0]))
    code, text, err = twin("check", take, "--reel", alone)
    assert code == 0, text + err
    assert "aligning on the music" in err


@pytest.mark.parametrize("text", ["{", '{"contract": "excitation/1"}', '{"contract": "excitation/1", "reels": {}}'])
def test_a_damaged_excitation_file_is_an_error_or_a_note(twin: Command, reel: Path, tmp_path: Path, text: str) -> None:
    (reel.parents[1] / "excitation.json").write_text(text)
    take = wav(tmp_path / "take.wav", _take(audio.read(reel)[:, 0]))
    ended = twin("check", take, "--reel", reel)
    if text == "{":
        refused(ended, "excitation.json is not readable JSON")
    else:
        assert ended[0] == 0
        assert "excitation.json has no reel main-01" in ended[2]


# --- render


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


# --- export


@pytest.mark.parametrize("ending", ["nam", "onnx"])
def test_export_equals_the_library_and_reports_the_latency(
    twin: Command, model: Twin, model_file: Path, tmp_path: Path, ending: str
) -> None:
    for place in (model_file, model_file.parent):
        code, out, err = twin("export", place, tmp_path / "new" / f"out.{ending}")
        assert (code, err) == (0, "")
        assert "latency 3 samples" in out
        export_twin(model, tmp_path / f"wanted.{ending}")
        assert (tmp_path / "new" / f"out.{ending}").read_bytes() == (tmp_path / f"wanted.{ending}").read_bytes()


def test_export_reads_the_date_from_the_training_record(twin: Command, model_file: Path, tmp_path: Path) -> None:
    record = model_file.with_name("twin.safetensors.prov.json")
    write_json(record, "record/1", {"started": "2026-03-04T05:06:07+00:00"})
    assert twin("export", model_file.parent, tmp_path / "out.nam")[0] == 0
    metadata = strict_json((tmp_path / "out.nam").read_text())["metadata"]
    assert metadata["date"] == {"year": 2026, "month": 3, "day": 4, "hour": 5, "minute": 6, "second": 7}
    write_json(record, "record/1", {"started": "last week"})
    refused(twin("export", model_file, tmp_path / "out.nam"), "twin.safetensors.prov.json")


def test_export_writes_the_device_card_of_the_results_and_the_version_on_request(
    twin: Command, model_file: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    home = results / "twins" / "box" / "small"
    home.mkdir(parents=True)
    shutil.copy(model_file, home / "twin.safetensors")
    verdict = {"verdict": "good", "reasons": ["the error is low"], "findings": [], "takes": {}}
    write_json(
        home / "evaluation" / "verdict.json",
        VERDICT,
        {"twin_sha256": sha256_file(home / "twin.safetensors"), **verdict},
    )
    write_json(
        results / "devices" / "box" / "device_card.json", DEVICE_CARD, {"device": "box", "card": {"make": "Klon"}}
    )
    assert twin("export", home, tmp_path / "out.nam", "--nam-version", "0.7")[0] == 0
    content = json.loads((tmp_path / "out.nam").read_text())
    assert (content["version"], content["metadata"]["gear_make"]) == ("0.7.0", "Klon")
    assert content["metadata"]["twin"]["verdict"] == verdict
    refused(twin("export", home, tmp_path / "out.onnx", "--nam-version", "0.7"), "only .nam files")
    write_json(home / "evaluation" / "verdict.json", VERDICT, {"twin_sha256": "0" * 64, **verdict})
    assert twin("export", home, tmp_path / "out.nam")[0] == 0
    content = json.loads((tmp_path / "out.nam").read_text())
    assert content["metadata"]["twin"]["verdict"] == {}, "the verdict on another twin"


def test_export_errors_leave_no_file(twin: Command, model_file: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    refused(twin("export", model_file, tmp_path / "out.vst3"), "out.vst3", ".nam or .onnx")
    refused(twin("export", tmp_path / "none", tmp_path / "out.nam"), "none does not exist")
    refused(twin("export", model_file, model_file / "out.nam"), "twin.safetensors")
    assert sorted(tmp_path.rglob("*")) == before


# --- evaluate


def test_a_twin_has_no_error_on_its_own_output(
    twin: Command, model: Twin, model_file: Path, tmp_path: Path, music: audio.Signal
) -> None:
    dry = wav(tmp_path / "dry.wav", music)
    wet = wav(tmp_path / "wet.wav", late(twin_output(model, music[:, None])[:, 0], 777))
    code, text, err = twin("evaluate", model_file, dry, wet, "--json")
    assert code == 0, err
    content = strict_json(text)
    assert content["esr"] < 1e-9 < content["esr_dry"]
    assert content["alignment"]["lag_samples"] == pytest.approx(777, abs=0.5)
    assert content["alignment"]["polarity"] == 1
    assert (content["device"], content["model"], content["sample_rate"]) == ("box", "tiny", RATE)
    assert (content["verdict"], content["takes"][str(wet)]["verdict"]) == ("good", content["alignment"]["verdict"])
    code, text, _ = twin("evaluate", model_file.parent, dry, wet)
    assert code == 0
    assert text.startswith("box, tiny: good\n  the error")
    assert "\nesr " in text
    assert "findings" not in text


def test_a_stereo_pair_is_evaluated_on_its_aligned_channel(
    twin: Command, model: Twin, model_file: Path, tmp_path: Path, music: audio.Signal
) -> None:
    both = np.stack([noise(8.0, 5), music], axis=1)
    dry, wet = wav(tmp_path / "dry.wav", both), wav(tmp_path / "wet.wav", twin_output(model, both))
    for channel in (1, 2):
        code, text, err = twin("evaluate", model_file, dry, wet, "--channel", channel, "--json")
        assert code == 0, err
        assert strict_json(text)["esr"] < 1e-9


def test_evaluate_refuses_invalid_pairs(
    twin: Command, model_file: Path, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    dry, wet = pair
    refused(twin("evaluate", model_file, dry, wav(tmp_path / "silent.wav", np.zeros(8 * RATE))), "cannot be aligned")
    refused(twin("evaluate", model_file, dry, wet, "--channel", 2), "wet.wav", "no channel 2")
    refused(twin("evaluate", model_file, dry, wet, "--channel", 0), "counted from 1")
    refused(twin("evaluate", dry, dry, wet), "dry.wav")
    other = [wav(tmp_path / f"48-{path.name}", audio.read(path), 48000) for path in pair]
    refused(twin("evaluate", model_file, *other), "44100 Hz", "48000 Hz", "resample")
    short = [wav(tmp_path / f"short-{path.name}", audio.read(path, 50_000, 50_100)) for path in pair]
    refused(twin("evaluate", model_file, *short))


# --- every command


@pytest.mark.parametrize("content", [None, b"", b"RIFF", b"not a sound file at all" * 100, "empty", "folder"])
def test_invalid_sound_files_are_named(
    twin: Command, model_file: Path, reel: Path, pair: tuple[Path, Path], tmp_path: Path, content: bytes | str | None
) -> None:
    bad, dry, out = tmp_path / "bad.wav", pair[0], tmp_path / "out.wav"
    if content == "empty":
        soundfile.write(bad, np.zeros((0, 1)), RATE)
    elif content == "folder":
        bad.mkdir()
    elif isinstance(content, bytes):
        bad.write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    for words in (
        ("align", bad, dry, "--out", out),
        ("align", dry, bad, "--out", out),
        ("check", bad, "--reel", reel),
        ("check", dry, "--reel", bad),
        ("render", model_file, bad, out),
        ("evaluate", model_file, bad, dry),
        ("evaluate", model_file, dry, bad),
    ):
        refused(twin(*words), "bad.wav")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "words",
    [(), ("align",), ("align", "a.wav"), ("nothing",), ("check", "a.wav"), ("render", "a", "b"), ("export", "a"),
     ("render", "a", "b", "c", "--bits", "8"),
     ("align", "a.wav", "b.wav", "--channel", "one"), ("evaluate", "a", "b", "c", "--colour")],
)  # fmt: skip
def test_usage_errors_exit_with_2(twin: Command, words: tuple[str, ...]) -> None:
    code, out, err = twin(*words)
    assert (code, out) == (2, "")
    assert "usage: twin" in err


@pytest.mark.parametrize("command", ["", "align", "check", "render", "evaluate", "export"])
def test_every_command_has_help(twin: Command, command: str) -> None:
    code, out, err = twin(*filter(None, [command]), "--help")
    assert (code, err) == (0, "")
    assert f"usage: twin {command}".strip() in out


# --- as a separate process


def _start(*words: object, **options: Any) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "twinlib.cli", *map(str, words)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, **options)


@pytest.mark.slow
def test_the_process_behaves_like_the_function(pair: tuple[Path, Path], tmp_path: Path) -> None:
    started = _start("align", *pair, "--json", stdout=subprocess.PIPE)
    out, err = started.communicate(timeout=120)
    assert (started.returncode, strict_json(out)["verdict"]) == (0, "ok"), err
    started = _start("align", pair[0], tmp_path / "none.wav", stdout=subprocess.PIPE)
    out, err = started.communicate(timeout=120)
    assert (started.returncode, out) == (1, "")
    assert err == f"error: {tmp_path / 'none.wav'} does not exist\n"


@pytest.mark.slow
def test_a_closed_pipe_gives_no_traceback(pair: tuple[Path, Path]) -> None:
    read, write = os.pipe()
    os.close(read)
    started = _start("align", *pair, "--json", stdout=write)
    os.close(write)
    _, err = started.communicate(timeout=120)
    assert (started.returncode, err) == (1, "")


@pytest.mark.slow
def test_a_full_disk_is_reported_and_leaves_no_file(model_file: Path, pair: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out.wav"
    out.write_bytes(b"old")
    before = sorted(tmp_path.rglob("*"))
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))  # noqa: E731
    started = _start("render", model_file, pair[0], out, stdout=subprocess.PIPE, preexec_fn=limit)
    _, err = started.communicate(timeout=120)
    refused((started.returncode, "", err), "out.wav cannot be written", "free disk space")
    assert sorted(tmp_path.rglob("*")) == before
    assert out.read_bytes() == b"old"
