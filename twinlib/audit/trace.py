"""From a segment, a moment of a clip, a twin or a file back to all that it was made of."""

import re
from pathlib import Path
from typing import Any

from twinlib.audit import lineage
from twinlib.contracts import CLIPS, DATASET, MUSIC, PROBE
from twinlib.errors import AuditError
from twinlib.files import read_json, sha256_file
from twinlib.provenance.results import Results, Stage

_CLIP = re.compile(r"twins/([^/]+)/[^/]+/evaluation/listening/[^/]+\.flac")
_PIECE = ("track_id", "artist", "licence", "source", "source_start", "source_stop", "source_sha256")
_MUSIC = "music-"
"""How the names of clips begin whose sound is the music of a probe reel."""
_SEGMENT = re.compile(r"[^/]+/[^/]+/\d{10}")


def trace(results: Results, what: str, at: float | None = None) -> dict[str, Any]:
    """Where something comes from; `what` is a segment's id, a twin (`DEVICE/MODEL`, its folder or file) or a path.

    `at`, in seconds, asks for one moment of a listening clip. A file need not lie in the results: it is known by its
    sha256 or, for a twin and its exports, by the head of the chain that it carries. The answer has the key `kind`
    (`segment`, `clip`, `music`, `twin`, `file`). Raises `AuditError` for what the results do not know.
    """
    if _SEGMENT.fullmatch(what):
        return _segment(results, what)
    twin = _twin_of(results, what)
    if twin:
        return _twin(results, *twin)
    clip = _CLIP.fullmatch(results.name_of(Path(what))) or _CLIP.fullmatch(what)
    if clip:
        way = _music if Path(clip.group(0)).name.startswith(_MUSIC) else _clip
        return way(results, clip.group(0), clip.group(1), at)
    if at is not None:
        raise AuditError(f"{what} is no clip of an evaluation, so there is no moment of it to trace: leave --at out")
    return _file(results, _known(results, Path(what)))


def _segment(results: Results, segment_id: str) -> dict[str, Any]:
    row = lineage.segment_row(results, segment_id)
    device, capture, start = row["device"], row["capture"], row["start"]
    excitation = lineage.excitation_of(results, device, capture)
    sources, context = [], []
    if excitation:
        sources = lineage.heard(results, excitation, capture, start, row["stop"])
        if row["context"]:
            context = lineage.heard(results, excitation, capture, start - row["context"], start)
    return {
        "kind": "segment",
        "segment": row,
        "excitation": excitation,
        "sources": sources,
        "context": context,
        **lineage.capture_facts(results, device, capture),
        "twins": lineage.trained_on(results, device),
        "stages": lineage.histories(results, [f"devices/{device}/shards/{capture}.arrow"]),
    }


def _twin_of(results: Results, what: str) -> tuple[str, str] | None:
    """Device and model, if `what` names a twin of these results."""
    path = Path(what)
    file = path / "twin.safetensors" if path.is_dir() else path
    name = results.name_of(file)
    for device, model in results.twins:
        if what.rstrip("/") == f"{device}/{model}" or name == f"twins/{device}/{model}/twin.safetensors":
            return device, model
    return None


def _twin(results: Results, device: str, model: str) -> dict[str, Any]:
    folder = results.folder / "twins" / device / model
    header = dict(lineage.twin_header(folder / "twin.safetensors"))
    stage = results.maker(f"twins/{device}/{model}/twin.safetensors")
    dataset = read_json(results.folder / "devices" / device / "dataset.json", DATASET)
    current = dataset["digest"] == header.get("dataset")
    takes = {name: lineage.capture_facts(results, device, name)["take"] for name in sorted(dataset["captures"])}
    return {
        "kind": "twin",
        "device": device,
        "model": model,
        "sha256": sha256_file(folder / "twin.safetensors"),
        "head": header.get("provenance", ""),
        "head_is_its_record": bool(stage and stage.link and stage.link == header.get("provenance")),
        "dataset": header.get("dataset", ""),
        "dataset_is_current": current,
        "splits": dataset["splits"],
        "licences": dataset["licences"],
        "left_out": dataset["excluded"],
        "tracks": lineage.tracks_of(results, device),
        "takes": takes,
        "stages": lineage.histories(results, [f"twins/{device}/{model}/twin.safetensors"]),
    }


