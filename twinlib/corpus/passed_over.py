"""Files of a corpus that are not read because of their format."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from twinlib.audio import SOUND_SUFFIXES
from twinlib.corpus.sources import is_audio, walk_files

FORMATS = "WAV, FLAC, AIFF or OGG"
_METADATA = (".yaml", ".yml", ".json", ".tsv")


def count_passed_over(root: Path) -> dict[str, int]:
    """Return the number of files below the root by suffix, in lower case, that are neither sources nor metadata."""
    files = (path for path in walk_files(root) if not is_audio(path) and path.suffix.lower() not in _METADATA)
    return dict(sorted(Counter(path.suffix.lower() or "no suffix" for path in files).items()))


def describe_passed_over(counts: Mapping[str, int]) -> str | None:
    """Return a sentence on the files with sound among the files of `count_passed_over`; None if there are none."""
    sounds = {suffix: count for suffix, count in counts.items() if suffix in SOUND_SUFFIXES}
    if not sounds:
        return None
    total = sum(sounds.values())
    kinds = ", ".join(f"{count} {suffix}" for suffix, count in sounds.items())
    return (
        f"{total} {'file' if total == 1 else 'files'} of the corpus {'is' if total == 1 else 'are'} passed over "
        f"({kinds}): only {FORMATS} files are used. Convert them, from lossless originals if there are any"
    )


def describe_empty(counts: Mapping[str, int]) -> str:
    """Return a description of a corpus without usable files."""
    if not counts:
        return f"no {FORMATS}: the folder holds no files"
    total = sum(counts.values())
    return f"no {FORMATS} among {total} {'file' if total == 1 else 'files'}: {', '.join(counts)}. Convert them"
