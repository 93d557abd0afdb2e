"""Lineage of samples and files: from a range of a capture to tracks, sources, licences, take and stage records."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import pyarrow.compute as pc
from pydantic import ValidationError

from twinlib.audit.aggregate import count_by_split, usable
from twinlib.audit.results_folder import ResultsFolder
from twinlib.errors import AuditError
from twinlib.excitation import SYNTHETIC
from twinlib.model import Network
from twinlib.provenance import Stage

_CUE = ("track_id", "artist", "licence", "source", "source_sha256", "split", "gain_db")
_TAKE = ("path", "sha256", "kind", "verdict", "reasons", "settings", "simulated", "sample_rate", "subtype", "peak_dbfs")
_ALIGNMENT = ("verdict", "reasons", "lag_samples", "drift_ppm", "polarity", "gain_db", "residual_rms_samples")


def sources_between(results: ResultsFolder, excitation: str, reel: str, start: int, stop: int) -> list[dict[str, Any]]:
    """Return the slices in samples [start, stop) of a reel, in order.

    `start` and `stop` of each entry are samples of the reel, `source_start` and `source_stop` samples of the source;
    both are clipped to the range. Titles come from the corpus index.
    """
    overlaps = (pc.field("reel") == reel) & (pc.field("start") < stop) & (pc.field("stop") > start)
    cues = results.cues(excitation).filter(overlaps).to_pylist()
    slices = []
    for cue in sorted(cues, key=lambda cue: (cue["start"], cue["position"])):
        first, last = max(start, cue["start"]), min(stop, cue["stop"])
        # A source at another rate has another number of samples: round outwards to whole samples.
        extent, length = cue["source_stop"] - cue["source_start"], cue["stop"] - cue["start"]
        source_start = cue["source_start"] + (first - cue["start"]) * extent // length
        source_stop = cue["source_start"] - (-(last - cue["start"]) * extent // length)
        slices.append(
            {
                "title": results.track(cue["track_id"]).title,
                **{key: cue[key] for key in _CUE},
                "start": first,
                "stop": last,
                "source_start": source_start,
                "source_stop": source_stop,
            }
        )
    return slices


def capture_facts(results: ResultsFolder, device: str, capture: str) -> dict[str, Any]:
    """Return the take (or pair) and the alignment of a capture, with the keys of their files."""
    take, alignment = results.take(device, capture), results.alignment(device, capture)
    return {
        "take": {key: take[key] for key in _TAKE if key in take},
        "earlier_takes": results.take_history(device, capture)[:-1],
        "alignment": {key: alignment[key] for key in _ALIGNMENT},
    }


def used_tracks(results: ResultsFolder, device: str) -> list[dict[str, Any]]:
    """Return the tracks in the usable segments of a device with their segments by split; sorted by track.

    Sweeps and tones are no tracks.
    """
    segments = usable(results.segments(device, ["split", "track_ids"]))
    counts = count_by_split(segments["split"], segments["track_ids"])
    return [
        {**asdict(results.track(track)), **dict(sorted(splits.items()))}
        for track, splits in counts.items()
        if track and track not in SYNTHETIC
    ]


def stage_history(results: ResultsFolder, names: Iterable[str]) -> list[dict[str, Any]]:
    """Return the stages upstream of some files, each once, in dependency order."""
    stages: dict[str, Stage] = {}
    for name in names:
        maker = results.maker(name)
        if maker is not None:
            stages |= {stage.name: stage for stage in results.history(maker)}
    return [stage_facts(stage) for stage in stages.values()]


def stage_facts(stage: Stage) -> dict[str, Any]:
    """Return the facts of a stage record that a trace shows."""
    git = stage.content.get("git", {})
    commit = str(git.get("commit", "")) + (" with uncommitted changes" if git.get("dirty") else "")
    return {
        "stage": stage.program,
        "record": stage.name,
        "started": stage.content.get("started", ""),
        "code": stage.content.get("code", ""),
        "commit": commit,
        "environment": stage.content.get("environment", {}),
        "params": dict(stage.content.get("params", {})),
        "link": stage.chain_hash,
    }


def segment_row(results: ResultsFolder, segment_id: str) -> dict[str, Any]:
    """Return the row of a segment in `segments/1`. Raises `AuditError` for an unknown segment."""
    device = segment_id.split("/", 1)[0]
    if device not in results.devices:
        raise AuditError(
            f"no segment {segment_id}: {results.folder} has no device {device} with a dataset "
            f"(it has {', '.join(results.devices) or 'none'})"
        )
    table = results.segments(device)
    rows: list[dict[str, Any]] = table.filter(pc.field("segment_id") == segment_id).to_pylist()
    if not rows:
        example = table["segment_id"][0].as_py() if len(table) else "none"
        raise AuditError(f"device {device} has no segment {segment_id}; an example of its ids is {example}")
    return rows[0]


def twins_of_device(results: ResultsFolder, device: str) -> list[dict[str, Any]]:
    """Return the twins of a device with their dataset digest and whether it is that of the current dataset."""
    has_dataset = (results.folder / "devices" / device / "dataset.json").is_file()
    digest = results.dataset(device)["digest"] if has_dataset else ""
    twins = []
    for owner, model in results.twins:
        if owner == device:
            trained_on = results.twin_header(owner, model).get("dataset", "")
            twins.append({"device": owner, "model": model, "dataset": trained_on, "this_dataset": trained_on == digest})
    return twins


def receptive_field(results: ResultsFolder, device: str, model: str) -> int:
    """Return the receptive field of a twin in samples; raises `AuditError` if its file does not state its network."""
    try:
        return Network.model_validate(results.twin_header(device, model)["network"]).receptive_field
    except (KeyError, ValidationError):
        raise AuditError(f"the twin {device}/{model} does not state its network: train it again") from None
