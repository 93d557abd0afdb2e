"""Withdrawn tracks as tags of runs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.utils.validation import _validate_tag_name

from twinlib.tracking.exclusion_tags import (
    LIST,
    _json_list,
    find_runs_by_dataset,
    find_runs_by_track,
    find_withdrawn_runs,
    mark_withdrawn,
    unmark_withdrawn,
    withdrawal_key,
    withdrawn_tracks,
)

pytestmark = pytest.mark.slow  # Importing MLflow takes seconds.

PARTS = st.lists(st.sampled_from(["..", ".", "", "a", "tracks", ":2f:", "Ä&"]), max_size=12)
TRACKS = st.text(max_size=28) | PARTS.map("/".join)
"""Names whose tags fit even if every character is escaped; the next test covers longer ones."""


@given(TRACKS)
def test_every_track_has_a_valid_and_reversible_tag(track: str) -> None:
    key = withdrawal_key(track)
    _validate_tag_name(key)
    assert key.startswith("withdrawn.")
    assert key != LIST
    assert withdrawn_tracks([key, LIST, "withdrawn", "device"]) == [track]


@given(st.text(min_size=240, max_size=600), st.text(min_size=1, max_size=3))
def test_long_names_are_cut_and_stay_distinct(track: str, more: str) -> None:
    _validate_tag_name(withdrawal_key(track))
    assert withdrawal_key(track) != withdrawal_key(track + more)


@given(st.lists(st.text(max_size=100), max_size=200))
def test_the_list_fits_into_a_tag(tracks: list[str]) -> None:
    text = _json_list(tracks)
    assert len(text) <= 8000
    if sum(map(len, tracks)) < 500 and len(tracks) < 20:
        assert "more" not in text or any("more" in track for track in tracks)


def test_ordinary_names_are_unchanged() -> None:
    assert withdrawal_key("Ärzte/Vol. 1 - B_2") == "withdrawn.Ärzte/Vol. 1 - B_2"


@pytest.mark.parametrize("harm", ["missing", "broken"])
def test_a_missing_or_damaged_store_gives_a_warning_and_an_empty_answer(tmp_path, harm: str) -> None:
    database = tmp_path / "mlflow.db"
    if harm == "broken":
        database.write_bytes(b"no database" * 500)
    uri = f"sqlite:///{database}"
    with pytest.warns(UserWarning, match=r"no run is tagged"):
        assert mark_withdrawn(uri, ["a"], "track", "why", "2026-01-01") == []
    with pytest.warns(UserWarning, match=r"no run is tagged"):
        assert unmark_withdrawn(uri, ["a"], "track") == []
    with pytest.warns(UserWarning, match=r"mlflow\.db"):
        assert find_runs_by_dataset(uri, ["0" * 64]) == []
    with pytest.warns(UserWarning, match=r"mlflow\.db"):
        assert find_runs_by_track(uri, "track", ["box"]) == []
    with pytest.warns(UserWarning, match=r"mlflow\.db"):
        assert find_withdrawn_runs(uri, "track") == []
    assert database.exists() == (harm == "broken")
