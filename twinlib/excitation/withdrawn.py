"""Which tracks of reels that somebody has recorded must not be used any more: no reel is made again for them."""

from pathlib import Path
from typing import TYPE_CHECKING

from twinlib.contracts import CUES, TRACKS
from twinlib.corpus.exclusions import excluded_tracks, read_exclusions
from twinlib.corpus.index import find_sources
from twinlib.corpus.settings import Corpus
from twinlib.errors import TwinError
from twinlib.excitation.sweeps import TRACK
from twinlib.files import read_table

if TYPE_CHECKING:
    import pandas as pd

_ABOUT = ["track_id", "artist", "genre", "has_bleed"]


def withdrawn_tracks(results: Path, name: str, corpus: Corpus) -> list[str]:
    """The ids, sorted, of the tracks on the reels of a recorded excitation that must not be used any more.

    Genre and bleed are those of the corpus' index or, of what it does not hold (while it is being made again, that is
    all), of the corpus' metadata. A track that is in neither is still on the reel, and nobody can tell its genre: where
    genres or bleed are excluded it is withdrawn too. Without a readable cue sheet all that is excluded is named, for
    any of it may be on the reels. Raises `CorpusError` where the corpus is needed and not there.
    """
    # A project without recordings never asks.
    import pandas as pd

    index = _indexed(results)
    try:
        cues = read_table(results / "excitations" / name / "cues.parquet", CUES, ["track_id", "artist"])
    except TwinError:
        listed = read_exclusions(corpus.exclude) if corpus.exclude else {}
        return sorted({*listed, *excluded_tracks(index if len(index) else _told(corpus), corpus)})
    held = cues.drop_duplicates("track_id").assign(genre="", has_bleed=None)
    known, doubtful = index, set()
    if corpus.exclude_genres or corpus.exclude_bleed:
        # Sweeps are in no corpus and have no genre.
        doubtful = set(held["track_id"]) - {TRACK, *index["track_id"]}
        if doubtful:
            told = _told(corpus)
            known = pd.concat([index, told[told["track_id"].isin(doubtful)]], ignore_index=True)
            doubtful -= set(told["track_id"])
    gone = held[~held["track_id"].isin(known["track_id"])]
    judged = pd.concat([known[known["track_id"].isin(held["track_id"])], gone[_ABOUT]], ignore_index=True)
    return sorted({*excluded_tracks(judged, corpus), *doubtful})


def _indexed(results: Path) -> "pd.DataFrame":
    import pandas as pd

    try:
        return read_table(results / "corpus" / "tracks.parquet", TRACKS, _ABOUT).astype(object)
    except TwinError:
        return pd.DataFrame(columns=_ABOUT, dtype=object)


def _told(corpus: Corpus) -> "pd.DataFrame":
    """The same by the metadata of the corpus, which is asked where there is no index."""
    import pandas as pd

    rows = [(one.track_id, one.artist, one.genre, one.has_bleed) for one in find_sources(corpus).sources]
    return pd.DataFrame(rows, columns=_ABOUT, dtype=object)
