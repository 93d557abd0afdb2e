"""Withdraw a track: find all files that contain it, edit the exclusion list, and print the command to rebuild."""

import difflib
import json
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from twinlib.audit.results_folder import ResultsFolder
from twinlib.contracts import RUN
from twinlib.errors import AuditError, TwinError
from twinlib.files import read_json, write_text
from twinlib.parsing import describe_error, parse_yaml, read_text

_TWIN = re.compile(r"twins/([^/]+)/([^/]+)/twin\.safetensors")

HEADER = ("track_id", "reason", "date")
"""The columns of the exclusion list."""


def find_affected(results: ResultsFolder, track: str) -> dict[str, Any]:
    """Find all data with a track: segments with hours, shards and twins by device, clips and MLflow runs.

    `segments` counts the segments with samples of the track, `usable` those of them in a split. `stays` lists recorded
    reels and their takes, which contain the track and are kept; `made_again` lists reels without a recording. Raises
    `AuditError` for a track unknown to the results.
    """
    _require_known(results, track)
    devices = [affected for device in results.devices if (affected := _affected_segments(results, device, track))]
    usable = [one for one in devices if one["usable"]]
    dependants = results.dependants(shard for one in usable for shard in one["shards"])
    reels, recorded = _reels_with(results, track), results.recorded_excitations
    twins = [match.groups() for name in dependants if (match := _TWIN.fullmatch(name))]
    return {
        "track": track,
        "devices": devices,
        "segments": sum(one["segments"] for one in devices),
        "usable": sum(one["usable"] for one in devices),
        "hours": round(sum(one["hours"] for one in devices), 6),
        "twins": [f"{device}/{model}" for device, model in twins],
        "exports": [name for name in dependants if name.endswith((".nam", ".onnx"))],
        "renders": [name for name in dependants if name.endswith((".flac", "/listening.html"))],
        "runs": [run for device, model in twins for run in _runs(results, device, model)],
        "datasets": sorted({one["digest"] for one in usable}),
        "stays": _kept(results, {reel: name for reel, name in reels.items() if name in recorded}),
        "made_again": _reel_paths({reel: name for reel, name in reels.items() if name not in recorded}),
    }


def _require_known(results: ResultsFolder, track: str) -> None:
    known = set(results.tracks)
    for excitation in results.excitations:
        known |= set(results.cues(excitation, ["track_id"])["track_id"].unique().to_pylist())
    if track not in known:
        similar = difflib.get_close_matches(track, sorted(known), 3, 0.4)
        hint = f": did you mean {', '.join(similar)}?" if similar else f" (it knows {len(known)} tracks)"
        raise AuditError(f"{results.folder} has no track {track}{hint}")


def _affected_segments(results: ResultsFolder, device: str, track: str) -> dict[str, Any] | None:
    columns = results.segments(device, ["track_ids", "flags", "split", "start", "stop", "shard", "row"])
    # The samples of an excluded track are silent already.
    excluded = _rows_with(columns["flags"], f"excluded:{track}")
    affected = np.setdiff1d(_rows_with(columns["track_ids"], track), excluded)
    if not len(affected):
        return None
    rows = columns.take(affected)
    usable = np.asarray(pc.not_equal(rows["split"], ""))
    samples = np.asarray(rows["stop"]) - np.asarray(rows["start"])
    dataset = results.dataset(device)
    return {
        "device": device,
        "segments": len(rows),
        "usable": int(usable.sum()),
        "hours": round(float(samples[usable].sum()) / dataset["sample_rate"] / 3600, 6),
        "shards": sorted(f"devices/{device}/shards/{name}" for name in set(rows["shard"].to_pylist()) if name),
        "digest": dataset["digest"],
    }


def _rows_with(column: pa.ChunkedArray, value: str) -> npt.NDArray[np.int64]:
    """Return the indices of the rows of a list column that contain a value, sorted."""
    lists = column.combine_chunks().cast(pa.list_(pa.string()))
    rows = pc.list_parent_indices(lists).filter(pc.equal(pc.list_flatten(lists), value))
    return np.unique(rows.to_numpy(zero_copy_only=False))


def _runs(results: ResultsFolder, device: str, model: str) -> list[dict[str, str]]:
    try:
        run = read_json(results.twin_folder(device, model) / "run.json", RUN)
    except TwinError:
        return []
    if run.get("run_id") is None:
        # The server did not answer when the twin was to be logged.
        return []
    return [{"experiment": str(run.get("experiment", "")), "run_id": str(run["run_id"])}]


