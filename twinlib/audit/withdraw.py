"""Withdraw a track: what it touches, the line that leaves it out, and the one command that rebuilds without it."""

import difflib
import json
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from twinlib.audit.formatting import table
from twinlib.audit.lineage import excitation_of, recorded_excitations
from twinlib.contracts import CUES, DATASET, PROBE, RUN, TAKE, TRACKS
from twinlib.errors import AuditError, TwinError
from twinlib.files import read_json, write_text
from twinlib.provenance.results import Results, read_arrow

_TWIN = re.compile(r"twins/([^/]+)/([^/]+)/twin\.safetensors")

HEADER = ("track_id", "reason", "date")


def touched(results: Results, track: str) -> dict[str, Any]:
    """What holds a track: segments with hours, shards and twins by device, clips, MLflow runs; and what stays.

    `segments` counts those in whose samples the track sounds, `usable` those of them that training or judging uses.
    `stays` names the reels that were recorded, and their takes: they hold the track's sound too, are not made again,
    and are not read for it any more; `made_again` the reels that nobody has recorded yet. Raises `AuditError` for a
    track that the results do not know.
    """
    _require_known(results, track)
    devices = [found for device in results.devices if (found := _of_device(results, device, track))]
    held = [one for one in devices if one["usable"]]
    fallen = results.dependants(shard for one in held for shard in one["shards"])
    reels, kept = _reels(results, track), recorded_excitations(results)
    twins = [match.groups() for name in fallen if (match := _TWIN.fullmatch(name))]
    return {
        "track": track,
        "devices": devices,
        "segments": sum(one["segments"] for one in devices),
        "usable": sum(one["usable"] for one in devices),
        "hours": round(sum(one["hours"] for one in devices), 6),
        "twins": [f"{device}/{model}" for device, model in twins],
        "exports": [name for name in fallen if name.endswith((".nam", ".onnx"))],
        "renders": [name for name in fallen if name.endswith((".flac", "/listening.html"))],
        "runs": [run for device, model in twins for run in _run(results, device, model)],
        "datasets": sorted({one["digest"] for one in held}),
        "stays": _staying(results, {reel: name for reel, name in reels.items() if name in kept}),
        "made_again": _paths({reel: name for reel, name in reels.items() if name not in kept}),
    }


def _require_known(results: Results, track: str) -> None:
    known: set[str] = set()
    index = results.folder / "corpus" / "tracks.parquet"
    if index.is_file():
        known |= set(read_arrow(index, TRACKS, ["track_id"])["track_id"].to_pylist())
    for path in sorted(results.folder.glob("excitations/*/cues.parquet")):
        known |= set(read_arrow(path, CUES, ["track_id"])["track_id"].unique().to_pylist())
    if track not in known:
        near = difflib.get_close_matches(track, sorted(known), 3, 0.4)
        raise AuditError(
            f"{results.folder} knows no track {track}"
            + (f": did you mean {', '.join(near)}?" if near else f" (it knows {len(known)})")
        )


def _of_device(results: Results, device: str, track: str) -> dict[str, Any] | None:
    import numpy as np
    import pyarrow.compute as pc

    columns = results.segments(device, ["track_ids", "flags", "split", "start", "stop", "shard", "row"])
    # Where it is excluded already, its samples are silence.
    held = np.setdiff1d(_rows_with(columns["track_ids"], track), _rows_with(columns["flags"], f"excluded:{track}"))
    if not len(held):
        return None
    rows = columns.take(held)
    usable = np.asarray(pc.not_equal(rows["split"], ""))
    samples = np.asarray(rows["stop"]) - np.asarray(rows["start"])
    dataset = read_json(results.folder / "devices" / device / "dataset.json", DATASET)
    return {
        "device": device,
        "segments": len(rows),
        "usable": int(usable.sum()),
        "hours": round(float(samples[usable].sum()) / dataset["sample_rate"] / 3600, 6),
        "shards": sorted(f"devices/{device}/shards/{name}" for name in set(rows["shard"].to_pylist()) if name),
        "digest": dataset["digest"],
    }


def _rows_with(column: Any, value: str) -> Any:
    """The rows, sorted, of a column of lists that hold a value."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    lists = column.combine_chunks().cast(pa.list_(pa.string()))
    found = pc.list_parent_indices(lists).filter(pc.equal(pc.list_flatten(lists), value))
    return np.unique(found.to_numpy(zero_copy_only=False))


def _run(results: Results, device: str, model: str) -> list[dict[str, str]]:
    try:
        run = read_json(results.folder / "twins" / device / model / "run.json", RUN)
    except TwinError:
        return []
    return [{"experiment": str(run.get("experiment", "")), "run_id": str(run.get("run_id", ""))}]


def _reels(results: Results, track: str) -> dict[str, str]:
    """The excitation of each reel on which a track sounds, by the reel's name."""
    import pyarrow.compute as pc

    reels: dict[str, str] = {}
    for path in sorted(results.folder.glob("excitations/*/cues.parquet")):
        cues = read_arrow(path, CUES, ["reel", "track_id"]).filter(pc.field("track_id") == track)
        reels |= dict.fromkeys(cues["reel"].unique().to_pylist(), path.parent.name)
    for path in sorted(results.folder.glob("excitations/*/probe.json")):
        probe = read_json(path, PROBE)
        if any(piece["track_id"] == track for piece in probe["excerpt"]):
            reels[probe["name"]] = path.parent.name
    return reels


