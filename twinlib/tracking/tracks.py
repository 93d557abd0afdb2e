"""Which tracks a run has learned from, as tags: by them `twin audit withdraw` finds runs of earlier datasets too."""

import json
import re
from collections.abc import Iterable, Mapping

NAME = "dataset.tracks"
"""The tag that holds the tracks in usable segments as a JSON list; those that do not fit follow in `dataset.tracks.2`
and so on."""

COUNT = "tracks"
"""The tag that says how many they are."""

_LONGEST = 5000
_NAMES = re.compile(re.escape(NAME) + r"(\.\d+)?")


def tags_of_tracks(tracks: Iterable[str]) -> dict[str, str]:
    """The tags that name tracks, each once and sorted, in lists of at most 5000 characters; none has no list."""
    lists: list[list[str]] = []
    for track in sorted(set(tracks)):
        if lists and len(_text([*lists[-1], track])) <= _LONGEST:
            lists[-1].append(track)
        else:
            lists.append([track])
    named = {NAME + (f".{number}" if number > 1 else ""): _text(part) for number, part in enumerate(lists, 1)}
    return {COUNT: str(sum(map(len, lists))), **named}


def tracks_of_tags(tags: Mapping[str, str]) -> set[str] | None:
    """The tracks that the tags of a run name; None if the run does not say, as those logged before there were lists."""
    lists = [text for name, text in tags.items() if _NAMES.fullmatch(name)]
    if not lists and tags.get(COUNT) != "0":
        return None
    return {str(track) for text in lists for track in json.loads(text)}


def _text(tracks: list[str]) -> str:
    return json.dumps(tracks, ensure_ascii=False)
