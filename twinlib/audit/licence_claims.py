"""Where the licence of each track comes from, and what supports it: a claim in a table, or one for all tracks."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import ValidationError

from twinlib.audit.results_folder import ResultsFolder
from twinlib.corpus import Corpus, read_tsv
from twinlib.errors import TwinError
from twinlib.excitation import SYNTHETIC
from twinlib.files import sha256_file

Origin = Literal["table", "configuration", "layout", "generated", "unknown"]


@dataclass(frozen=True)
class Claim:
    """A licence that several tracks share, from one origin."""

    licence: str
    """The licence as written; empty without any."""
    origin: Origin
    """`table` (a row for the track), `configuration` (`corpus.licence`, for all tracks), `layout` (the licence of
    MedleyDB as a whole), `generated` (signals of this program) or `unknown`."""
    evidence: str
    """A sentence: the file with its sha256, or that there is no evidence for the single track."""
    tracks: tuple[str, ...]
    """The tracks, sorted."""


def licence_claims(results: ResultsFolder, tracks: Iterable[str]) -> list[Claim]:
    """Return the claims behind the licences of tracks, by origin and licence.

    They follow from the record of the corpus index: its settings, and the table of licences whose sha256 it holds.
    """
    settings, table, about_table = _claimed(results)
    grouped: dict[tuple[Origin, str, str], list[str]] = {}
    for track in sorted(set(tracks)):
        licence = results.track(track).licence
        if track in SYNTHETIC:
            key: tuple[Origin, str, str] = ("generated", "CC0-1.0", "signals that this program generates")
        elif settings is None or track not in results.tracks:
            key = ("unknown", licence, "no record of the corpus index names this track")
        elif table is None:
            key = ("unknown", licence, about_table)
        elif track in table:
            key = ("table", licence, about_table)
        elif settings.licence is not None:
            key = (
                "configuration",
                licence,
                "one claim for all tracks (`corpus.licence`), no evidence for a single one",
            )
        else:
            key = ("layout", licence, "the licence of MedleyDB as a whole, no evidence for a single track")
        grouped.setdefault(key, []).append(track)
    return [
        Claim(licence, origin, evidence, tuple(grouped[origin, licence, evidence]))
        for origin, licence, evidence in sorted(grouped)
    ]


def _claimed(results: ResultsFolder) -> tuple[Corpus | None, Mapping[str, str] | None, str]:
    """Return the settings of the corpus, its table of licences (None if it cannot be read), and what the table is."""
    stage = results.maker("corpus/tracks.parquet")
    try:
        settings = Corpus.model_validate(json.loads(stage.content["params"]["settings"])) if stage else None
    except (KeyError, ValueError, TypeError, ValidationError):
        settings = None
    if stage is None or settings is None or settings.licences is None:
        return settings, {}, ""
    name = settings.licences.as_posix()
    recorded, path = stage.inputs.get(name, ""), results.path(name)
    if not path.is_file():
        return settings, None, f"the table {name} is not here, so the origin of the licence is unknown"
    if sha256_file(path) != recorded:
        return settings, None, f"the table {name} has changed since the index (sha256 {recorded[:16]})"
    try:
        rows = read_tsv(path, ("track_id", "licence"))
    except TwinError as error:
        return settings, None, f"the table {name} is unreadable ({error})"
    return settings, {row[0]: row[1] for row in rows}, f"a row in {name}, sha256 {recorded}"