def _paths(reels: Mapping[str, str]) -> list[str]:
    return [f"excitations/{excitation}/reels/{reel}.wav" for reel, excitation in sorted(reels.items())]


def _staying(results: Results, reels: Mapping[str, str]) -> dict[str, list[str]]:
    takes = [
        path.parent
        for path in sorted(results.folder.glob("devices/*/*/take.json"))
        if path.parent.name in reels
        and excitation_of(results, path.parts[-3], path.parts[-2]) == reels[path.parent.name]
    ]
    return {
        "reels": _paths(reels),
        "takes": [str(read_json(folder / "take.json", TAKE)["path"]) for folder in takes],
    }


def exclusions_file(results: Results) -> Path:
    """The file of excluded tracks (`corpus.exclude`) that the corpus was indexed with, by the record.

    Raises `AuditError` if the configuration named none, or several.
    """
    told = {
        json.loads(stage.content["params"]["settings"]).get("exclude")
        for stage in results.stages
        if stage.program == "index_corpus"
    }
    if len(told) == 1 and (name := next(iter(told))):
        path = Path(name)
        return path if path.is_absolute() else results.project / path
    if len(told) > 1:
        raise AuditError("these results were made with several lists of excluded tracks: name one with --exclude")
    raise AuditError(
        "these results were made without a list of excluded tracks, so there is nowhere to write it down: set "
        "`corpus.exclude: config/excluded.tsv` in the configuration, with the header track_id, reason, date in that "
        "file, run again, and withdraw then"
    )


def write_exclusion(path: Path, track: str, reason: str, day: date) -> None:
    """Add a line to the list of excluded tracks. Raises `AuditError` if it names the track already."""
    # As `splitlines` counts lines, with which the list is read: pasted text holds more than newlines.
    if "\t" in reason or len(reason.splitlines()) != 1 or not reason.strip():
        raise AuditError("a reason is one line without tabs, and not empty: an auditor will ask for it")
    if "\t" in track or len(track.splitlines()) != 1:
        raise AuditError(f"the track {track!r} holds a tab or a line's end, which no list can: rename its files")
    lines = _lines(path)
    if any(line.split("\t")[0].strip() == track for line in lines[1:]):
        raise AuditError(f"{path} names {track} already: it is withdrawn, or will be by the next run")
    lines = lines or ["\t".join(HEADER)]
    write_text(path, "\n".join([*lines, "\t".join((track, reason.strip(), day.isoformat()))]) + "\n")


def remove_exclusion(path: Path, track: str) -> None:
    """Take a track's line out of the list. Raises `AuditError` if there is none."""
    lines = _lines(path)
    left = [line for number, line in enumerate(lines) if not number or line.split("\t")[0].strip() != track]
    if left == lines:
        raise AuditError(f"{path} does not name {track}: it is not withdrawn")
    write_text(path, "\n".join(left) + "\n")


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise AuditError(f"{path} is not readable as UTF-8 text ({error})") from None
    return [line for line in text.splitlines() if line.strip()]


def rebuild_command(results: Results) -> str:
    """The command that makes these results: found by the configurations in the project's folder that name them."""
    project = results.project
    fitting = [
        path for path in sorted([*project.glob("config/*.y*ml"), *project.glob("*.y*ml")]) if _makes(results, path)
    ]
    names = [path.relative_to(project).as_posix() for path in fitting]
    if "config/config.yaml" in names:
        return "snakemake --cores all"
    if len(names) == 1:
        return f"snakemake --configfile {names[0]} --cores all"
    return "snakemake --configfile THE_CONFIGURATION_OF_THESE_RESULTS --cores all"


def _makes(results: Results, path: Path) -> bool:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return False
    if not isinstance(content, Mapping) or "devices" not in content:
        return False
    return (results.project / str(content.get("results", "results"))).resolve() == results.folder.resolve()


def touched_text(found: Mapping[str, Any]) -> str:
    """What a withdrawal touches, for people."""
    rows = [
        (one["device"], one["segments"], one["usable"], f"{one['hours']:.4f}", len(one["shards"]))
        for one in found["devices"]
    ]
    head = ("device", "segments", "usable", "hours usable", "shards")
    lines = [f"{found['track']} sounds in", *("  " + line for line in table(rows, head))]
    if not found["devices"]:
        lines = [f"{found['track']} sounds in no segment"]
    for key, word in (("twins", "twins to be trained anew"), ("renders", "clips to be rendered anew")):
        if found[key]:
            lines += [f"{word}:", *(f"  {name}" for name in found[key])]
    if found["runs"]:
        lines += ["MLflow runs of those twins:", *(f"  {run['experiment']} {run['run_id']}" for run in found["runs"])]
    if found["made_again"]:
        lines += ["no take of these reels is here, so they are made again without it:"]
        lines += [f"  {name}" for name in found["made_again"]]
    stays = [*found["stays"]["reels"], *found["stays"]["takes"]]
    if stays:
        lines += [
            "these hold its sound and stay: no reel is made again and nothing is recorded again, its stretches are "
            "silenced in the shards. Delete them by hand if the licence wants that:",
            *(f"  {name}" for name in stays),
        ]
    return "\n".join(lines)
