"""What must not be used: tracks by name with a reason, artists, genres, tracks with bleed."""

import csv
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from twinlib.corpus.settings import Corpus
from twinlib.corpus.sources import normalise_name
from twinlib.errors import CorpusError

if TYPE_CHECKING:
    import pandas as pd


def read_tsv(path: Path, columns: tuple[str, ...]) -> list[tuple[str, ...]]:
    """The rows of a TSV file whose header names exactly these columns, the first of which is a track_id.

    Raises `CorpusError` that names file and line: another header, a row of another width, an empty or repeated
    track_id, an unreadable file. Empty lines are skipped.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError:
        raise CorpusError(f"{path} does not exist: make it, with the header {', '.join(columns)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(f"{path} is not readable as UTF-8 text ({error})") from None
    rows: list[tuple[str, ...]] = []
    known: set[str] = set()
    header = tuple(lines[0].split("\t")) if lines else ()
    if tuple(word.strip() for word in header) != columns:
        raise CorpusError(f"{path} must begin with the columns {', '.join(columns)}, separated by tabs")
    for number, cells in enumerate(csv.reader(lines[1:], delimiter="\t", quoting=csv.QUOTE_NONE), start=2):
        row = tuple(cell.strip() for cell in cells)
        if not any(row):
            continue
        if len(row) != len(columns) or not row[0]:
            raise CorpusError(f"{path} line {number} must hold {', '.join(columns)}, separated by tabs")
        if row[0] in known:
            raise CorpusError(f"{path} line {number} names the track {row[0]} again: keep one line a track")
        known.add(row[0])
        rows.append(row)
    return rows


def read_exclusions(path: Path) -> dict[str, str]:
    """The reason of each excluded track_id, from a TSV file (track_id, reason, date as 2026-01-31)."""
    reasons = {}
    for track_id, reason, day in read_tsv(path, ("track_id", "reason", "date")):
        if not reason:
            raise CorpusError(f"{path} gives no reason for {track_id}: an auditor will ask for it")
        try:
            date.fromisoformat(day)
        except ValueError:
            raise CorpusError(f"{path} gives {track_id} the date {day!r}: write it as 2026-01-31") from None
        reasons[track_id] = f"{reason} ({day})"
    return reasons


def excluded_tracks(tracks: "pd.DataFrame", settings: Corpus) -> dict[str, str]:
    """The tracks of the table `tracks/1` that must not be used, by track_id and sorted, with the first reason found."""
    import pandas as pd

    listed = read_exclusions(settings.exclude) if settings.exclude else {}
    artists = {normalise_name(artist) for artist in settings.exclude_artists}
    genres = {normalise_name(genre) for genre in settings.exclude_genres}
    columns = tracks.drop_duplicates("track_id").sort_values("track_id")
    reasons = {}
    for track_id, artist, genre, bleed in zip(
        columns.track_id, columns.artist, columns.genre, columns.has_bleed, strict=True
    ):
        if track_id in listed:
            reasons[track_id] = listed[track_id]
        elif normalise_name(artist) in artists:
            reasons[track_id] = f"the artist {artist} is excluded"
        elif normalise_name(genre) in genres:
            reasons[track_id] = f"the genre {genre} is excluded"
        elif settings.exclude_bleed and not pd.isna(bleed) and bleed:
            reasons[track_id] = "its stems bleed into each other"
    return reasons


def unmatched_exclusions(tracks: "pd.DataFrame", settings: Corpus) -> list[str]:
    """Track ids, artists and genres that the configuration excludes and the table does not have: misspelt, perhaps."""
    listed = read_exclusions(settings.exclude) if settings.exclude else {}
    ids, artists = set(tracks.track_id), {normalise_name(artist) for artist in tracks.artist}
    genres = {normalise_name(genre) for genre in tracks.genre}
    return [
        *(f"track {track_id}" for track_id in sorted(listed) if track_id not in ids),
        *(f"artist {artist}" for artist in sorted(settings.exclude_artists) if normalise_name(artist) not in artists),
        *(f"genre {genre}" for genre in sorted(settings.exclude_genres) if normalise_name(genre) not in genres),
    ]
