"""The witness of a reel: the same excerpt everywhere, between slices, and never in an older recording."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.excitation.factories import RATE, small, table
from tests.excitation.test_cue_sheet import three
from tests.excitation.test_reels import made, rendered
from twinlib.config import load_config, parse_config
from twinlib.errors import ConfigError
from twinlib.excitation.recorded import RecordedExcitations, changed_settings
from twinlib.excitation.settings import Excitation
from twinlib.excitation.witness import make_witness, witness_frames, witness_steps
from twinlib.files import read_json, write_json


@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_the_excerpt_is_broadband_noise_in_steps(rate: int) -> None:
    excerpt = make_witness(rate)
    assert len(excerpt) == witness_frames(rate) == 2 * rate
    np.testing.assert_array_equal(excerpt, make_witness(rate))
    steps = witness_steps(rate)
    assert [step.start for step in steps[1:]] == [step.stop for step in steps[:-1]]
    for step in steps:
        part = excerpt[step.start : step.stop].astype(np.float64)
        assert 20 * np.log10(np.abs(part).max()) == pytest.approx(step.dbfs, abs=1e-4)
        assert np.abs(part[[0, -1]]).max() < 1e-4
        power = np.abs(np.fft.rfft(part)) ** 2
        hertz = np.fft.rfftfreq(len(part), 1 / rate)
        octaves = [power[(hertz >= low) & (hertz < 2 * low)].sum() for low in (100.0, 400.0, 1600.0)]
        assert max(octaves) < 2 * min(octaves)


def test_a_reel_repeats_the_excerpt_between_its_slices(corpus: Path, tmp_path: Path) -> None:
    settings = three(table(corpus), witness=True, reel_minutes=1.0, channels=2)
    drawn = made(corpus, settings)
    entry = drawn.excitation["reels"]["main-01"]
    reel = rendered(corpus, drawn, tmp_path / "reel.wav")
    assert len(entry["witness"]) == 3
    quiet = np.ones(len(reel), bool)
    for start, stop in entry["witness"]:
        for channel in range(2):
            np.testing.assert_allclose(reel[start:stop, channel], make_witness(RATE), atol=2.0**-23)
        quiet[start:stop] = False
        near = (drawn.cues.start < stop + 0.5 * RATE) & (drawn.cues.stop > start - 0.5 * RATE)
        assert not near.any()
    for start, stop in [*zip(drawn.cues.start, drawn.cues.stop, strict=True)]:
        quiet[start:stop] = False
    for start in entry["clicks"]:
        quiet[start : start + entry["click_frames"]] = False
    assert not reel[quiet].any()


def test_the_slices_do_not_depend_on_the_witness(corpus: Path) -> None:
    settings = three(table(corpus), reel_minutes=1.0)
    without, having = made(corpus, settings), made(corpus, settings.model_copy(update={"witness": True}))
    columns = [name for name in without.cues if name not in ("start", "stop", "gain_db")]
    assert without.cues[columns].equals(having.cues[columns])
    assert "witness" not in without.excitation["settings"]
    assert all("witness" not in reel for reel in without.excitation["reels"].values())


def old_recording(folder: Path, settings: Excitation) -> None:
    """The record of an excitation of an older version, and a take of it."""
    planned = {key: value for key, value in settings.planned.items() if key != "witness"}
    write_json(folder / "excitations" / "main" / "excitation.json", "excitation/1", {"settings": planned})
    write_json(folder / "devices" / "silk" / "main-01" / "take.json", "take/1", {"kind": "take", "path": "main-01.wav"})


@pytest.mark.parametrize("wanted", [{}, {"witness": True}, {"witness": False}])
def test_a_recorded_excitation_without_a_witness_stays_without(tmp_path: Path, wanted: dict[str, bool]) -> None:
    settings = small(reel_minutes=0.15)
    old_recording(tmp_path, settings)
    content = {key: value for key, value in settings.planned.items() if key != "witness"} | wanted
    content["split"] = {"train": 0.8, "valid": 0.1, "test": 0.1}
    config = {
        "results": str(tmp_path),
        "corpus": {"root": "music"},
        "excitations": {"main": content},
        "devices": {"silk": {"excitation": "main", "takes": "takes/{reel}.wav"}},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    parsed = load_config(path).excitations["main"]
    assert not parsed.witness
    assert (
        parsed.planned.keys()
        == read_json(tmp_path / "excitations/main/excitation.json", "excitation/1")["settings"].keys()
    )
    assert changed_settings(settings, small(reel_minutes=0.15, witness=True)) == []
    if wanted != {"witness": False}:
        with pytest.raises(ConfigError, match="too short"):  # a validation that does not depend on the results
            parse_config(config, "config.yaml")
    recorded = RecordedExcitations(tmp_path, {"main": settings}, {})
    recorded.require_unchanged("config.yaml")
    (tmp_path / "devices" / "silk" / "main-01" / "take.json").unlink()
    if wanted != {"witness": False}:
        with pytest.raises(ConfigError, match="too short"):
            load_config(path)


def test_a_recorded_witness_must_stay() -> None:
    recorded, now = small(witness=True, reel_minutes=1.0), small(witness=False, reel_minutes=1.0)
    assert changed_settings(recorded, now) == ["witness: True -> None"]
