"""Segments of artists in several splits of an old excitation are left out, so that training can start."""

import json

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dataset.factories import SETTINGS, reel, source
from twinlib.dataset.divided_artists import FLAG, artist_report, leave_out_tracks
from twinlib.dataset.leaks import find_leaks, leak_report
from twinlib.dataset.segments import tile_reel
from twinlib.excitation import find_cue_families, find_divided_families


def renamed(seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The segments and cues of a reel on which one artist has two names, one in train and one in test."""
    made = reel(seed)
    cues = made.cues.replace(
        {"artist": {"artist of train-0": "Music Delta", "artist of test-0": "Music Delta Multitracks"}}
    )
    cues["track_id"] = cues["track_id"].replace({"train-0": "MusicDelta_Rock", "test-0": "MusicDelta_Beatles"})
    table = tile_reel(source(made.frames), cues, made.entry, SETTINGS)
    return table.assign(dry_sha256=[f"{seed}-{k}" for k in range(len(table))]), cues


@given(st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_an_artist_under_two_names_is_a_leak_until_its_segments_are_left_out(seed: int) -> None:
    table, cues = renamed(seed)
    families = find_cue_families(cues, {})
    (leak,) = find_leaks(table, "artist", cues={"r-01": cues}, families=families)
    assert leak.what == "Music Delta (Music Delta, Music Delta Multitracks)"
    assert leak.splits == ("test", "train")
    assert find_leaks(table, "artist", cues={"r-01": cues}) == [], "the names alone do not show it"

    (divided,) = find_divided_families(cues, {})
    left = leave_out_tracks(table, divided.left_out)
    assert find_leaks(left, "artist", cues={"r-01": cues}, families=families) == []
    assert (left.split == "train").tolist() == (table.split == "train").tolist()
    for before, after in zip(table.itertuples(), left.itertuples(), strict=True):
        held = "MusicDelta_Beatles" in before.track_ids
        assert after.split == ("" if held else before.split)
        assert after.flags == before.flags + [FLAG] * (held and before.split != "")
        assert after.context <= before.context
    # No left context reaches into a segment that is left out.
    starts, stops = left.start[left.split != ""] - left.context[left.split != ""], left.start[left.split != ""]
    gone = table[["MusicDelta_Beatles" in ids for ids in table.track_ids]]
    for start, stop in zip(starts, stops, strict=True):
        assert not ((gone.start < stop) & (gone.stop > start)).any()


def test_segments_without_the_tracks_stay_as_they_are() -> None:
    table, _ = renamed()
    pd.testing.assert_frame_equal(leave_out_tracks(table, []), table)
    pd.testing.assert_frame_equal(leave_out_tracks(table, ["nothing"]), table)


def test_the_leak_report_lists_what_the_splits_divide_and_names_that_are_only_similar() -> None:
    table, cues = renamed()
    cues = cues.replace({"artist": {"artist of valid-1": "Metallica", "artist of train-1": "Metalica"}})
    cues = cues.replace({"artist": {"artist of train-2": "Oasis", "artist of train-3": "Oassis"}})
    aliases = {"Anna": ["artist of valid-2"]}
    families, divided = find_cue_families(cues, aliases), find_divided_families(cues, aliases)
    artists = artist_report(cues, families, divided, aliases)
    report = leak_report([], table, "artist", ["r-01"], None, artists)
    assert json.loads(json.dumps(report)) == report
    assert report["joined_artists"] == {"Music Delta": ["Music Delta", "Music Delta Multitracks"]}
    (one,) = report["divided_artists"]
    assert one["left_out"] == ["MusicDelta_Beatles"]
    assert one["kept"] == "train"
    assert report["near_names"] == [{"names": ["Metalica", "Metallica"], "reason": "spelling"}], "in different splits"
    assert report["aliases"] == aliases
