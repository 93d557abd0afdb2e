"""Exclusions: tracks listed with a reason, artists, genres, tracks with bleed."""

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from twinlib.corpus.artists import Families, artist_key, find_families
from twinlib.corpus.near_names import find_near_names
from twinlib.corpus.settings import Corpus
from twinlib.corpus.sources import normalise_name
from twinlib.errors import CorpusError
from twinlib.parsing import describe_error, read_text

if TYPE_CHECKING:
    import pandas as pd


def read_tsv(path: Path, columns: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the rows of a TSV file with exactly these columns, the first of which is track_id; skips empty lines.

    Raises `CorpusError` with file and line for a different header, a row of another width, an empty or duplicate
    track_id, or an unreadable file.
    """
    try:
        lines = read_text(path).splitlines()
    except FileNotFoundError:
        raise CorpusError(f"{path} does not exist: create it with the header {', '.join(columns)}") from None
    except (OSError, ValueError) as error:
        raise CorpusError(f"{path} is not readable as UTF-8 text ({describe_error(error)})") from None
    rows: list[tuple[str, ...]] = []
    known: set[str] = set()
    header = tuple(lines[0].split("\t")) if lines else ()
    if tuple(word.strip() for word in header) != columns:
        raise CorpusError(f"{path} must start with the header {', '.join(columns)}, separated by tabs")
    for number, line in enumerate(lines[1:], start=2):
        row = tuple(cell.strip() for cell in line.split("\t"))
        if not any(row):
            continue
        if len(row) != len(columns) or not row[0]:
            raise CorpusError(f"{path} line {number} must contain {', '.join(columns)}, separated by tabs")
        if row[0] in known:
            raise CorpusError(f"{path} line {number} lists the track {row[0]} again: keep one line per track")
        known.add(row[0])
        rows.append(row)
    return rows


def read_exclusions(path: Path) -> dict[str, str]:
    """Return the reason for each excluded track_id from a TSV file (track_id, reason, date as 2026-01-31)."""
    reasons = {}
    for track_id, reason, day in read_tsv(path, ("track_id", "reason", "date")):
        if not reason:
            raise CorpusError(f"{path} has no reason for {track_id}: add one for the audit trail")
        try:
            date.fromisoformat(day)
        except ValueError:
            raise CorpusError(f"{path} has the date {day!r} for {track_id}: write it as 2026-01-31") from None
        reasons[track_id] = f"{reason} ({day})"
    return reasons


def excluded_tracks(tracks: "pd.DataFrame", settings: Corpus) -> dict[str, str]:
    """Return the excluded tracks of a table `tracks/1`: track_id to the first matching reason, sorted."""
    import pandas as pd

    listed = read_exclusions(settings.exclude) if settings.exclude else {}
    artists = _excluded_credits(_families(tracks, settings), settings)
    genres = {normalise_name(genre) for genre in settings.exclude_genres}
    columns = tracks.drop_duplicates("track_id").sort_values("track_id")
    reasons = {}
    for track_id, artist, genre, bleed in zip(
        columns.track_id, columns.artist, columns.genre, columns.has_bleed, strict=True
    ):
        if track_id in listed:
            reasons[track_id] = listed[track_id]
        elif artist in artists:
            reasons[track_id] = artists[artist]
        elif normalise_name(genre) in genres:
            reasons[track_id] = f"the genre {genre} is excluded"
        elif settings.exclude_bleed and not pd.isna(bleed) and bleed:
            reasons[track_id] = "its stems bleed into each other"
    return reasons


def unmatched_exclusions(tracks: "pd.DataFrame", settings: Corpus) -> list[str]:
    """Return excluded track ids, artists and genres that match no track of the table, perhaps misspelt."""
    listed = read_exclusions(settings.exclude) if settings.exclude else {}
    ids, families = set(tracks.track_id), _families(tracks, settings)
    genres = {normalise_name(genre) for genre in tracks.genre}
    return [
        *(f"track {track_id}" for track_id in sorted(listed) if track_id not in ids),
        *(f"artist {artist}" for artist in sorted(settings.exclude_artists) if not families.naming(artist)),
        *(f"genre {genre}" for genre in sorted(settings.exclude_genres) if normalise_name(genre) not in genres),
    ]


def partial_exclusions(tracks: "pd.DataFrame", settings: Corpus) -> list[str]:
    """Return a sentence for each excluded artist who leaves tracks of the same family, or of a similar name, in use."""
    if not settings.exclude_artists:
        return []
    families = _families(tracks, settings)
    excluded = set(_excluded_credits(families, settings))
    counts = tracks.drop_duplicates("track_id").artist.value_counts()
    near = find_near_names(zip(tracks.track_id, tracks.artist, strict=True), families)
    sentences = []
    for name in sorted(settings.exclude_artists):
        matched = families.naming(name)
        family = {families.by_credit[credit] for credit in matched}
        related = {credit for credit, its in families.by_credit.items() if its in family} - excluded
        similar = {credit for one in near if matched & set(one.names) for credit in one.names} - excluded
        for credits, reason in (
            (related, "of the same family are not excluded, because their credits do not name this artist"),
            (similar, "with similar names are not excluded; if they are the same artist, add them to corpus.artists"),
        ):
            if credits:
                number = int(counts[sorted(credits)].sum())
                sentences.append(
                    f"exclude_artists: {name} matches {int(counts[sorted(matched)].sum())} tracks; {number} more "
                    f"({', '.join(sorted(credits))}) {reason}"
                )
    return sentences


def _families(tracks: "pd.DataFrame", settings: Corpus) -> Families:
    return find_families(zip(tracks.track_id, tracks.artist, strict=True), settings.artists)


def _excluded_credits(families: Families, settings: Corpus) -> dict[str, str]:
    """Return the credits of excluded artists, with the reason."""
    reasons: dict[str, str] = {}
    for name in sorted(settings.exclude_artists):
        for credit in sorted(families.naming(name)):
            same = artist_key(name) == artist_key(credit)
            reason = f"the artist {credit if same else name} is excluded" + ("" if same else f" (credited as {credit})")
            reasons.setdefault(credit, reason)
    return reasons
