"""The MLflow run of a twin, logged from the results folder alone: after training and to rebuild a lost store."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pyarrow import parquet

from twinlib.capture import read_device_card
from twinlib.contracts import DATASET, DEVICE_CARD_FILE, METRICS, SEGMENTS, TRAINING
from twinlib.errors import TwinError
from twinlib.evaluation import suspect_takes, without_verdict
from twinlib.excitation import SYNTHETIC
from twinlib.files import read_json, read_table, sha256_file
from twinlib.findings import worst
from twinlib.provenance import Results, read_record, record_path
from twinlib.tracking.logged_model import log_model
from twinlib.tracking.names import network_params, run_name
from twinlib.tracking.runs import run_identity, start_run
from twinlib.tracking.tracks import tags_from_tracks
from twinlib.training import resolve_model, training_identity

_STAGES = ("twin.safetensors", "twin.nam", "evaluation/metrics.json", "evaluation/index.html")
"""The first output of each stage of a twin, except its measurements, which are an input of evaluate."""

_TAG_LENGTH = 5000
"""MLflow's limit of the length of a tag."""

_REQUIRED = ("twin.safetensors", "evaluation/metrics.json")
_FOLDERS = {".svg": "figures", ".html": "pages", ".json": "records"}
_BEST = re.compile(r"searches/[^/]+/best\.yaml")
_EXCITATION = re.compile(r"excitations/([^/]+)/cues\.parquet")


@dataclass(frozen=True)
class TwinFiles:
    """The files of a twin's run, returned by `find_twin_files`."""

    results: Path
    """The results folder."""
    device: str
    """The name of the device."""
    model: str
    """The name of the model."""
    outputs: tuple[Path, ...]
    """Outputs of the twin's own stages."""
    best: tuple[Path, ...]
    """The `best.yaml` of the search behind a searched model."""
    records: tuple[Path, ...]
    """Records of the twin's stages and of all stages upstream."""
    excitations: tuple[str, ...]
    """Excitations of the device's takes, sorted; empty for pairs."""

    @property
    def folder(self) -> Path:
        """The folder of the twin."""
        return self.results / "twins" / self.device / self.model

    @property
    def twin(self) -> Path:
        """The weights of the twin."""
        return self.folder / "twin.safetensors"

    @property
    def dataset(self) -> Path:
        """The description of its dataset."""
        return self.results / "devices" / self.device / "dataset.json"

    @property
    def segments(self) -> Path:
        """The segments of its dataset."""
        return self.dataset.with_name("segments.parquet")

    @property
    def card(self) -> list[Path]:
        """The device card; results of older versions have none."""
        path = self.dataset.with_name(DEVICE_CARD_FILE)
        return [path] if path.is_file() else []

    @property
    def all(self) -> list[Path]:
        """All files that `log_twin` reads."""
        return [*self.outputs, *self.best, *self.records, self.dataset, self.segments, *self.card]


def find_twin_files(results: Path, device: str, model: str, records: Sequence[Path] = ()) -> TwinFiles:
    """Find the files of a twin's run through the stage records.

    `records` are those of the twin's own stages, training first; by default they are found in the results folder.
    Raises `TwinError` if a file is missing, or if the twin was trained on another dataset.
    """
    home, known = f"twins/{device}/{model}/", Results(results)
    for name in _REQUIRED:
        if known.maker(home + name) is None:
            raise TwinError(f"{results / home / name} has no stage record: run its stage")
    names = [known.name_of(record) for record in records] or [home + name for name in _STAGES]
    own = [stage for name in names if (stage := known.maker(name))]
    behind = {stage.name: stage for one in own for stage in known.history(one)}
    outputs = [results / name for key in sorted(behind) if key.startswith(home) for name in behind[key].outputs]
    trained = own[0].inputs
    best = [results / name for name in trained if _BEST.fullmatch(name)]
    history = tuple(results / name for name in sorted(behind))
    shards = [behind[key] for key in behind if key.startswith(f"devices/{device}/shards/")]
    excitations = {match[1] for one in shards for name in one.inputs if (match := _EXCITATION.fullmatch(name))}
    files = TwinFiles(results, device, model, tuple(outputs), tuple(best), history, tuple(sorted(excitations)))
    for path in files.all:
        if not path.is_file():
            raise TwinError(f"{path} does not exist: run its stage")
    if trained.get(files.dataset.relative_to(results).as_posix()) != sha256_file(files.dataset):
        raise TwinError(f"{files.twin} was trained on another version of {files.dataset}: run the workflow again")
    return files


