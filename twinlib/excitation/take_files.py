"""The files of takes, under the names of the configuration or under those that recorders and audio programs give."""

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from twinlib.audio import is_sound_name
from twinlib.errors import CaptureError

_NUMBER = r"((-|-?(take|t)-?|(?<!\d))\d{1,3})?"
"""The number of a take that recorders append: `_01`, ` (2)`, `-take3`; after a digit it needs a separator."""


def take_path(pattern: str, reel: str) -> Path:
    """Return the file of the take of a reel: the pattern with the name of the reel in place of `{reel}`."""
    if "{reel}" not in pattern:
        raise CaptureError(f"takes is {pattern!r}: put {{reel}} at the place of the reel's name")
    return Path(pattern.replace("{reel}", reel))


def find_takes(pattern: str, reel: str, reels: Iterable[str] = (), taken: Collection[Path] = ()) -> list[Path]:
    """Return the files that may be the take of a reel, sorted: only that of `take_path` if it exists.

    Otherwise sound files of any format in its folder count if their names differ only in case, separators, leading
    zeros, or by the number of a take at the end. `reels` are all reels of the pattern: a file named as another reel is
    the take of that reel, and `taken` are takes of other devices.
    """
    path = take_path(pattern, reel)
    if path.is_file():
        return [path]
    wanted = re.compile(re.escape(_key(path.stem)) + _NUMBER)
    others = {_key(take_path(pattern, other).stem) for other in reels if other != reel}
    return [
        file
        for file in list_sounds(path.parent)
        if file not in taken
        and (key := _key(file.stem)) not in others
        and (wanted.fullmatch(key) or file.stem.casefold() == path.stem.replace("-", "").casefold())
    ]


def list_sounds(folder: Path) -> list[Path]:
    """Return the sound files in a folder, sorted; none if the folder does not exist."""
    try:
        return sorted(path for path in folder.iterdir() if is_sound_name(path) and path.is_file())
    except OSError:
        return []


def _key(stem: str) -> str:
    """Return a name in lower case, with hyphens as separators and numbers without leading zeros."""
    words = re.sub(r"[^\w]+|_+", "-", stem.casefold()).strip("-")
    return re.sub(r"(?<!\d)0+(?=\d)", "", words)
