"""`twin check` on good, useless and truncated takes."""

from pathlib import Path

import pytest

from tests.cli.harness import Command, make_reel, refused, strict_json, take_of, wav
from tests.workflow.project import RATE
from twinlib import audio

MEASURED = {
    "lag_samples", "drift_ppm", "polarity", "gain_db", "residual_rms_samples", "confidence", "dropouts", "verdict",
    "reasons", "findings",
}  # fmt: skip


def test_a_good_take_is_ok(twin: Command, reel: Path, tmp_path: Path) -> None:
    take = wav(tmp_path / "take.wav", take_of(audio.read(reel)[:, 0]))
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
    samples, rate = take_of(audio.read(reel)[:, 0]), RATE
    if case == "wrong reel":
        samples = take_of(make_reel(2)[0])
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
    samples = take_of(audio.read(reel)[:, 0])
    take = wav(tmp_path / "take.wav", samples[: len(samples) // 2])
    code, text, err = twin("check", take, "--reel", reel)
    assert code == 0, text + err
    assert text.startswith(f"{take}: suspect\n")
    assert "less than the dry file. The missing part is excluded" in text


def test_a_reel_without_excitation_file_is_aligned_on_the_music(twin: Command, reel: Path, tmp_path: Path) -> None:
    alone = tmp_path / "elsewhere" / "main-01.wav"
    alone.parent.mkdir()
    reel.rename(alone)
    take = wav(tmp_path / "take.wav", take_of(audio.read(alone)[:, 0]))
    code, text, err = twin("check", take, "--reel", alone)
    assert code == 0, text + err
    assert "aligning on the music" in err


@pytest.mark.parametrize("text", ["{", '{"contract": "excitation/1"}', '{"contract": "excitation/1", "reels": {}}'])
def test_a_damaged_excitation_file_is_an_error_or_a_note(twin: Command, reel: Path, tmp_path: Path, text: str) -> None:
    (reel.parents[1] / "excitation.json").write_text(text)
    take = wav(tmp_path / "take.wav", take_of(audio.read(reel)[:, 0]))
    ended = twin("check", take, "--reel", reel)
    if text == "{":
        refused(ended, "excitation.json is not readable JSON")
    else:
        assert ended[0] == 0
        assert "excitation.json has no reel main-01" in ended[2]
