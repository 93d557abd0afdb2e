"""The index of the corpus: one row per source with licence, format and digest; and a list of problems."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from twinlib.audio import AudioInfo, Reader
from twinlib.contracts import INDEX, TRACKS
from twinlib.corpus.artists import find_families
from twinlib.corpus.exclusions import excluded_tracks, partial_exclusions, read_tsv, unmatched_exclusions
from twinlib.corpus.folder import list_folder, scan_folder
from twinlib.corpus.medleydb import list_medleydb, scan_medleydb
from twinlib.corpus.mirdata import list_mirdata, mirdata_metadata, scan_mirdata
from twinlib.corpus.near_names import NearNames, describe_near_names, find_near_names, first_of
from twinlib.corpus.passed_over import count_passed_over, describe_empty, describe_passed_over
from twinlib.corpus.settings import Corpus
from twinlib.corpus.sources import Problem, Scan, Source, check_root, display_path
from twinlib.errors import AudioError, CorpusError
from twinlib.files import read_json, sha256_bytes, sha256_file, write_json, write_table
from twinlib.progress import Progress, no_progress

if TYPE_CHECKING:
    import pandas as pd

_TAIL = 4096
"""Frames read at the end of a file, where a damaged compressed file fails."""


@dataclass(frozen=True)
class CorpusIndex:
    """Table `tracks/1` of all sources (including excluded ones), problems, excluded tracks with their reasons,
    exclusions without a match, and artists with several names, or with similar names that are not joined.
    """

    tracks: "pd.DataFrame"
    problems: list[Problem]
    excluded: dict[str, str]
    not_in_corpus: list[str]
    partly_excluded: list[str] = field(default_factory=list)
    joined_artists: dict[str, list[str]] = field(default_factory=dict)
    near_names: list[NearNames] = field(default_factory=list)
    passed_over: dict[str, int] = field(default_factory=dict)
    """Number of files of unsupported formats by suffix."""
    lossy: dict[str, int] = field(default_factory=dict)
    """Number of sources by lossy codec."""


def source_files(settings: Corpus) -> list[Path]:
    """Return all files that the index depends on, sorted: sound files, metadata, lists of licences and exclusions.

    Fast: lists folders and opens no file. Raises `CorpusError` if the root is not a corpus.
    """
    check_root(settings.root)
    if settings.layout == "folder":
        files = list_folder(settings.root)
    elif mirdata_metadata(settings.root):
        files = list_mirdata(settings.root, settings.audio)
    else:
        files = list_medleydb(settings.root, settings.audio, settings.metadata)
    return sorted({*files, *(path for path in (settings.licences, settings.exclude) if path)})


def file_names_digest(settings: Corpus) -> str:
    """Return the sha256 of the names of `source_files`, which changes if a file is added, renamed or removed."""
    return sha256_bytes("\0".join(path.as_posix() for path in source_files(settings)).encode(errors="surrogateescape"))


def index_corpus(settings: Corpus, progress: Progress = no_progress) -> CorpusIndex:
    """Index the corpus: hash every source and read its header. Decodes floating-point files to find NaN and Inf.

    Damaged or truncated files, files outside the root, and duplicates of the audio of another track (which could leak
    between splits) are skipped and reported as problems. `progress` counts files. Raises `CorpusError` if no source
    remains.
    """
    check_root(settings.root)
    found = find_sources(settings)
    licences = _licences(settings)
    problems = list(found.problems)
    rows: list[dict[str, Any]] = []
    owners: dict[str, Source] = {}
    lossy: Counter[str] = Counter()
    for source in sorted(found.sources, key=lambda each: (each.track_id, each.kind, each.path.as_posix())):
        name = display_path(source.path, settings.root)
        progress(1, name)
        try:
            info = _checked(source.path)
        except AudioError as error:
            problems.append(Problem(name, f"{error}: skipped"))
            continue
        digest = sha256_file(source.path)
        owner = owners.setdefault(digest, source)
        if owner.track_id != source.track_id:
            reason = f"the same audio as {display_path(owner.path, settings.root)} of another track: skipped"
            problems.append(Problem(name, reason))
            continue
        if info.header == "unfinished":
            problems.append(Problem(name, str(info.describe_header())))
        if info.codec is not None:
            lossy[info.codec] += 1
        licence = licences.get(source.track_id, settings.licence_of_all)
        rows.append(_row(source, licence, name, info, digest))
    passed_over = count_passed_over(settings.root)
    if not rows:
        reasons = "; ".join(f"{problem.file}: {problem.reason}" for problem in problems[:3])
        raise CorpusError(f"no usable sound file under {settings.root}: {reasons or describe_empty(passed_over)}")
    tracks = _table(rows)
    credits = list(zip(tracks.track_id, tracks.artist, strict=True))
    families = find_families(credits, settings.artists)
    tracks.insert(list(tracks.columns).index("title"), "artist_family", tracks.artist.map(families.by_credit))
    known = set(tracks.track_id)
    for track_id in sorted(set(licences) - known):
        problems.append(Problem(str(settings.licences), f"the track {track_id} is not in the corpus"))
    written = find_families(credits)
    for name in sorted({name for names in settings.artists.values() for name in names}):
        if not written.naming(name):
            problems.append(Problem("corpus.artists", f"no track is credited to {name}: check the spelling"))
    return CorpusIndex(
        tracks,
        problems,
        excluded_tracks(tracks, settings),
        unmatched_exclusions(tracks, settings),
        partial_exclusions(tracks, settings),
        families.joined,
        find_near_names(credits, families),
        passed_over=passed_over,
        lossy=dict(sorted(lossy.items())),
    )


def write_index(folder: Path, index: CorpusIndex) -> None:
    """Write `tracks.parquet` (contract `tracks/1`) and `index.json` (contract `index/1`) into a folder."""
    write_table(folder / "tracks.parquet", TRACKS, index.tracks)
    write_json(folder / "index.json", INDEX, summary(index))


def summary(index: CorpusIndex) -> dict[str, Any]:
    """Return the content of `index.json`: counts, hours by kind and licence, problems, exclusions, other files."""
    tracks = index.tracks
    hours = tracks.frames / tracks.sample_rate / 3600
    return {
        "tracks": int(tracks.track_id.nunique()),
        "artists": int(tracks.artist.nunique()),
        "artist_families": int(tracks.get("artist_family", tracks.artist).nunique()),
        "sources": len(tracks),
        "hours": round(float(hours.sum()), 6),
        "hours_by_kind": _sums(hours, tracks.kind),
        "hours_by_licence": _sums(hours, tracks.licence),
        "excluded": [{"track_id": track_id, "reason": reason} for track_id, reason in index.excluded.items()],
        "excluded_not_in_corpus": index.not_in_corpus,
        "partly_excluded": index.partly_excluded,
        "joined_artists": index.joined_artists,
        "near_names": [{"names": list(near.names), "reason": near.reason} for near in index.near_names],
        "passed_over": index.passed_over,
        "lossy": index.lossy,
        "problems": [{"file": problem.file, "reason": problem.reason} for problem in index.problems],
    }


def describe_index(content: Mapping[str, Any]) -> list[str]:
    """Return sentences for the user on artists and files, given the content of `index.json`; may be empty."""
    lines = []
    if joined := [f"{family} ({', '.join(credits)})" for family, credits in content.get("joined_artists", {}).items()]:
        lines.append(f"one artist, or artists with common tracks, in one split: {first_of(joined)}")
    lines += [*describe_near_names(content.get("near_names", [])), *content.get("partly_excluded", [])]
    if passed_over := describe_passed_over(content.get("passed_over", {})):
        lines.append(passed_over)
    for codec, count in content.get("lossy", {}).items():
        sources = "source is" if count == 1 else "sources are"
        lines.append(
            f"{count} {sources} lossy ({codec}): they contain no signal above the cut-off frequency of the codec"
        )
    return lines


def describe_corpus(settings: Corpus, index: Path) -> list[str]:
    """Return sentences for the user on the last index, if there is one, and on the files that are passed over now."""
    content = read_json(index, INDEX) if index.is_file() else {}
    return describe_index({**content, "passed_over": count_passed_over(settings.root)})


def find_sources(settings: Corpus) -> Scan:
    """Return the sources of the corpus by layout and metadata, without opening sound files. Raises `CorpusError`."""
    check_root(settings.root)
    if settings.layout == "folder":
        return scan_folder(settings.root)
    if mirdata_metadata(settings.root):
        return scan_mirdata(settings.root, settings.audio)
    return scan_medleydb(settings.root, settings.audio, settings.metadata)


def _licences(settings: Corpus) -> dict[str, str]:
    if settings.licences is None:
        return {}
    licences = {row[0]: row[1] for row in read_tsv(settings.licences, ("track_id", "licence"))}
    if unnamed := [track_id for track_id, licence in licences.items() if not licence]:
        raise CorpusError(f"{settings.licences} has no licence for {unnamed[0]}: add it")
    return licences


def _checked(path: Path) -> AudioInfo:
    """Return the header of a complete file; raises `AudioError` with the reason if the file is unusable."""
    with Reader(path) as reader:
        info = reader.info
        if info.channels > 2:
            raise AudioError(f"{info.channels} channels; only one or two are supported")
        if info.header == "truncated":
            raise AudioError(f"the file is truncated: it ends {info.describe_loss()}; copy it again")
        reader.read(max(0, info.frames - _TAIL))
        if info.subtype in ("FLOAT", "DOUBLE"):
            for start, block in reader.blocks():
                if not np.isfinite(block).all():
                    place = start + int(np.argmin(np.isfinite(block).all(axis=1)))
                    raise AudioError(f"sample {place} ({place / info.sample_rate:.2f} s) is NaN or Inf")
    return info


def _row(source: Source, licence: str, path: str, info: AudioInfo, digest: str) -> dict[str, Any]:
    return {
        "track_id": source.track_id,
        "artist": source.artist,
        "title": source.title,
        "genre": source.genre,
        "licence": licence,
        "has_bleed": source.has_bleed,
        "kind": source.kind,
        "instrument": source.instrument,
        "path": path,
        "sample_rate": info.sample_rate,
        "channels": info.channels,
        "frames": info.frames,
        "sha256": digest,
    }


def _table(rows: list[dict[str, Any]]) -> "pd.DataFrame":
    # Local: the workflow only lists the files of the corpus and needs no table.
    import pandas as pd

    table = pd.DataFrame(rows).astype({"has_bleed": "boolean"})
    return table.sort_values(["track_id", "kind", "path"], ignore_index=True)


def _sums(hours: "pd.Series[float]", by: "pd.Series[str]") -> dict[str, float]:
    return {str(key): round(float(value), 6) for key, value in hours.groupby(by).sum().sort_index().items()}
