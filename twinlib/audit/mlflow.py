"""Rebuild the runs of all twins and searches in an MLflow store from the files of a results folder."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from twinlib.audit.results_folder import ResultsFolder
from twinlib.audit.store import read_experiments, recorded_tracking, resolve_store
from twinlib.audit.withdraw import HEADER, find_affected, find_exclusions_file
from twinlib.contracts import RUN, STORE
from twinlib.corpus import read_tsv
from twinlib.errors import AuditError, TrackingError, TwinError
from twinlib.files import read_json, write_json
from twinlib.progress import Progress, no_progress
from twinlib.provenance import record_path, stage_record
from twinlib.tracking import (
    Tracking,
    find_twin_files,
    has_finished_run,
    log_search,
    log_twin,
    make_store,
    mark_withdrawn,
    stage_period_ms,
)
from twinlib.training import Search


@dataclass(frozen=True)
class RebuiltRun:
    """The outcome for one run, returned by `rebuild_runs`."""

    kind: Literal["twin", "search"]
    """Kind of the logged item."""
    name: str
    """`device/model` of a twin, or the name of a search."""
    outcome: Literal["kept", "logged", "left out"]
    """Whether the store had the run, it was logged, or it could not be logged."""
    run_id: str | None = None
    """The run in `run.json`, None if it was left out."""
    reason: str = ""
    """Why the run was left out, as a sentence."""


def count_runs(results: Path) -> int:
    """Return the number of runs that `rebuild_runs` visits, as the total of `progress`."""
    return len(_searches(results)) + len(_twins(results))


def rebuild_runs(results: Path, uri: str | None = None, progress: Progress = no_progress) -> list[RebuiltRun]:
    """Log every twin and search whose run is missing in the store; write its `run.json` and the record.

    Creates the store if missing, updates `mlflow/store.json`, and keeps existing runs. Times come from the stage
    records. The record of a new `run.json` names this module as its program; no other stage file is written.
    New runs of twins with a track of the exclusion list get the tag of withdrawn tracks. Raises `TrackingError` if the
    store fails or the folder has no twin and no search. `progress` counts runs.
    """
    searches, twins = _searches(results), _twins(results)
    if not searches and not twins:
        raise TrackingError(f"{results} has no twins and no searches: name the results folder with --results")
    settings = Tracking(uri=uri) if uri is not None else recorded_tracking(results)
    store, params = resolve_store(results, uri), {"tracking": settings.model_dump_json()}
    _ensure_store(results, store, {twin.parent.name for twin in twins})
    sources: list[tuple[Literal["search", "twin"], str, Path]] = [
        *(("search", folder.name, folder) for folder in searches),
        *(("twin", f"{folder.parent.name}/{folder.name}", folder) for folder in twins),
    ]
    runs = []
    for kind, name, folder in sources:
        runs.append(_rebuild_run(kind, name, folder, store, params))
        progress(1, name)
    _tag_withdrawn(results, store, {run.run_id for run in runs if run.outcome == "logged" and run.run_id})
    return runs


def _searches(results: Path) -> list[Path]:
    return [path.parent for path in sorted(results.glob("searches/*/best.yaml"))]


def _twins(results: Path) -> list[Path]:
    return [path.parent for path in sorted(results.glob("twins/*/*/twin.safetensors"))]


def _rebuild_run(
    kind: Literal["twin", "search"], name: str, folder: Path, store: str, params: Mapping[str, str]
) -> RebuiltRun:
    try:
        run = read_json(folder / "run.json", RUN)
        if has_finished_run(store, str(run["run_id"]), str(run["experiment"])):
            return RebuiltRun(kind, name, "kept", run["run_id"])
    except (TwinError, KeyError):
        # The file is missing or damaged and will be rewritten below.
        pass
    try:
        log = _log_twin if kind == "twin" else _log_search
        return RebuiltRun(kind, name, "logged", log(folder, store, params))
    except TrackingError:
        raise
    except (TwinError, ValidationError, KeyError) as error:
        return RebuiltRun(kind, name, "left out", reason=" ".join(str(error).split()))


def _log_twin(folder: Path, store: str, params: Mapping[str, str]) -> str:
    files = find_twin_files(folder.parents[2], folder.parent.name, folder.name)
    end_ms = max(stage_period_ms(record)[1] for record in files.records if record.is_relative_to(folder))
    with stage_record(Path(__file__), files.all, [folder / "run.json"], params):
        run = log_twin(files, store, end_ms)
        write_json(folder / "run.json", RUN, run)
    return str(run["run_id"])


def _log_search(folder: Path, store: str, params: Mapping[str, str]) -> str:
    results, best = folder.parents[1], record_path(folder / "best.yaml")
    stage = ResultsFolder(results).maker(f"searches/{folder.name}/best.yaml")
    if stage is None:
        raise TwinError(f"{best} is not a readable record: run the search again")
    workers = [results / name for name in stage.inputs]
    records = [best, *map(record_path, workers)]
    trials, files = folder / "trials.parquet", [folder / "best.yaml", folder / "trials.txt"]
    settings = stage.content["params"]["settings"]
    starts, ends = zip(*map(stage_period_ms, records), strict=True)
    inputs = [*workers, trials, *files, *records]
    with stage_record(Path(__file__), inputs, [folder / "run.json"], {"settings": settings, **params}):
        search = Search.model_validate_json(settings)
        run = log_search(store, folder.name, search, workers, trials, files, (min(starts), max(ends)))
        write_json(folder / "run.json", RUN, run)
    return str(run["run_id"])


def _tag_withdrawn(folder: Path, store: str, logged: Collection[str]) -> None:
    """Tag new runs whose twins still hold a withdrawn track."""
    results = ResultsFolder(folder)
    try:
        exclusions = read_tsv(find_exclusions_file(results), HEADER) if logged else []
    except TwinError:
        # The exclusion list is not part of the results and may be absent.
        return
    for track, reason, day in exclusions:
        try:
            runs = {run["run_id"] for run in find_affected(results, track)["runs"]}
        except AuditError:
            # The track is unknown to these results.
            continue
        if affected := runs & set(logged):
            mark_withdrawn(store, affected, track, reason, day)


def _ensure_store(results: Path, store: str, devices: Iterable[str]) -> None:
    path = results / "mlflow" / "store.json"
    before = read_experiments(path)
    experiments = make_store(results, store, sorted({*(before or {}), *devices}))
    if experiments != before:
        write_json(path, STORE, {"experiments": experiments})