def _clip(results: Results, name: str, device: str, at: float | None) -> dict[str, Any]:
    told = read_json(results.folder / Path(name).parent / "clips.json", CLIPS)
    if "pieces" not in told:
        raise AuditError(f"{name} was made by a version that did not note where its sound came from: evaluate it again")
    _require_same_shards(results, name)
    rate, pieces = told["sample_rate"], told["pieces"]
    if at is not None:
        sample = round(at * rate)
        pieces = [piece for piece in pieces if piece["start"] <= sample < piece["stop"]]
        if not pieces:
            raise AuditError(f"{name} has {told['seconds']:.2f} s, and silence between its pieces: none holds {at:g} s")
    rows = _rows_of_shards(results, device, sorted({piece["shard"] for piece in pieces}))
    size = next(row["stop"] - row["start"] for row in rows.values())
    found = []
    for piece in pieces:
        first, last = piece["shard_start"], piece["shard_start"] + piece["stop"] - piece["start"]
        if at is not None:
            first += sample - piece["start"]
            last = first + 1
        for number in range(first // size, (last - 1) // size + 1):
            row = rows[piece["shard"], number]
            begin = piece["start"] + max(first, number * size) - piece["shard_start"]
            end = piece["start"] + min(last, (number + 1) * size) - piece["shard_start"]
            found.append({"clip_start": begin / rate, "clip_stop": end / rate, **row})
    answer: dict[str, Any] = {"kind": "clip", "clip": name, "at": at, "segments": found}
    return answer | ({"origin": _segment(results, found[0]["segment_id"])} if at is not None else {})


def _require_same_shards(results: Results, name: str) -> None:
    """Refuse a clip of shards that have been cut anew since: its samples are of other segments than those here."""
    maker = results.maker(name)
    for shard, sha256 in maker.inputs.items() if maker else ():
        made = results.maker(shard)
        if shard.endswith(".arrow") and (made is None or made.outputs[shard] != sha256):
            raise AuditError(
                f"{name} was made of another {shard} than the one that is here now: run the pipeline again"
            )


def _music(results: Results, name: str, device: str, at: float | None) -> dict[str, Any]:
    """A clip of the music of a probe reel: the pieces of tracks that sound in it, and the take."""
    told = read_json(results.folder / Path(name).parent / "music.json", MUSIC)
    maker = results.maker(name)
    probes = [Path(one) for one in (maker.inputs if maker else ()) if one.endswith("/probe.json")]
    if not probes:
        raise AuditError(f"{name} has no record that names its probe reel: make it again")
    rate, withdrawn = told["sample_rate"], set(told["withdrawn"])
    sources, start = [], 0
    for piece in [] if withdrawn else read_json(results.folder / probes[0], PROBE)["excerpt"]:
        stop = start + piece["frames"]
        if at is None or start <= round(at * rate) < stop:
            place = {"clip_start": start / rate, "clip_stop": stop / rate, "reel_start": told["reel_start"] + start}
            sources.append({**place, **{key: piece[key] for key in _PIECE}})
        start = stop
    if at is not None and not sources and not withdrawn:
        raise AuditError(f"{name} has {told['seconds']:.2f} s: none of its music sounds at {at:g} s")
    return {
        "kind": "music",
        "clip": name,
        "at": at,
        "reel": told["reel"],
        "excitation": probes[0].parent.name,
        "withdrawn": sorted(withdrawn),
        "sources": sources,
        **lineage.capture_facts(results, device, told["reel"]),
        "stages": lineage.histories(results, [name]),
    }


def _rows_of_shards(results: Results, device: str, shards: list[str]) -> dict[tuple[str, int], dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = ["segment_id", "shard", "row", "start", "stop", "split", "track_ids", "licences"]
    table = results.segments(device, columns)
    table = table.filter(pc.is_in(table["shard"], value_set=pa.array(shards, pa.string())))
    return {(row["shard"], row["row"]): row for row in table.to_pylist()}


def _known(results: Results, path: Path) -> str:
    """The name under which the results know a file: by its place, its content, or the chain that it carries."""
    name = results.name_of(path)
    if results.maker(name):
        return name
    if not path.is_file():
        # A name relative to the results folder is as good as a path.
        if results.maker(path.as_posix()) or (results.folder / path).is_file():
            return path.as_posix()
        raise AuditError(
            f"{path} is no file, no segment (DEVICE/CAPTURE/0000000000) and no twin (DEVICE/MODEL) of {results.folder}"
        )
    sha256 = sha256_file(path)
    for stage in results.stages:
        for known, sum_ in (*stage.outputs.items(), *stage.inputs.items()):
            if sum_ == sha256:
                return known
    link = lineage.embedded_link(path)
    for stage in results.stages:
        if link and stage.link == link:
            return next((made for made in stage.outputs if made.endswith(path.suffix)), next(iter(stage.outputs)))
    raise AuditError(f"{path} has the sha256 {sha256}, which no stage of {results.folder} has read or made")


def _file(results: Results, name: str) -> dict[str, Any]:
    maker = results.maker(name)
    readers = [stage for stage in results.stages if name in stage.inputs]
    sums = {stage.inputs[name] for stage in readers} | (
        {maker.outputs[name]} if maker and name in maker.outputs else set()
    )
    return {
        "kind": "file",
        "file": name,
        "sha256": sorted(sums),
        "made_by": lineage.told_of(maker) if maker else None,
        "inputs": dict(maker.inputs) if maker else {},
        "sources": _sources(results, maker) if maker else [],
        "read_by": [stage.name for stage in readers],
        "dependants": results.dependants([name]),
        "stages": lineage.histories(results, [name]),
    }


def _sources(results: Results, maker: Stage) -> list[str]:
    """What came from outside: files that stages in the history have read and none has made; sorted."""
    behind = results.history(maker)
    return sorted({name for stage in behind for name in stage.inputs if results.maker(name) is None})
