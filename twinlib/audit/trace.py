"""Trace a segment, a moment of a listening clip, a twin or a file back to its origins."""

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from twinlib.audit import lineage
from twinlib.audit.headers import read_embedded_chain_hash
from twinlib.audit.results_folder import ResultsFolder
from twinlib.contracts import CLIPS, MUSIC
from twinlib.errors import AuditError
from twinlib.files import read_json, sha256_file
from twinlib.provenance import Stage

_CLIP = re.compile(r"twins/([^/]+)/[^/]+/evaluation/listening/[^/]+\.flac")
_PIECE = ("track_id", "artist", "licence", "source", "source_start", "source_stop", "source_sha256")
_MUSIC_PREFIX = "music-"
"""The prefix of clips that hold the music of a probe reel."""
_SEGMENT = re.compile(r"[^/]+/[^/]+/\d{10}")


def trace(results: ResultsFolder, what: str, at: float | None = None) -> dict[str, Any]:
    """Trace a segment id, a twin (`DEVICE/MODEL`, its folder or its file) or a file path to its origins.

    `at` selects one moment of a listening clip, in seconds. A file outside the results folder is identified by its
    sha256 or, for a twin and its exports, by the embedded chain hash. The key `kind` of the answer is `segment`,
    `clip`, `music`, `twin` or `file`. Raises `AuditError` for anything unknown to the results.
    """
    if _SEGMENT.fullmatch(what):
        return trace_segment(results, what)
    twin = _parse_twin(results, what)
    if twin:
        return _trace_twin(results, *twin)
    clip = _CLIP.fullmatch(results.name_of(Path(what))) or _CLIP.fullmatch(what)
    if clip:
        trace_clip = _trace_music if Path(clip.group(0)).name.startswith(_MUSIC_PREFIX) else _trace_clip
        return trace_clip(results, clip.group(0), clip.group(1), at)
    if at is not None:
        raise AuditError(f"--at needs a listening clip, and {what} is not one: omit --at")
    return _trace_file(results, _identify(results, Path(what)))


def trace_segment(results: ResultsFolder, segment_id: str, model: str | None = None) -> dict[str, Any]:
    """Trace a segment to its sources, take, alignment, twins and stages.

    `context` holds the sources of the left context as far as a twin looks back (`context_samples`): the one named by
    `model`, else that of the device with the longest receptive field; without a twin, all available.
    """
    row = lineage.segment_row(results, segment_id)
    device, capture, start = row["device"], row["capture"], row["start"]
    excitation = results.excitation_of(device, capture)
    sources, context = [], []
    twins = lineage.twins_of_device(results, device)
    models = [model] if model is not None else [twin["model"] for twin in twins]
    reach = max((lineage.receptive_field(results, device, name) - 1 for name in models), default=row["context"])
    seen = min(row["context"], reach)
    if excitation:
        sources = lineage.sources_between(results, excitation, capture, start, row["stop"])
        if seen:
            context = lineage.sources_between(results, excitation, capture, start - seen, start)
    return {
        "kind": "segment",
        "segment": row,
        "excitation": excitation,
        "sources": sources,
        "context": context,
        "context_samples": seen,
        **lineage.capture_facts(results, device, capture),
        "twins": twins,
        "stages": lineage.stage_history(results, [f"devices/{device}/shards/{capture}.arrow"]),
    }


def _parse_twin(results: ResultsFolder, what: str) -> tuple[str, str] | None:
    """Return device and model if `what` names a twin of these results."""
    path = Path(what)
    name = results.name_of(path / "twin.safetensors" if path.is_dir() else path)
    for device, model in results.twins:
        if what.rstrip("/") == f"{device}/{model}" or name == f"twins/{device}/{model}/twin.safetensors":
            return device, model
    return None


def _trace_twin(results: ResultsFolder, device: str, model: str) -> dict[str, Any]:
    file = f"twins/{device}/{model}/twin.safetensors"
    header, stage, dataset = results.twin_header(device, model), results.maker(file), results.dataset(device)
    takes = {name: lineage.capture_facts(results, device, name)["take"] for name in sorted(dataset["captures"])}
    return {
        "kind": "twin",
        "device": device,
        "model": model,
        "sha256": sha256_file(results.folder / file),
        "head": header.get("provenance", ""),
        "head_is_its_record": bool(stage and stage.chain_hash and stage.chain_hash == header.get("provenance")),
        "dataset": header.get("dataset", ""),
        "dataset_is_current": dataset["digest"] == header.get("dataset"),
        "splits": dataset["splits"],
        "licences": dataset["licences"],
        "left_out": dataset["excluded"],
        "tracks": lineage.used_tracks(results, device),
        "takes": takes,
        "stages": lineage.stage_history(results, [file]),
    }


