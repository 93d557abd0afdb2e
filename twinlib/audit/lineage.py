"""What sounds where: from samples of a capture back to tracks, sources, licences, the take and its alignment."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from twinlib.audit.aggregate import counted, used
from twinlib.contracts import ALIGNMENT, CUES, DATASET, TAKE, TRACKS
from twinlib.errors import AuditError, TwinError
from twinlib.files import read_json
from twinlib.provenance.results import Results, Stage, read_arrow
from twinlib.provenance.take_history import FILE, read_history

_HEARD = ("track_id", "artist", "licence", "source", "source_sha256", "split", "gain_db")
_EXCITATION = re.compile(r"excitations/([^/]+)/")
_TAKE = ("path", "sha256", "kind", "verdict", "reasons", "settings", "simulated", "sample_rate", "subtype", "peak_dbfs")
_ALIGNMENT = ("verdict", "reasons", "lag_samples", "drift_ppm", "polarity", "gain_db", "residual_rms_samples")


@dataclass(frozen=True)
class Track:
    """What the corpus knows of a track; `licence` is as the index has it."""

    track_id: str
    title: str
    artist: str
    licence: str
    genre: str


def excitation_of(results: Results, device: str, capture: str) -> str | None:
    """The excitation whose reel a capture recorded; None for a pair."""
    # The first sees every take, of probe reels and of devices that wait for others too.
    for name in (f"{capture}/take.json", f"shards/{capture}.arrow", f"{capture}/measurements.json"):
        stage = results.maker(f"devices/{device}/{name}")
        found = [_EXCITATION.match(name) for name in stage.inputs] if stage else []
        if names := [one[1] for one in found if one]:
            return names[0]
    return None


def recorded_excitations(results: Results) -> list[str]:
    """The excitations that somebody has recorded, by the takes in the results, sorted: their reels are kept."""
    takes = [path for path in results.folder.glob("devices/*/*/take.json") if _is_recording(path)]
    return sorted({name for path in takes if (name := excitation_of(results, path.parts[-3], path.parts[-2]))})


def _is_recording(take: Path) -> bool:
    try:
        return bool(read_json(take, TAKE).get("kind") == "take")
    except TwinError:
        return False


def heard(results: Results, excitation: str, reel: str, start: int, stop: int) -> list[dict[str, Any]]:
    """The slices that sound in samples [start, stop) of a reel, in order: what they are and which samples they were.

    `start` and `stop` are samples of the reel, `source_start` and `source_stop` of the source, both of the part that
    sounds in the range; the titles are those of the corpus' index.
    """
    cues = read_arrow(results.folder / "excitations" / excitation / "cues.parquet", CUES).filter(_on(reel, start, stop))
    tracks = corpus_tracks(results)
    found = []
    for cue in sorted(cues.to_pylist(), key=lambda cue: (cue["start"], cue["position"])):
        first, last = max(start, cue["start"]), min(stop, cue["stop"])
        # A source of another rate has another number of samples; whole ones that cover the range.
        extent, length = cue["source_stop"] - cue["source_start"], cue["stop"] - cue["start"]
        begin = cue["source_start"] + (first - cue["start"]) * extent // length
        end = cue["source_start"] - (-(last - cue["start"]) * extent // length)
        place = {"start": first, "stop": last, "source_start": begin, "source_stop": end}
        found.append(
            {"title": known_track(tracks, cue["track_id"]).title, **{key: cue[key] for key in _HEARD}, **place}
        )
    return found


def _on(reel: str, start: int, stop: int) -> Any:
    import pyarrow.compute as pc

    return (pc.field("reel") == reel) & (pc.field("start") < stop) & (pc.field("stop") > start)


def capture_facts(results: Results, device: str, capture: str) -> dict[str, Any]:
    """How a capture came about: its take (or pair) and its alignment, in the words of their files."""
    folder = results.folder / "devices" / device / capture
    take, alignment = read_json(folder / "take.json", TAKE), read_json(folder / "alignment.json", ALIGNMENT)
    return {
        "take": {key: take[key] for key in _TAKE if key in take},
        "earlier_takes": read_history(folder / FILE)[:-1],
        "alignment": {key: alignment[key] for key in _ALIGNMENT},
    }


def tracks_of(results: Results, device: str) -> list[dict[str, Any]]:
    """The tracks that the usable segments of a device hold: track_id, licence, and segments by split; sorted."""
    segments = used(results.segments(device, ["split", "track_ids"]))
    counts = counted(segments["split"], segments["track_ids"])
    known = corpus_tracks(results)
    return [
        {**asdict(known_track(known, track)), **dict(sorted(splits.items()))}
        for track, splits in counts.items()
        if track
    ]


def corpus_tracks(results: Results) -> dict[str, Track]:
    """The tracks of the corpus by their ids; none where there is no corpus, as with devices of pairs alone."""
    path = results.folder / "corpus" / "tracks.parquet"
    if not path.exists():
        return {}
    table = read_arrow(path, TRACKS, ["track_id", "title", "artist", "licence", "genre"])
    return {row["track_id"]: Track(**row) for row in table.to_pylist()}


def known_track(tracks: Mapping[str, Track], track_id: str) -> Track:
    """What is known of a track: its id at least."""
    return tracks.get(track_id) or Track(track_id, "", "", "", "")


def told_of(stage: Stage) -> dict[str, Any]:
    """What a record says of its stage, for a trace."""
    git = stage.content.get("git", {})
    commit = str(git.get("commit", "")) + (" and changes that were not committed" if git.get("dirty") else "")
    return {
        "stage": stage.program,
        "record": stage.name,
        "started": stage.content.get("started", ""),
        "code": stage.content.get("code", ""),
        "commit": commit,
        "environment": stage.content.get("environment", {}),
        "params": dict(stage.content.get("params", {})),
        "link": stage.link,
    }


def histories(results: Results, names: Iterable[str]) -> list[dict[str, Any]]:
    """What all stages behind some files did, each stage once, in the order in which they depend on each other."""
    found: dict[str, Stage] = {}
    for name in names:
        maker = results.maker(name)
        if maker is not None:
            found |= {stage.name: stage for stage in results.history(maker)}
    return [told_of(stage) for stage in found.values()]


def segment_row(results: Results, segment_id: str) -> dict[str, Any]:
    """The row of a segment in `segments/1`. Raises `AuditError` if there is none."""
    import pyarrow.compute as pc

    device = segment_id.split("/", 1)[0]
    if device not in results.devices:
        raise AuditError(
            f"there is no segment {segment_id}: {results.folder} has no device {device} with a dataset "
            f"(it has {', '.join(results.devices) or 'none'})"
        )
    table = results.segments(device)
    rows: list[dict[str, Any]] = table.filter(pc.field("segment_id") == segment_id).to_pylist()
    if not rows:
        first = table["segment_id"][0].as_py() if len(table) else "none"
        raise AuditError(f"device {device} has no segment {segment_id}: its ids look like {first}")
    return rows[0]


def trained_on(results: Results, device: str) -> list[dict[str, Any]]:
    """The twins of a device as their files tell of themselves, with whether the dataset is still the one they saw."""
    told = results.folder / "devices" / device / "dataset.json"
    digest = read_json(told, DATASET)["digest"] if told.is_file() else ""
    found = []
    for owner, model in results.twins:
        if owner == device:
            header = twin_header(results.folder / "twins" / owner / model / "twin.safetensors")
            same = header.get("dataset") == digest
            found.append({"device": owner, "model": model, "dataset": header.get("dataset", ""), "this_dataset": same})
    return found


def twin_header(path: Path) -> Mapping[str, Any]:
    """The header of a twin, without its weights: among others `dataset` and `provenance`. Needs no torch."""
    import json

    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            header = json.loads((file.metadata() or {}).get("twinlib", "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise AuditError(f"{path} is not a readable twin ({error})") from None
    if not isinstance(header, dict) or not header:
        raise AuditError(f"{path} is a file of tensors, but no twin of this project")
    return header


def embedded_link(path: Path) -> str:
    """The head of its chain that a twin, `.nam` or `.onnx` file carries; empty if it has none or is another file."""
    import json

    if path.suffix == ".safetensors":
        return str(twin_header(path).get("provenance", ""))
    if path.suffix == ".nam":
        try:
            return str(json.loads(path.read_text(encoding="utf-8"))["metadata"]["twin"]["provenance"])
        except (OSError, ValueError, LookupError, TypeError):
            return ""
    if path.suffix == ".onnx":
        try:
            import onnx
        except ImportError:
            raise TwinError("the head of an .onnx file is read with onnx: pip install -e '.[export]'") from None
        try:
            model = onnx.load(str(path), load_external_data=False)
        except Exception as error:
            raise AuditError(f"{path} is not a readable ONNX file ({error})") from None
        return next((prop.value for prop in model.metadata_props if prop.key == "provenance"), "")
    return ""
