"""`twin evaluate`: errors of a twin on a pair, and invalid pairs."""

from pathlib import Path

import numpy as np
import pytest

from tests.cli.harness import Command, late, refused, strict_json, twin_output, wav
from tests.workflow.project import RATE, noise
from twinlib import audio
from twinlib.model.twin import Twin


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
    # The random network of the twin hardly distorts, as a bypassed device.
    verdicts = content["verdict"], content["takes"][str(wet)]["verdict"], content["alignment"]["verdict"]
    assert verdicts == ("usable", "suspect", "suspect")
    code, text, _ = twin("evaluate", model_file.parent, dry, wet)
    assert code == 0
    assert text.startswith("box, tiny: usable\n")
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
