"""Protection of recorded excitations: once a reel has been recorded, its files are immutable sources, like takes."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from twinlib.contracts import CUES, EXCITATION, PROBE_FILE, RECORD, TRACKS
from twinlib.corpus import Corpus, excluded_tracks, find_sources, read_exclusions
from twinlib.errors import ExcitationError, TwinError
from twinlib.excitation.divided import DividedFamily, find_divided_families
from twinlib.excitation.layout import probe_name, reel_names
from twinlib.excitation.settings import Excitation
from twinlib.excitation.take_files import find_takes
from twinlib.excitation.tones import SYNTHETIC
from twinlib.files import read_json, read_table, sha256_file
from twinlib.parsing import parse_json, read_text
from twinlib.provenance import read_record, record_path

if TYPE_CHECKING:
    import pandas as pd

_CUE_COLUMNS = ["track_id", "artist", "split"]
_TRACK_COLUMNS = ["track_id", "artist", "genre", "has_bleed"]


class RecordedExcitations:
    """The excitations of a configuration, and their state: recorded or not.

    Parameters
    ----------
    results : the results folder.
    excitations : settings by name, as configured now.
    take_patterns : by excitation, the paths of takes with `{reel}` in them.
    """

    def __init__(
        self, results: Path, excitations: Mapping[str, Excitation], take_patterns: Mapping[str, Iterable[str]]
    ) -> None:
        self._results = results
        self._excitations = dict(excitations)
        found = {name: recorded_settings(results, name, take_patterns.get(name, ())) for name in self._excitations}
        self._recorded = {name: settings for name, settings in found.items() if settings is not None}

    def __contains__(self, name: str) -> bool:
        return name in self._recorded

    def require_unchanged(self, source: str) -> None:
        """Raise `ExcitationError` if the configuration file `source` changes a recorded excitation."""
        for name, settings in self._recorded.items():
            if changed := changed_settings(settings, self._excitations[name]):
                raise ExcitationError(
                    f"{source}: excitations.{name} has been recorded and is immutable "
                    f"({'; '.join(changed)}). Put the old values back, or give the new ones a name of their own, such "
                    f"as {name}2: the takes of {name} stay useful either way."
                )

    def plan_files(self, name: str) -> list[Path]:
        """Return the cue sheet of an excitation, its layout, and their record."""
        folder = self._results / "excitations" / name
        return [folder / "excitation.json", folder / "cues.parquet", record_path(folder / "cues.parquet")]

    def files(self, name: str) -> list[Path]:
        """Return all files on which recordings of an excitation depend: the plan, the reels, the probe reel."""
        folder, settings = self._results / "excitations" / name, self._excitations[name]
        probes = [probe_name(name)] if settings.probe_reel else []
        reels = [folder / "reels" / f"{reel}.wav" for reel in (*reel_names(name, settings), *probes)]
        return [*self.plan_files(name), *(folder / PROBE_FILE for _ in probes), *reels, *map(record_path, reels)]

    @property
    def protected(self) -> set[str]:
        """Paths of all files of recorded excitations."""
        return {path.as_posix() for name in self._recorded for path in self.files(name)}

    def active(self, files: Callable[[str], list[Path]]) -> list[str]:
        """Return the excitations that stages make: those not recorded, and recorded excitations with missing files.

        `files` is `plan_files` or `files`. While all files of a recorded excitation exist, they are sources.
        """
        return [
            name
            for name in self._excitations
            if name not in self._recorded or not all(path.is_file() for path in files(name))
        ]

    def param(self, excitation: str, output: str, name: str, current: str) -> str:
        """Return a parameter (or `code`) of the stage that makes `output`: its recorded value, or `current`."""
        record = record_path(self._results / "excitations" / excitation / output)
        if excitation not in self._recorded or not record.is_file():
            return current
        content = read_record(record)
        return str(content["code"] if name == "code" else content["params"][name])

    def require_intact(self, sha256: Callable[[Path], str | None]) -> None:
        """Raise `ExcitationError` if a file of a recorded excitation differs from its stage record.

        `sha256` returns the checksum of a file, or None if it does not exist.
        """
        for name in self._recorded:
            files = {path.name: path for path in self.files(name)}
            for record in filter(Path.is_file, map(record_path, files.values())):
                for output, expected in read_record(record)["outputs"].items():
                    path = files.get(Path(output).name)
                    if path is not None and sha256(path) not in (None, expected):
                        raise ExcitationError(
                            f"{path} has been recorded and is damaged or was edited: its sha256 is {sha256(path)}, "
                            f"its record says {expected}. Restore it from a copy, or delete it: the next run makes it "
                            "again and accepts only the same bytes"
                        )

    def excluded_tracks(self, name: str, corpus: Corpus) -> list[str]:
        """Return the tracks on recorded reels that are now excluded; empty if nothing has been recorded."""
        return find_excluded_tracks(self._results, name, corpus) if name in self._recorded else []

    def divided_families(self, name: str, corpus: Corpus) -> list[DividedFamily]:
        """Return the families of artists in several splits of a recorded excitation; empty with splits by track."""
        settings = self._recorded.get(name)
        if settings is None or settings.split.by != "artist":
            return []
        try:
            cues = read_table(self._results / "excitations" / name / "cues.parquet", CUES, _CUE_COLUMNS)
        except TwinError:
            return []
        return find_divided_families(cues, corpus.artists)


def recorded_settings(results: Path, name: str, take_patterns: Iterable[str]) -> Excitation | None:
    """Return the original settings of a recorded excitation; None if it has not been recorded.

    An excitation is recorded if the results hold a `take.json` of a real take of one of its reels, whatever the
    current configuration, or if a file may be a take according to `take_patterns` (with `{reel}` in them).
    """
    settings = _planned_settings(results / "excitations" / name)
    if settings is None:
        return None
    reels = [*reel_names(name, settings), probe_name(name)]
    waiting = any(find_takes(pattern, reel, reels) for pattern in take_patterns for reel in reels)
    if waiting or any(True for reel in reels for _ in _takes(reel, results / "devices")):
        return settings
    return None


def keep_recorded_witness(content: Mapping[str, Any], results: Path) -> dict[str, Any]:
    """Return the content of a configuration with `witness: false` for excitations that were recorded without one.

    Reels of older versions have no witness. The content is not validated yet: with a witness, a short reel may be too
    short for its slices.
    """
    excitations, devices = content.get("excitations"), content.get("devices")
    if not isinstance(excitations, dict) or not isinstance(devices, dict):
        return dict(content)
    changed = dict(excitations)
    for name, settings in excitations.items():
        used = [device for device in devices.values() if isinstance(device, dict) and device.get("excitation") == name]
        takes = [str(device["takes"]) for device in used if device.get("takes")]
        if isinstance(settings, dict) and _recorded_without_witness(results, str(name), takes):
            changed[name] = {**settings, "witness": False}
    return {**content, "excitations": changed}


def _recorded_without_witness(results: Path, name: str, take_patterns: Iterable[str]) -> bool:
    planned = _planned_settings(results / "excitations" / name)
    return planned is not None and not planned.witness and bool(recorded_settings(results, name, take_patterns))


def changed_settings(recorded: Excitation, now: Excitation) -> list[str]:
    """Return the changed settings as `seed: 1 -> 2`, sorted by name.

    A recorded excitation never gains a witness, and a salt that the program chose is no change.
    """
    if not recorded.witness:
        now = now.model_copy(update={"witness": False})
    before, after = _flatten(recorded.planned), _flatten(now.planned)
    if None in (before["split.salt"], after["split.salt"]):
        before["split.salt"] = after["split.salt"]
    return [
        f"{name}: {before.get(name)} -> {after.get(name)}"
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def require_same_reel(reel: str, made: Path, devices: Path) -> None:
    """Delete the new reel `made` and raise `ExcitationError` if a take was recorded from a reel with other bytes.

    `devices` contains a folder per device, with `{reel}/take.json`. Simulated takes are rendered again with their reel.
    """
    digest = sha256_file(made)
    for take in _takes(reel, devices):
        if take.get("dry_sha256") not in (None, digest):
            made.unlink()
            raise ExcitationError(
                f"the reel {reel} was recorded ({take.get('path')}), and the reel made now has other bytes: the corpus "
                f"or the program has changed. The recorded reel has the sha256 {take.get('dry_sha256')}: put "
                "it back from a copy, or check out the commit named in its record; for new reels use a new excitation"
            )


def require_same_cues(cues: Path, devices: Path) -> None:
    """Delete the new cue sheet `cues` and raise `ExcitationError` if a recorded reel belongs to another cue sheet.

    The records of the reels in the same excitation contain the checksum of their cue sheet.
    """
    digest = sha256_file(cues)
    for path in sorted((cues.parent / "reels").glob("*.wav.prov.json")):
        reel = path.name.removesuffix(".wav.prov.json")
        try:
            inputs = read_json(path, RECORD)["inputs"]
        except (TwinError, KeyError):
            continue
        sums = [sha256 for name, sha256 in inputs.items() if name.endswith("/cues.parquet")]
        if sums and sums != [digest] and any(True for _ in _takes(reel, devices)):
            cues.unlink()
            raise ExcitationError(
                f"the reel {reel} was recorded, and the cue sheet made now is not the one that it was "
                f"rendered from (sha256 {sums[0]}): put that one back from a copy, or use a new excitation"
            )


def find_excluded_tracks(results: Path, name: str, corpus: Corpus) -> list[str]:
    """Return the ids, sorted, of tracks on the reels of an excitation that the corpus settings exclude.

    Genre and bleed come from the corpus index or, for tracks missing from it (all tracks, while it is being rebuilt),
    from the corpus metadata. The genre of a track in neither is unknown: such a track is excluded if the settings
    exclude any genre, or bleed. Without a readable cue sheet, returns all excluded tracks, because any of them may be
    on the reels. Raises `CorpusError` if the corpus is needed but missing.
    """
    # Projects without recordings never call this function.
    import pandas as pd

    index = _indexed_tracks(results)
    try:
        cues = read_table(results / "excitations" / name / "cues.parquet", CUES, ["track_id", "artist"])
    except TwinError:
        listed = read_exclusions(corpus.exclude) if corpus.exclude else {}
        return sorted({*listed, *excluded_tracks(index if len(index) else _corpus_tracks(corpus), corpus)})
    held = cues.drop_duplicates("track_id").assign(genre="", has_bleed=None)
    known, doubtful = index, set()
    if corpus.exclude_genres or corpus.exclude_bleed:
        # Sweeps and tones are not in the corpus and have no genre.
        doubtful = set(held["track_id"]) - SYNTHETIC - {*index["track_id"]}
        if doubtful:
            found = _corpus_tracks(corpus)
            known = pd.concat([index, found[found["track_id"].isin(doubtful)]], ignore_index=True)
            doubtful -= set(found["track_id"])
    gone = held[~held["track_id"].isin(known["track_id"])]
    # Tracks that are not on the reels may show that two credits are one artist.
    judged = pd.concat([known, gone[_TRACK_COLUMNS]], ignore_index=True)
    return sorted({*excluded_tracks(judged, corpus)}.intersection(held["track_id"]) | doubtful)


def _planned_settings(folder: Path) -> Excitation | None:
    """Return the settings in the file of an excitation, or in the record of its cue sheet."""
    try:
        return Excitation.from_record(read_json(folder / "excitation.json", EXCITATION)["settings"])
    except (TwinError, KeyError, TypeError, ValidationError):
        pass
    try:
        record = read_json(folder / "cues.parquet.prov.json", RECORD)
        return Excitation.from_record(json.loads(record["params"]["settings"]))
    except (TwinError, KeyError, TypeError, ValueError):
        return None


def _takes(reel: str, devices: Path) -> Iterator[dict[str, Any]]:
    """Yield the contents of `take.json` of the real takes of a reel."""
    for path in sorted(devices.glob(f"*/{reel}/take.json")):
        # A take of another version, or with a damaged value, is a recording too.
        try:
            take = parse_json(read_text(path))
        except (OSError, ValueError):
            continue
        if isinstance(take, dict) and take.get("kind") == "take":
            yield take


def _indexed_tracks(results: Path) -> "pd.DataFrame":
    import pandas as pd

    try:
        return read_table(results / "corpus" / "tracks.parquet", TRACKS, _TRACK_COLUMNS).astype(object)
    except TwinError:
        return pd.DataFrame(columns=_TRACK_COLUMNS, dtype=object)


def _corpus_tracks(corpus: Corpus) -> "pd.DataFrame":
    """Return the same columns from the metadata of the corpus."""
    import pandas as pd

    rows = [(source.track_id, source.artist, source.genre, source.has_bleed) for source in find_sources(corpus).sources]
    return pd.DataFrame(rows, columns=_TRACK_COLUMNS, dtype=object)


def _flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = list(value) if isinstance(value, tuple) else value
    return flat
