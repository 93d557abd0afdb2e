"""The tracks of a dataset as tags of a run: `twin audit withdraw` uses them to find the runs of earlier datasets."""

import json
import re
from collections.abc import Iterable, Mapping

NAME = "dataset.tracks"
"""The tag with the tracks of the usable segments as a JSON list; the list continues in `dataset.tracks.2` and so on."""

COUNT = "tracks"
"""The tag with the number of tracks."""

_MAX_LENGTH = 5000
_NAMES = re.compile(re.escape(NAME) + r"(\.\d+)?")


def tags_from_tracks(tracks: Iterable[str]) -> dict[str, str]:
    """Return the tags for a set of tracks: sorted lists of at most 5000 characters; none without tracks."""
    lists: list[list[str]] = []
    for track in sorted(set(tracks)):
        if lists and len(_text([*lists[-1], track])) <= _MAX_LENGTH:
            lists[-1].append(track)
        else:
            lists.append([track])
    named = {NAME + (f".{number}" if number > 1 else ""): _text(part) for number, part in enumerate(lists, 1)}
    return {COUNT: str(sum(map(len, lists))), **named}


def tracks_from_tags(tags: Mapping[str, str]) -> set[str] | None:
    """Return the tracks in the tags of a run, or None for runs of earlier versions, which have no track lists."""
    lists = [text for name, text in tags.items() if _NAMES.fullmatch(name)]
    if not lists and tags.get(COUNT) != "0":
        return None
    return {str(track) for text in lists for track in json.loads(text)}


def _text(tracks: list[str]) -> str:
    return json.dumps(tracks, ensure_ascii=False)
