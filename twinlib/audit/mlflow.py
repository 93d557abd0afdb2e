"""A lost MLflow store, filled again from the files of `results`: every twin and every search."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from twinlib.audit.store import experiments_in, settings_of, store_of
from twinlib.audit.withdraw import HEADER, exclusions_file, touched
from twinlib.contracts import RUN, STORE
from twinlib.corpus.exclusions import read_tsv
from twinlib.errors import AuditError, TrackingError, TwinError
from twinlib.files import read_json, write_json
from twinlib.progress import Progress, no_progress
from twinlib.provenance.record import record_path, recorded
from twinlib.provenance.results import Results
from twinlib.tracking.exclusion_tags import mark_withdrawn
from twinlib.tracking.runs import has_finished_run, make_store
from twinlib.tracking.search import log_search
from twinlib.tracking.settings import Tracking
from twinlib.tracking.twin import find_twin_files, log_twin, stage_period_ms
from twinlib.training.search_settings import Search


@dataclass(frozen=True)
class Rebuilt:
    """What became of a run. Made by `rebuild`."""

    kind: Literal["twin", "search"]
    """What the run is of."""
    name: str
    """The twin as `device/model`, or the search's name."""
    outcome: Literal["kept", "logged", "left out"]
    """Whether the store had it, it was logged anew, or it could not be."""
    run_id: str | None = None
    """The run that `run.json` names now; None if it was left out."""
    reason: str = ""
    """Why it was left out, in a sentence."""


def runs_to_check(results: Path) -> int:
    """How many runs `rebuild` looks at: the total for its progress."""
    return len(_searches(results)) + len(_twins(results))


def rebuild(results: Path, uri: str | None = None, progress: Progress = no_progress) -> list[Rebuilt]:
    """Log every twin and search whose run is not in the store, and write its `run.json` and the record of that anew.

    The store is made if there is none, and `mlflow/store.json` written if it says something else. Runs that are there
    are kept, so that a whole store is left as it is. Times are those of the stage records. The record beside a new
    `run.json` names this module as the program, for that is what made it; no other file of a stage is written. What
    cannot be logged is left out and said. What is logged anew is marked where it holds a track that is on the list of
    excluded ones, as a withdrawal marks it. Raises `TrackingError` if the store fails, or the folder holds no results.
    Progress counts runs.
    """
    searches, twins = _searches(results), _twins(results)
    if not searches and not twins:
        raise TrackingError(f"{results} holds no twin and no search: name the folder of the results, such as results")
    store, settings = store_of(results, uri), Tracking(uri=uri) if uri is not None else settings_of(results)
    tracking = {"tracking": settings.model_dump_json()}
    _make_store(results, store, {twin.parent.name for twin in twins})
    named: list[tuple[Literal["search", "twin"], str, Path]] = [
        *(("search", folder.name, folder) for folder in searches),
        *(("twin", f"{folder.parent.name}/{folder.name}", folder) for folder in twins),
    ]
    found = []
    for kind, name, folder in named:
        found.append(_rebuilt(kind, name, folder, store, tracking))
        progress(1, name)
    _mark(results, store, {one.run_id for one in found if one.outcome == "logged" and one.run_id})
    return found


def _searches(results: Path) -> list[Path]:
    return [path.parent for path in sorted(results.glob("searches/*/best.yaml"))]


def _twins(results: Path) -> list[Path]:
    return [path.parent for path in sorted(results.glob("twins/*/*/twin.safetensors"))]


def as_text(found: Sequence[Rebuilt]) -> str:
    """A line a run, and how many there are of each kind."""
    lines = [
        f"{one.kind} {one.name}: {one.outcome}{f', run {one.run_id}' if one.run_id else ''}"
        f"{f' ({one.reason})' if one.reason else ''}"
        for one in found
    ]
    counts = [f"{sum(one.outcome == outcome for one in found)} {outcome}" for outcome in ("kept", "logged", "left out")]
    return "\n".join([*lines, f"{len(found)} runs: {', '.join(counts)}"]) + "\n"


def _rebuilt(
    kind: Literal["twin", "search"], name: str, folder: Path, store: str, tracking: Mapping[str, str]
) -> Rebuilt:
    try:
        run = read_json(folder / "run.json", RUN)
        if has_finished_run(store, str(run["run_id"]), str(run["experiment"])):
            return Rebuilt(kind, name, "kept", run["run_id"])
    except (TwinError, KeyError):
        # No file, or a broken one: it is written anew.
        pass
    try:
        action = _log_twin if kind == "twin" else _log_search
        return Rebuilt(kind, name, "logged", action(folder, store, tracking))
    except TrackingError:
        raise
    except (TwinError, ValidationError, KeyError) as error:
        return Rebuilt(kind, name, "left out", reason=" ".join(str(error).split()))


def _log_twin(folder: Path, store: str, tracking: Mapping[str, str]) -> str:
    files = find_twin_files(folder.parents[2], folder.parent.name, folder.name)
    ended = max(stage_period_ms(record)[1] for record in files.records if record.is_relative_to(folder))
    with recorded(Path(__file__), files.all, [folder / "run.json"], tracking):
        run = log_twin(files, store, ended)
        write_json(folder / "run.json", RUN, run)
    return str(run["run_id"])


def _log_search(folder: Path, store: str, tracking: Mapping[str, str]) -> str:
    results, best = folder.parents[1], record_path(folder / "best.yaml")
    stage = Results(results).maker(f"searches/{folder.name}/best.yaml")
    if stage is None:
        raise TwinError(f"{best} is no readable record: run the search again")
    workers = [results / name for name in stage.inputs]
    records = [best, *map(record_path, workers)]
    trials, files = folder / "trials.parquet", [folder / "best.yaml", folder / "trials.txt"]
    settings = stage.content["params"]["settings"]
    params = {"settings": settings, **tracking}
    lasted = (
        min(stage_period_ms(record)[0] for record in records),
        max(stage_period_ms(record)[1] for record in records),
    )
    with recorded(Path(__file__), [*workers, trials, *files, *records], [folder / "run.json"], params):
        run = log_search(store, folder.name, Search.model_validate_json(settings), workers, trials, files, lasted)
        write_json(folder / "run.json", RUN, run)
    return str(run["run_id"])


def _mark(results: Path, store: str, logged: Collection[str]) -> None:
    """Mark runs whose twins hold tracks that are withdrawn, and have not been made again without them yet."""
    known = Results(results)
    try:
        listed = read_tsv(exclusions_file(known), HEADER) if logged else []
    except TwinError:
        # An auditor need not have the list, which is no part of the results.
        return
    for track, reason, day in listed:
        try:
            runs = {run["run_id"] for run in touched(known, track)["runs"]}
        except AuditError:
            # A track that no part of these results has heard of.
            continue
        if held := runs & set(logged):
            mark_withdrawn(store, held, track, reason, day)


def _make_store(results: Path, store: str, devices: Iterable[str]) -> None:
    path = results / "mlflow" / "store.json"
    before = experiments_in(path)
    made = make_store(results, store, sorted({*(before or {}), *devices}))
    if made != before:
        write_json(path, STORE, {"experiments": made})
