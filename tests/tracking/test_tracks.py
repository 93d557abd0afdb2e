"""The tracks of a dataset as tags of its runs."""

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from twinlib.tracking.tracks import COUNT, NAME, tags_from_tracks, tracks_from_tags

TRACKS = st.lists(st.text(max_size=900), max_size=60)


@given(TRACKS)
def test_tags_round_trip(tracks: list[str]) -> None:
    tags = tags_from_tracks(tracks)
    assert tracks_from_tags({**tags, "device": "box", "dataset.sha256": "0" * 64}) == set(tracks)
    assert tags[COUNT] == str(len(set(tracks)))
    assert tags_from_tracks(reversed(tracks)) == tags


@given(TRACKS)
def test_every_tag_is_within_its_limit_and_full(tracks: list[str]) -> None:
    tags = tags_from_tracks(tracks)
    lists = [json.loads(tags[name]) for name in tags if name != COUNT]
    assert all(len(text) <= 5000 or len(json.loads(text)) == 1 for text in tags.values() if text.startswith("["))
    assert all(len(json.dumps([*one, other[0]], ensure_ascii=False)) > 5000 for one, other in pairwise(lists))
    assert list(tags) == [COUNT, *(NAME if number == 1 else f"{NAME}.{number}" for number in range(1, len(lists) + 1))]


def test_a_run_without_a_list_differs_from_a_run_without_tracks() -> None:
    assert tracks_from_tags({"tracks": "12", "dataset.tracksuit": "[]"}) is None
    assert tracks_from_tags({"tracks": "0"}) == set()