def log_twin(files: TwinFiles, uri: str, end_time_ms: int | None = None) -> dict[str, Any]:
    """Log a twin, or the missing part of its run; return the content of its `run.json`.

    A new run starts at the start of the training and ends at `end_time_ms` (milliseconds since 1970, by default now).
    Raises `TrackingError` if the store fails.
    """
    trained, dataset = read_record(record_path(files.twin)), read_json(files.dataset, DATASET)
    network, settings = resolve_model(trained["params"]["network"], trained["params"]["settings"], files.best)
    identity = run_identity(
        training_identity(trained["code"], trained["params"].get("kernels") != "False"),
        dataset["digest"],
        network.model_dump_json(),
        settings.model_dump_json(),
        trained["params"]["warm_start"],
    )
    side, (start_time_ms, _) = files.folder / "checkpoints" / "run.json", stage_period_ms(record_path(files.twin))
    metrics = read_json(files.folder / "evaluation" / "metrics.json", METRICS)
    tags = {**run_tags(files, trained, dataset), **verdict_tags(metrics)}
    name = run_name(files.device, files.model)
    run = start_run(uri, files.device, name, side, identity, tags, start_time_ms=start_time_ms)
    run.log_params({"network": network_params(network), "training": settings.model_dump(mode="json")})
    profile: dict[str, Any] = {name: dataset[name] for name in ("splits", "excluded", "licences")}
    run.log_dataset(dataset["digest"], files.device, files.dataset, _columns(files.segments), profile)
    curve = read_table(files.folder / "training.parquet", TRAINING)
    rows = [{str(name): value for name, value in row.items()} for row in curve.to_dict("records")]
    run.log_curve(rows, by_seed=curve["seed"].nunique() > 1)
    run.log_metrics(_without_doubles(metrics), end_time_ms)
    for path in files.outputs:
        # The learning curve is logged as metrics.
        if path.suffix != ".parquet":
            folder = "listening" if path.parent.name == "listening" else _FOLDERS.get(path.suffix, "twin")
            run.log_files([path], folder)
    run.log_files([files.dataset], "records")
    for record in files.records:
        # The same file name may occur in several folders.
        run.log_files([record], f"records/{record.parent.relative_to(files.results).as_posix()}")
    log_model(run, files.twin, {**tags, "dataset.sha256": dataset["digest"]}, float(metrics.get("esr", math.nan)))
    run.finish(timestamp_ms=end_time_ms)
    return {"experiment": files.device, "run_id": run.run_id, "identity": identity}


def _columns(table: Path) -> dict[str, str]:
    """Return the type of each column of a table."""
    return {field.name: str(field.type) for field in parquet.read_schema(table)}


def _without_doubles(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of `metrics.json`, whose metrics of the test split also stand at the top."""
    content = without_verdict(metrics)
    splits = {name: split for name, split in content.get("splits", {}).items() if name != "test"}
    return {**content, "splits": splits} if "splits" in content else content


def run_tags(files: TwinFiles, trained: dict[str, Any], dataset: dict[str, Any]) -> dict[str, str]:
    """Return the searchable tags of a run, from the record of the training and the dataset; empty values are omitted.

    `tracks` is the number of tracks in usable segments, without sweeps and tones; `dataset.tracks` lists them.
    `start.sha256` is the sha256 of the initial twin of a warm start. The training data of that twin are training data
    of this twin too. `kernels` is the instruction set of the training's kernels, or `torch`.
    """
    table = read_table(files.segments, SEGMENTS, ["split", "track_ids", "settings"])
    tracks = set(table["track_ids"][table["split"] != ""].explode().dropna()) - SYNTHETIC
    tags = {
        "device": files.device,
        "model": files.model,
        "simulated": str(dataset["simulated"]).lower(),
        "code": trained["code"],
        "git.commit": str(trained["git"].get("commit", "unknown")),
        "mlflow.source.git.commit": str(trained["git"].get("commit", "")),
        "mlflow.source.name": str(trained.get("program", "")),
        "kernels": str(trained.get("environment", {}).get("kernels", "")),
        "excitation": ", ".join(files.excitations),
        "device.settings": ", ".join(sorted(set(table["settings"]))),
        **{f"device.{key}": str(value) for key, value in read_device_card(files.results, files.device).items()},
        "licences": ", ".join(sorted(dataset["licences"])),
        **tags_from_tracks(tracks),
        "twin.sha256": sha256_file(files.twin),
        "start.sha256": trained["params"]["warm_start"],
        "chain": str(trained.get("link") or ""),
    }
    return {name: value for name, value in tags.items() if value}


def verdict_tags(metrics: dict[str, Any]) -> dict[str, str]:
    """Return the verdict on a twin and on its takes as tags; empty for metrics of older versions.

    `takes.verdict` is the worst of all takes, `takes.suspect` lists those with a finding.
    """
    if "verdict" not in metrics:
        return {}
    suspects = suspect_takes(metrics)
    tags = {
        "verdict": metrics["verdict"],
        "verdict.reasons": "; ".join(metrics["reasons"]),
        "takes.verdict": worst(take["verdict"] for take in metrics["takes"].values()),
        "takes.suspect": "; ".join(f"{name}: {', '.join(take['reasons'])}" for name, take in suspects.items()),
    }
    return {name: value[:_TAG_LENGTH] for name, value in tags.items() if value}


def stage_period_ms(record: Path) -> tuple[int, int]:
    """Return the start and end of a stage in milliseconds since 1970; raises `TwinError` if the record lacks them."""
    content = read_record(record)
    try:
        start = datetime.fromisoformat(content["started"]).timestamp()
        return int(1000 * start), int(1000 * (start + content["seconds"]))
    except (KeyError, TypeError, ValueError):
        raise TwinError(f"{record} has no valid start time and duration: delete it and run again") from None