def _trace_clip(results: ResultsFolder, name: str, device: str, at: float | None) -> dict[str, Any]:
    clips = read_json(results.folder / Path(name).parent / "clips.json", CLIPS)
    if "pieces" not in clips:
        raise AuditError(
            f"{name} was made by an earlier version that did not store its sources: evaluate the twin again"
        )
    _require_current_shards(results, name)
    rate, pieces = clips["sample_rate"], clips["pieces"]
    sample = None if at is None else round(at * rate)
    if sample is not None:
        pieces = [piece for piece in pieces if piece["start"] <= sample < piece["stop"]]
        if not pieces:
            raise AuditError(f"{name} ({clips['seconds']:.2f} s) is silent at {at:g} s: choose a moment within a piece")
    rows = _segments_by_row(results, device, sorted({piece["shard"] for piece in pieces}))
    size = next(row["stop"] - row["start"] for row in rows.values())
    segments = []
    for piece in pieces:
        first, last = piece["shard_start"], piece["shard_start"] + piece["stop"] - piece["start"]
        if sample is not None:
            first += sample - piece["start"]
            last = first + 1
        for number in range(first // size, (last - 1) // size + 1):
            start = piece["start"] + max(first, number * size) - piece["shard_start"]
            stop = piece["start"] + min(last, (number + 1) * size) - piece["shard_start"]
            segments.append({"clip_start": start / rate, "clip_stop": stop / rate, **rows[piece["shard"], number]})
    answer: dict[str, Any] = {"kind": "clip", "clip": name, "at": at, "segments": segments}
    model = name.split("/")[2]
    return answer | ({"origin": trace_segment(results, segments[0]["segment_id"], model)} if at is not None else {})


def _require_current_shards(results: ResultsFolder, name: str) -> None:
    """Raise `AuditError` if a shard of the clip was cut again since: its rows are other segments now."""
    maker = results.maker(name)
    for shard, sha256 in maker.inputs.items() if maker else ():
        shard_maker = results.maker(shard)
        if shard.endswith(".arrow") and (shard_maker is None or shard_maker.outputs[shard] != sha256):
            raise AuditError(f"{name} was made from another version of {shard}: run the workflow again")


def _segments_by_row(results: ResultsFolder, device: str, shards: list[str]) -> dict[tuple[str, int], dict[str, Any]]:
    columns = ["segment_id", "shard", "row", "start", "stop", "split", "track_ids", "licences"]
    table = results.segments(device, columns)
    table = table.filter(pc.is_in(table["shard"], value_set=pa.array(shards, pa.string())))
    return {(row["shard"], row["row"]): row for row in table.to_pylist()}


def _trace_music(results: ResultsFolder, name: str, device: str, at: float | None) -> dict[str, Any]:
    """Trace a clip with the music of a probe reel to its tracks and its take."""
    music = read_json(results.folder / Path(name).parent / "music.json", MUSIC)
    maker = results.maker(name)
    probes = [Path(path) for path in (maker.inputs if maker else ()) if path.endswith("/probe.json")]
    if not probes:
        raise AuditError(f"{name} has no record that names its probe reel: run its stage again")
    excitation = probes[0].parent.name
    rate, withdrawn = music["sample_rate"], set(music["withdrawn"])
    sources, start = [], 0
    for piece in [] if withdrawn else results.probe_reel(excitation)["excerpt"]:
        stop = start + piece["frames"]
        if at is None or start <= round(at * rate) < stop:
            span = {"clip_start": start / rate, "clip_stop": stop / rate, "reel_start": music["reel_start"] + start}
            sources.append({**span, **{key: piece[key] for key in _PIECE}})
        start = stop
    if at is not None and not sources and not withdrawn:
        raise AuditError(f"{name} ({music['seconds']:.2f} s) has no music at {at:g} s")
    return {
        "kind": "music",
        "clip": name,
        "at": at,
        "reel": music["reel"],
        "excitation": excitation,
        "withdrawn": sorted(withdrawn),
        "sources": sources,
        **lineage.capture_facts(results, device, music["reel"]),
        "stages": lineage.stage_history(results, [name]),
    }


def _identify(results: ResultsFolder, path: Path) -> str:
    """Return the name of a file in the records, by its path, its sha256 or its embedded chain hash."""
    name = results.name_of(path)
    if results.maker(name):
        return name
    if not path.is_file():
        # The path may be relative to the results folder.
        if results.maker(path.as_posix()) or (results.folder / path).is_file():
            return path.as_posix()
        raise AuditError(
            f"{path} is not a file, a segment (DEVICE/CAPTURE/0000000000) or a twin (DEVICE/MODEL) of {results.folder}"
        )
    sha256 = sha256_file(path)
    for stage in results.stages:
        for recorded, recorded_sha256 in (*stage.outputs.items(), *stage.inputs.items()):
            if recorded_sha256 == sha256:
                return recorded
    chain_hash = read_embedded_chain_hash(path)
    for stage in results.stages:
        if chain_hash and stage.chain_hash == chain_hash:
            return next((output for output in stage.outputs if output.endswith(path.suffix)), next(iter(stage.outputs)))
    raise AuditError(f"{path} is unknown: no stage of {results.folder} read or wrote a file with sha256 {sha256}")


def _trace_file(results: ResultsFolder, name: str) -> dict[str, Any]:
    maker = results.maker(name)
    readers = [stage for stage in results.stages if name in stage.inputs]
    checksums = {stage.inputs[name] for stage in readers}
    if maker and name in maker.outputs:
        checksums.add(maker.outputs[name])
    return {
        "kind": "file",
        "file": name,
        "sha256": sorted(checksums),
        "made_by": lineage.stage_facts(maker) if maker else None,
        "inputs": dict(maker.inputs) if maker else {},
        "sources": _external_inputs(results, maker) if maker else [],
        "read_by": [stage.name for stage in readers],
        "dependants": results.dependants([name]),
        "stages": lineage.stage_history(results, [name]),
    }


def _external_inputs(results: ResultsFolder, stage: Stage) -> list[str]:
    """Return the inputs in the history of a stage that no stage made, sorted."""
    history = results.history(stage)
    return sorted({name for earlier in history for name in earlier.inputs if results.maker(name) is None})
