"""The run of a twin, from the files of the results alone: what its stage logs, and what fills a lost store again."""

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from twinlib.contracts import DATASET, METRICS, SEGMENTS, TRAINING
from twinlib.errors import TwinError
from twinlib.files import read_json, read_table, sha256_file
from twinlib.provenance.record import read_record, record_path
from twinlib.provenance.results import Results
from twinlib.tracking.runs import identity_of, start
from twinlib.tracking.tracks import tags_of_tracks
from twinlib.training.best_config import resolve_model

_STAGES = ("twin.safetensors", "twin.nam", "evaluation/metrics.json", "evaluation/index.html")
"""The first output of each stage that makes files of a twin, but for its measurements, which evaluate reads if any."""

_NEEDED = ("twin.safetensors", "evaluation/metrics.json")
_FOLDERS = {".svg": "figures", ".html": "pages", ".json": "records"}
_BEST = re.compile(r"searches/[^/]+/best\.yaml")
_EXCITATION = re.compile(r"excitations/([^/]+)/cues\.parquet")


@dataclass(frozen=True)
class TwinFiles:
    """What the run of a twin is made of. Made by `twin_files`."""

    results: Path
    """The folder of all results."""
    device: str
    """The device's name."""
    model: str
    """The model's name."""
    made: tuple[Path, ...]
    """What the twin's own stages made."""
    best: tuple[Path, ...]
    """Where a search says what it found, for a model that is found by one."""
    records: tuple[Path, ...]
    """The records of the twin's own stages and of all those behind them."""
    excitations: tuple[str, ...]
    """Whose reels the device was recorded with, sorted; none for pairs."""

    @property
    def folder(self) -> Path:
        """Where the twin lies."""
        return self.results / "twins" / self.device / self.model

    @property
    def twin(self) -> Path:
        """The twin."""
        return self.folder / "twin.safetensors"

    @property
    def dataset(self) -> Path:
        """What its dataset is."""
        return self.results / "devices" / self.device / "dataset.json"

    @property
    def segments(self) -> Path:
        """What its dataset holds."""
        return self.dataset.with_name("segments.parquet")

    @property
    def all(self) -> list[Path]:
        """Every file that `log_twin` reads."""
        return [*self.made, *self.best, *self.records, self.dataset, self.segments]


def twin_files(results: Path, device: str, model: str) -> TwinFiles:
    """Find what the run of a twin is made of by the stage records; raises `TwinError` if something is not there.

    The dataset must be the one that the twin was trained on: the run would name another.
    """
    home, known = f"twins/{device}/{model}/", Results(results)
    for name in _NEEDED:
        if known.maker(home + name) is None:
            raise TwinError(f"no record says how {results / home / name} was made: run the stage that makes it")
    own = [stage for name in _STAGES if (stage := known.maker(home + name))]
    behind = {stage.name: stage for one in own for stage in known.history(one)}
    records = [results / name for name in sorted(behind)]
    made = [results / name for key in sorted(behind) if key.startswith(home) for name in behind[key].outputs]
    trained = own[0].inputs
    best = [results / name for name in trained if _BEST.fullmatch(name)]
    shards = [behind[key] for key in behind if key.startswith(f"devices/{device}/shards/")]
    excitations = {match[1] for one in shards for name in one.inputs if (match := _EXCITATION.fullmatch(name))}
    files = TwinFiles(results, device, model, tuple(made), tuple(best), tuple(records), tuple(sorted(excitations)))
    for path in files.all:
        if not path.is_file():
            raise TwinError(f"{path} does not exist: run the stage that makes it")
    if trained.get(files.dataset.relative_to(results).as_posix()) != sha256_file(files.dataset):
        raise TwinError(f"{files.dataset} is not what {files.twin} was trained on: run again to train it anew")
    return files


def log_twin(files: TwinFiles, uri: str, moment: int | None = None) -> dict[str, Any]:
    """Log a twin, or what is missing of its run, and return the content of its `run.json`.

    A new run begins when the training began. It ends at `moment`, in milliseconds since 1970, or now. Raises
    `TrackingError` if the store fails.
    """
    trained, dataset = read_record(record_path(files.twin)), read_json(files.dataset, DATASET)
    network, settings = resolve_model(trained["params"]["network"], trained["params"]["settings"], files.best)
    identity = identity_of(
        trained["code"],
        dataset["digest"],
        network.model_dump_json(),
        settings.model_dump_json(),
        trained["params"]["warm_start"],
    )
    side, began = files.folder / "checkpoints" / "run.json", period(record_path(files.twin))[0]
    run = start(uri, files.device, files.model, side, identity, tags_of(files, trained, dataset), started=began)
    run.log_params({"network": network.model_dump(mode="json"), "training": settings.model_dump(mode="json")})
    run.log_dataset(dataset["digest"], files.device, files.dataset)
    curve = read_table(files.folder / "training.parquet", TRAINING)
    rows = [{str(name): value for name, value in row.items()} for row in curve.to_dict("records")]
    run.log_curve(rows, several=curve["seed"].nunique() > 1)
    run.log_metrics(read_json(files.folder / "evaluation" / "metrics.json", METRICS), moment)
    for path in files.made:
        # The curve has been logged as numbers.
        if path.suffix != ".parquet":
            folder = "listening" if path.parent.name == "listening" else _FOLDERS.get(path.suffix, "twin")
            run.log_files([path], folder)
    run.log_files([files.dataset], "records")
    for record in files.records:
        # Several have equal names, so they keep their folders.
        run.log_files([record], f"records/{record.parent.relative_to(files.results).as_posix()}")
    run.finish(moment=moment)
    return {"experiment": files.device, "run_id": run.run_id, "identity": identity}


def tags_of(files: TwinFiles, trained: dict[str, Any], dataset: dict[str, Any]) -> dict[str, str]:
    """What runs can be searched by, from the record of the training and the dataset; tags without a value are not.

    `tracks` counts those that sound in usable segments, `dataset.tracks` names them. `start.sha256` is the sum of the
    twin that the training started from: what that one has learned is in this one too.
    """
    table = read_table(files.segments, SEGMENTS, ["split", "track_ids", "settings"])
    tracks = table["track_ids"][table["split"] != ""].explode().dropna().unique()
    tags = {
        "device": files.device,
        "model": files.model,
        "simulated": str(dataset["simulated"]).lower(),
        "code": trained["code"],
        "git.commit": str(trained["git"].get("commit", "unknown")),
        "excitation": ", ".join(files.excitations),
        "device.settings": ", ".join(sorted(set(table["settings"]))),
        "licences": ", ".join(sorted(dataset["licences"])),
        **tags_of_tracks(tracks.tolist()),
        "twin.sha256": sha256_file(files.twin),
        "start.sha256": trained["params"]["warm_start"],
        "chain": str(trained.get("link") or ""),
    }
    return {name: value for name, value in tags.items() if value}


def period(record: Path) -> tuple[int, int]:
    """When a stage began and ended, in milliseconds since 1970; raises `TwinError` if its record does not say."""
    content = read_record(record)
    try:
        began = datetime.fromisoformat(content["started"]).timestamp()
        return int(1000 * began), int(1000 * (began + content["seconds"]))
    except (KeyError, TypeError, ValueError):
        raise TwinError(f"{record} does not say when its stage ran: delete it and run again") from None
