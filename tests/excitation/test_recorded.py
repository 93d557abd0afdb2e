"""A recorded reel is never made again with different bytes."""

from pathlib import Path

import pytest

from twinlib.errors import ExcitationError
from twinlib.excitation.recorded import changed_settings, recorded_settings, require_same_reel
from twinlib.excitation.settings import Excitation, Split
from twinlib.files import sha256_file, write_json

SETTINGS = Excitation(seed=1, slices=10)


def test_equal_settings_have_no_changes() -> None:
    assert changed_settings(SETTINGS, SETTINGS) == []


def test_every_changed_key_is_named_with_both_values() -> None:
    now = Excitation.model_validate({"seed": 2, "slices": 10, "split": {"salt": "other"}})
    recorded = SETTINGS.model_copy(update={"split": Split(salt="twin")})
    assert changed_settings(recorded, now) == ["seed: 1 -> 2", "split.salt: twin -> other"]


def test_a_salt_that_was_chosen_is_no_change() -> None:
    recorded = SETTINGS.model_copy(update={"split": Split(salt="twin-7")})
    assert changed_settings(recorded, SETTINGS) == []
    assert changed_settings(recorded, recorded) == []
    assert changed_settings(SETTINGS, recorded) == []
    other = SETTINGS.model_copy(update={"split": Split(salt="twin")})
    assert changed_settings(recorded, other) == ["split.salt: twin-7 -> twin"]


@pytest.mark.parametrize("kind", ["take", "simulate"])
def test_only_a_real_take_forbids_a_reel_with_different_bytes(tmp_path: Path, kind: str) -> None:
    reel = tmp_path / "main-01.wav"
    reel.write_bytes(b"as recorded")
    take = tmp_path / "devices" / "silk" / "main-01" / "take.json"
    write_json(take, "take/1", {"kind": kind, "path": "takes/main-01.wav", "dry_sha256": sha256_file(reel)})
    require_same_reel("main-01", reel, tmp_path / "devices")
    reel.write_bytes(b"of another seed")
    require_same_reel("main-02", reel, tmp_path / "devices")
    if kind == "take":
        with pytest.raises(ExcitationError, match=r"was recorded \(takes/main-01\.wav\)"):
            require_same_reel("main-01", reel, tmp_path / "devices")
    else:
        require_same_reel("main-01", reel, tmp_path / "devices")


def test_an_excitation_with_a_lost_file_counts_as_recorded(tmp_path: Path) -> None:
    settings = SETTINGS.model_dump_json(exclude={"probe_reel"})
    record = tmp_path / "excitations" / "main" / "cues.parquet.prov.json"
    rest = {"program": "plan_excitation.py", "inputs": {}, "outputs": {}, "code": "0"}
    write_json(record, "record/1", {**rest, "params": {"settings": settings}})
    assert recorded_settings(tmp_path, "main", []) is None, "not recorded yet"
    take = tmp_path / "devices" / "silk" / "main-01" / "take.json"
    write_json(take, "take/1", {"kind": "take", "path": "takes/main-01.wav"})
    assert recorded_settings(tmp_path, "main", []) == SETTINGS