def _reels_with(results: ResultsFolder, track: str) -> dict[str, str]:
    """Return the excitation of each reel with a slice of the track, by reel name."""
    reels: dict[str, str] = {}
    for excitation in results.excitations:
        cues = results.cues(excitation, ["reel", "track_id"]).filter(pc.field("track_id") == track)
        reels |= dict.fromkeys(cues["reel"].unique().to_pylist(), excitation)
    for excitation in results.probe_reels:
        probe = results.probe_reel(excitation)
        if any(piece["track_id"] == track for piece in probe["excerpt"]):
            reels[probe["name"]] = excitation
    return reels


def _reel_paths(reels: Mapping[str, str]) -> list[str]:
    return [f"excitations/{excitation}/reels/{reel}.wav" for reel, excitation in sorted(reels.items())]


def _kept(results: ResultsFolder, reels: Mapping[str, str]) -> dict[str, list[str]]:
    """Return the paths of recorded reels and of their takes."""
    captures = [(path.parts[-3], path.parts[-2]) for path in sorted(results.folder.glob("devices/*/*/take.json"))]
    takes = [
        str(results.take(device, capture)["path"])
        for device, capture in captures
        if capture in reels and results.excitation_of(device, capture) == reels[capture]
    ]
    return {"reels": _reel_paths(reels), "takes": takes}


def find_exclusions_file(results: ResultsFolder) -> Path:
    """Return the exclusion list (`corpus.exclude`) of the recorded configuration.

    Raises `AuditError` if the records name none or several.
    """
    files = {
        json.loads(stage.content["params"]["settings"]).get("exclude")
        for stage in results.stages
        if stage.program == "index_corpus"
    }
    if len(files) == 1 and (name := next(iter(files))):
        path = Path(name)
        return path if path.is_absolute() else results.project / path
    if len(files) > 1:
        raise AuditError("these results were made with several exclusion lists: choose one with --exclude")
    raise AuditError(
        "these results were made without an exclusion list: set `corpus.exclude: config/excluded.tsv` in the "
        "configuration, create that file with the header track_id, reason, date (tab-separated), run the workflow, "
        "then withdraw the track"
    )


def add_exclusion(path: Path, track: str, reason: str, day: date) -> None:
    """Add a track to the exclusion list. Raises `AuditError` if it is listed already or the reason is malformed."""
    # The list is read with `splitlines`, which splits at more characters than newline.
    if "\t" in reason or len(reason.splitlines()) != 1 or not reason.strip():
        raise AuditError("the reason must be one non-empty line without tabs")
    if "\t" in track or len(track.splitlines()) != 1:
        raise AuditError(f"the track id {track!r} contains a tab or a line break: rename the files of the track")
    lines = _read_lines(path)
    if any(line.split("\t")[0].strip() == track for line in lines[1:]):
        raise AuditError(f"{path} already lists {track}: run the workflow to apply the withdrawal")
    lines = lines or ["\t".join(HEADER)]
    write_text(path, "\n".join([*lines, "\t".join((track, reason.strip(), day.isoformat()))]) + "\n")


def remove_exclusion(path: Path, track: str) -> None:
    """Remove a track from the exclusion list. Raises `AuditError` if it is not listed."""
    lines = _read_lines(path)
    kept = [line for number, line in enumerate(lines) if not number or line.split("\t")[0].strip() != track]
    if kept == lines:
        raise AuditError(f"{path} does not list {track}: it is not withdrawn")
    write_text(path, "\n".join(kept) + "\n")


def _read_lines(path: Path) -> list[str]:
    try:
        text = read_text(path)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise AuditError(f"{path} is not readable as UTF-8 text ({describe_error(error)})") from None
    return [line for line in text.splitlines() if line.strip()]


def rebuild_command(results: ResultsFolder) -> str:
    """Return the command that rebuilds these results, by searching the project for the configuration that made them."""
    project = results.project
    configurations = sorted([*project.glob("config/*.y*ml"), *project.glob("*.y*ml")])
    names = [path.relative_to(project).as_posix() for path in configurations if _is_configuration_of(results, path)]
    if "config/config.yaml" in names:
        return "snakemake --cores all"
    if len(names) == 1:
        return f"snakemake --configfile {names[0]} --cores all"
    return "snakemake --configfile THE_CONFIGURATION_OF_THESE_RESULTS --cores all"


def _is_configuration_of(results: ResultsFolder, path: Path) -> bool:
    try:
        content = parse_yaml(read_text(path))
    except (OSError, ValueError):
        return False
    if not isinstance(content, Mapping) or "devices" not in content:
        return False
    return (results.project / str(content.get("results", "results"))).resolve() == results.folder.resolve()
