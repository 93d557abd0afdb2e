"""A store rebuilt from the results of `made`, and searches in it."""

import json
import random
import shutil
import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.audit.factories import Made
from twinlib.audit.mlflow import RebuiltRun, rebuild_runs
from twinlib.audit.pages import render_text
from twinlib.audit.results_folder import ResultsFolder
from twinlib.audit.store import list_experiments, resolve_store
from twinlib.audit.verify import verify
from twinlib.audit.withdraw import find_affected
from twinlib.cli import main
from twinlib.contracts import RUN
from twinlib.errors import TrackingError
from twinlib.files import read_json, read_table, sha256_file, write_json
from twinlib.provenance.record import read_record, record_path
from twinlib.tracking import store as tracking_store
from twinlib.tracking.exclusion_tags import (
    find_runs_by_dataset,
    find_runs_by_track,
    find_withdrawn_runs,
    mark_withdrawn,
    unmark_withdrawn,
)
from twinlib.tracking.tracks import tags_from_tracks, tracks_from_tags

pytestmark = pytest.mark.slow

NASTY = '../Ärger & Söhne/`it\'s` "so"%//Take: 2'


@pytest.fixture(scope="module")
def filled(made: Made, empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[RebuiltRun]]:
    """A copy of the results with a rebuilt store. Read-only."""
    results = Path(shutil.copytree(made.results, tmp_path_factory.mktemp("filled") / "results"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setattr(tracking_store, "make_database", lambda database: shutil.copy(empty_store, database))
        return results, rebuild_runs(results)


@pytest.fixture
def results(filled: tuple[Path, list[RebuiltRun]], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return filled[0]


@pytest.fixture
def mine(results: Path, tmp_path: Path) -> Path:
    """A copy of the store for a test to change; the artifacts stay in the original folder."""
    return Path(shutil.copytree(results, tmp_path / "results"))


def client(results: Path) -> Any:
    return tracking_store.open_client(resolve_store(results, None))


def run_id(results: Path, device: str) -> str:
    return str(read_json(results / "twins" / device / "small" / "run.json", RUN)["run_id"])


def run_of(results: Path, device: str) -> Any:
    return client(results).get_run(run_id(results, device))


def found(results: Path, condition: str) -> list[str]:
    """Search as in the MLflow UI; return `device/model`."""
    experiments = [experiment.experiment_id for experiment in client(results).search_experiments()]
    runs = client(results).search_runs(experiments, condition)
    return sorted(f"{run.data.tags['device']}/{run.data.tags['model']}" for run in runs)


def artifacts(results: Path, run: str, folder: str | None = None) -> list[str]:
    files = client(results).list_artifacts(run, folder)
    return [name for file in files for name in (artifacts(results, run, file.path) if file.is_dir else [file.path])]


def sums(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in folder.rglob("*") if path.is_file()}


def milliseconds(record: Path) -> tuple[int, int]:
    content = read_record(record)
    began = datetime.fromisoformat(content["started"]).timestamp()
    return int(1000 * began), int(1000 * (began + content["seconds"]))


def test_every_twin_has_a_run(filled: tuple[Path, list[RebuiltRun]], results: Path, made: Made) -> None:
    assert [(one.kind, one.name, one.outcome) for one in filled[1]] == [
        ("twin", f"{device}/small", "logged") for device in sorted(made.devices)
    ]
    for one in filled[1]:
        device = one.name.split("/")[0]
        folder = results / "twins" / device / "small"
        run = run_of(results, device)
        assert run.info.run_id == one.run_id
        assert run.info.status == "FINISHED"
        assert run.info.start_time == milliseconds(record_path(folder / "twin.safetensors"))[0]
        stages = (record_path(folder / name) for name in ("twin.safetensors", "evaluation/metrics.json"))
        assert run.info.end_time == max(milliseconds(record)[1] for record in stages)
        assert run.data.params["network.channels"] == "2"
        metrics = read_json(folder / "evaluation" / "metrics.json", "metrics/1")
        assert run.data.metrics["esr"] == metrics["esr"]
        curve = read_table(folder / "training.parquet", "training/1")
        history = client(results).get_metric_history(run.info.run_id, "valid_esr")
        assert sorted((one.step, one.value) for one in history) == list(zip(curve.step, curve.valid_esr, strict=True))


def test_a_run_holds_all_upstream_records(results: Path) -> None:
    known = ResultsFolder(results)
    for device in ("box", "fuzz", "pedal"):
        stage = known.maker(f"twins/{device}/small/evaluation/metrics.json")
        assert stage is not None
        chain = {f"records/{one.name}" for one in known.history(stage)}
        logged = artifacts(results, run_id(results, device))
        assert {name for name in logged if name.endswith(".prov.json")} == chain
        assert {"twin/twin.safetensors", "records/metrics.json", "records/dataset.json"} <= set(logged)
    assert "records/devices/box/main-01/alignment.json.prov.json" in artifacts(results, run_id(results, "box"))
    assert not any("excitations" in name for name in artifacts(results, run_id(results, "pedal")))


def test_mlflow_searches_match_the_files(results: Path) -> None:
    known, twins = ResultsFolder(results), [("box", "small"), ("fuzz", "small"), ("pedal", "small")]
    assert known.twins == twins
    fallen = {
        device: sorted(
            "/".join(name.split("/")[1:3])
            for name in known.dependants([f"devices/{device}/dataset.json"])
            if name.endswith("/twin.safetensors")
        )
        for device, _ in twins
    }
    for device, model in twins:
        digest = read_json(results / "devices" / device / "dataset.json", "dataset/1")["digest"]
        # Which twins were trained on this dataset?
        assert found(results, f"dataset.digest = '{digest[:32]}'") == fallen[device]
        assert found(results, f"tags.`dataset.sha256` = '{digest}'") == fallen[device]
        assert find_runs_by_dataset(resolve_store(results, None), [digest]) == [run_id(results, device)]
        # Which code made this twin?
        record = read_record(record_path(results / "twins" / device / model / "twin.safetensors"))
        run = run_of(results, device)
        assert run.data.tags["code"] == record["code"]
        assert run.data.tags["git.commit"] == record["git"]["commit"]
        assert run.data.tags["chain"] == record["link"]
        assert f"{device}/{model}" in found(results, f"tags.code = '{record['code']}'")
        twin = sha256_file(results / "twins" / device / model / "twin.safetensors")
        assert found(results, f"tags.`twin.sha256` = '{twin}'") == [f"{device}/{model}"]
        table = read_table(results / "devices" / device / "segments.parquet", "segments/1")
        (settings,) = set(table["settings"])
        assert f"{device}/{model}" in found(results, f"tags.`device.settings` = '{settings}'")
        used = {track for tracks in table["track_ids"][table["split"] != ""] for track in tracks}
        assert run.data.tags["tracks"] == str(len(used))
        assert tracks_from_tags(run.data.tags) == used
    # Which twins were made with this excitation?
    cues = known.dependants(["excitations/main/cues.parquet"])
    assert found(results, "tags.excitation = 'main'") == ["box/small", "fuzz/small"]
    assert {name.split("/")[1] for name in cues if name.endswith("twin.safetensors")} == {"box", "fuzz"}
    assert found(results, "tags.licences LIKE '%CC BY-NC-SA 4.0%'") == ["box/small", "fuzz/small"]
    assert found(results, "tags.excitation = 'other'") == []
    # Which twins were trained on this track?
    table = read_table(results / "devices/box/segments.parquet", "segments/1")
    track = next(tracks[0] for tracks in table["track_ids"][table["split"] == "test"])
    assert found(results, f"tags.`dataset.tracks` LIKE '%\"{track}\"%'") == find_affected(known, track)["twins"] != []
    assert find_runs_by_dataset(resolve_store(results, None), ["0" * 64]) == []


def test_the_results_still_verify(results: Path) -> None:
    answer = verify(ResultsFolder(results))
    assert (answer["differences"], answer["unrecorded"]) == ([], [])
    # Database, store.json and lock; six files of each model besides its weights. Run ids.
    assert answer["unchecked"] == {"mlflow": 3 + 3 * 6, "twins/*/*/checkpoints": 3}
    record = read_record(record_path(results / "twins/box/small/run.json"))
    assert record["program"] == "twinlib/audit/mlflow.py"


def test_a_flipped_bit_in_any_artifact_is_found(mine: Path) -> None:
    folder = mine / "mlflow" / "artifacts" / "box" / run_id(mine, "box")
    copies = sorted(path for path in folder.rglob("*") if path.is_file())
    assert len(copies) > 15
    chance = random.Random(5)
    for path in copies:
        content = bytearray(path.read_bytes())
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
    unknown = folder / "artifacts" / "notes.txt"
    unknown.write_text("mine")
    answer = verify(ResultsFolder(mine))
    named = {one["file"] for one in answer["differences"]} | set(answer["unrecorded"])
    assert named == {path.relative_to(mine).as_posix() for path in [*copies, unknown]}


def test_an_artifact_is_checked_against_its_record(mine: Path) -> None:
    artifacts = mine / "mlflow" / "artifacts" / "box" / run_id(mine, "box") / "artifacts"
    twin = artifacts / "twin" / "twin.safetensors"
    twin.write_bytes(twin.read_bytes()[:-1] + b"\xff")
    (one,) = verify(ResultsFolder(mine))["differences"]
    assert one["file"] == twin.relative_to(mine).as_posix()
    assert "changed after it was logged" in one["what"]


def test_a_complete_store_is_unchanged(results: Path) -> None:
    before = sums(results)
    again = rebuild_runs(results)
    assert {one.outcome for one in again} == {"kept"}
    assert sums(results) == before
    assert "3 runs: 3 kept, 0 logged, 0 left out" in render_text("mlflow", {"runs": again})


def test_missing_runs_are_logged_and_others_kept(mine: Path) -> None:
    before = {device: run_id(mine, device) for device in ("box", "fuzz", "pedal")}
    client(mine).delete_run(before["box"])
    (mine / "twins/fuzz/small/run.json").unlink()
    (mine / "mlflow/store.json").unlink()
    write_json(mine / "twins/pedal/small/run.json", RUN, {"run_id": "0" * 32})
    outcomes = {one.name: one.outcome for one in rebuild_runs(mine)}
    assert outcomes == {"box/small": "logged", "fuzz/small": "logged", "pedal/small": "logged"}
    assert run_id(mine, "box") != before["box"]
    # The side file in the checkpoints names the run.
    assert run_id(mine, "fuzz") == before["fuzz"]
    assert run_id(mine, "pedal") == before["pedal"]
    assert set(read_json(mine / "mlflow/store.json", "store/1")["experiments"]) == {"box", "fuzz", "pedal"}
    assert verify(ResultsFolder(mine))["differences"] == []


def test_incomplete_twins_are_left_out_with_a_reason(mine: Path) -> None:
    for device in ("box", "fuzz", "pedal"):
        (mine / "twins" / device / "small/run.json").unlink()
    dataset = mine / "devices/box/dataset.json"
    dataset.write_text(dataset.read_text() + " ")
    (mine / "twins/fuzz/small/training.parquet").unlink()
    one, two, three = rebuild_runs(mine)
    assert (one.outcome, two.outcome, three.outcome) == ("left out", "left out", "logged")
    assert "was trained on another version of" in one.reason
    assert "training.parquet does not exist" in two.reason
    assert one.reason in render_text("mlflow", {"runs": [one]})
    assert not (mine / "twins/box/small/run.json").exists()


def test_a_folder_without_results_or_a_damaged_store_is_refused(mine: Path, tmp_path: Path) -> None:
    with pytest.raises(TrackingError, match="name the results folder"):
        rebuild_runs(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    (tmp_path / "broken.db").write_bytes(b"no database" * 500)
    with pytest.raises(TrackingError, match=r"broken\.db"):
        rebuild_runs(mine, f"sqlite:///{tmp_path}/broken.db")


def test_the_store_is_resolved(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_store(mine, None) == f"sqlite:///{mine}/mlflow/mlflow.db"
    assert resolve_store(mine, "http://given") == "http://given"
    record = record_path(mine / "twins/box/small/run.json")
    content = read_record(record)
    write_json(record, "record/1", {**content, "params": {"tracking": '{"uri": "http://recorded"}'}})
    assert resolve_store(mine, None) == "http://recorded"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://environment")
    assert resolve_store(mine, None) == "http://environment"
    assert resolve_store(mine, "http://given") == "http://given"


def test_withdrawn_tracks_are_tagged_and_untagged(mine: Path) -> None:
    store, runs = resolve_store(mine, None), [run_id(mine, "box"), run_id(mine, "fuzz")]
    before = {run: client(mine).get_run(run).data.tags for run in runs}
    for _ in range(2):
        assert mark_withdrawn(store, [*runs, "0" * 32], NASTY, "asked for", "2026-11-25") == sorted(runs)
    assert mark_withdrawn(store, runs[:1], "Artist 003/Song 005", "a mistake", "2026-11-26") == runs[:1]
    assert found(mine, "tags.withdrawn = 'true'") == ["box/small", "fuzz/small"]
    assert find_withdrawn_runs(store, NASTY) == sorted(runs)
    assert find_withdrawn_runs(store, "Artist 003/Song 005") == runs[:1]
    tags = run_of(mine, "box").data.tags
    assert tags["withdrawn.Artist 003/Song 005"] == "a mistake (2026-11-26)"
    assert tags["withdrawn.tracks"] == '["../Ärger & Söhne/`it\'s` \\"so\\"%//Take: 2", "Artist 003/Song 005"]'
    # A rebuilt run keeps its tags.
    (mine / "twins/box/small/run.json").unlink()
    rebuild_runs(mine)
    assert run_of(mine, "box").data.tags["withdrawn"] == "true"
    assert unmark_withdrawn(store, runs, NASTY) == sorted(runs)
    assert found(mine, "tags.withdrawn = 'true'") == ["box/small"]
    assert unmark_withdrawn(store, runs, "Artist 003/Song 005") == sorted(runs)
    assert found(mine, "tags.withdrawn = 'true'") == []
    assert {run: client(mine).get_run(run).data.tags for run in runs} == before


def test_earlier_runs_of_a_dataset_and_their_warm_starts_are_found(mine: Path) -> None:
    store = client(mine)
    experiment = run_of(mine, "box").info.experiment_id
    digest = run_of(mine, "box").data.tags["dataset.sha256"]

    def old(**tags: str) -> str:
        return str(store.create_run(experiment, tags={name.replace("_", "."): tags[name] for name in tags}).info.run_id)

    same = old(dataset_sha256=digest)
    first = old(dataset_sha256="1" * 64, twin_sha256="a" * 64)
    second = old(dataset_sha256="2" * 64, start_sha256="a" * 64, twin_sha256="b" * 64)
    third = old(dataset_sha256="3" * 64, start_sha256="b" * 64)
    assert find_runs_by_dataset(resolve_store(mine, None), [digest]) == sorted([same, run_id(mine, "box")])
    assert find_runs_by_dataset(resolve_store(mine, None), ["1" * 64]) == sorted([first, second, third])
    assert find_runs_by_dataset(resolve_store(mine, None), ["2" * 64, "3" * 64]) == sorted([second, third])


def earlier(results: Path, device: str, sha256: str, tracks: list[str] | None, **more: str) -> str:
    """Add a run of an earlier dataset, without `tracks` as earlier versions logged it."""
    experiment = client(results).get_experiment_by_name(device)
    made = client(results).create_experiment(device) if experiment is None else experiment.experiment_id
    named = {"tracks": "12"} if tracks is None else tags_from_tracks(tracks)
    tags = {"device": device, "dataset.sha256": sha256, **named, **more}
    return str(client(results).create_run(made, tags=tags).info.run_id)


@pytest.mark.filterwarnings("ignore:1 runs in .* were logged by an earlier version")
def test_a_withdrawal_tags_runs_of_earlier_datasets(
    mine: Path, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    track, other = made.tracks[4], made.tracks[5]
    current = {run_id(mine, "box"), run_id(mine, "fuzz")}
    first = earlier(mine, "box", "1" * 64, [other, track], **{"twin.sha256": "a" * 64})
    started = earlier(mine, "pedal", "2" * 64, [], **{"start.sha256": "a" * 64})
    earlier(mine, "fuzz", "3" * 64, [other, track + "s"])
    earlier(mine, "box", "4" * 64, None)
    earlier(mine, "somebody else's", "5" * 64, [track])
    before = {run: client(mine).get_run(run).data.tags for run in (first, started)}

    def withdraw(*words: str) -> list[str]:
        handler = signal.getsignal(signal.SIGTERM)
        options = ("--results", mine, "--exclude", tmp_path / "excluded.tsv", "--json", *words)
        monkeypatch.setattr(sys, "argv", ["twin", "audit", "withdraw", track, *map(str, options)])
        with pytest.raises(SystemExit) as ended:
            main()
        signal.signal(signal.SIGTERM, handler)
        assert ended.value.code == 0
        marked: list[str] = json.loads(capsys.readouterr().out)["tagged_runs"]
        return marked

    assert set(withdraw("--reason", "asked for")) == {*current, first, started}
    assert set(find_withdrawn_runs(resolve_store(mine, None), track)) == {*current, first, started}
    assert client(mine).get_run(first).data.tags["withdrawn.tracks"] == json.dumps([track])
    assert set(withdraw("--undo")) == {*current, first, started}
    assert {run: client(mine).get_run(run).data.tags for run in before} == before


def test_runs_without_a_track_list_are_reported(mine: Path, made: Made) -> None:
    held = find_runs_by_track(resolve_store(mine, None), made.tracks[4], list_experiments(mine))
    assert held == sorted(run_id(mine, device) for device in ("box", "fuzz"))
    earlier(mine, "box", "4" * 64, None)
    with pytest.warns(UserWarning, match="1 runs in .* were logged by an earlier version"):
        assert find_runs_by_track(resolve_store(mine, None), made.tracks[4], list_experiments(mine)) == held


def test_rebuilt_runs_of_withdrawn_tracks_are_tagged(mine: Path, made: Made, tmp_path: Path) -> None:
    listed, track = tmp_path / "excluded.tsv", made.tracks[4]
    listed.write_text(f"track_id\treason\tdate\n{track}\tasked for\t2026-01-31\nNobody/Knows\tno\t2026-01-31\n")
    record = record_path(mine / "corpus/tracks.parquet")
    content = read_record(record)
    settings = {**json.loads(content["params"]["settings"]), "exclude": str(listed)}
    write_json(record, "record/1", {**content, "params": {"settings": json.dumps(settings)}})
    for device in ("box", "pedal"):
        client(mine).delete_run(run_id(mine, device))
        (mine / "twins" / device / "small/run.json").unlink()
    rebuild_runs(mine)
    assert found(mine, "tags.withdrawn = 'true'") == ["box/small"], "fuzz was kept, and pedal holds no track"
    assert run_of(mine, "box").data.tags[f"withdrawn.{track}"] == "asked for (2026-01-31)"
    listed.unlink()
    client(mine).delete_run(run_id(mine, "box"))
    rebuild_runs(mine)
    assert found(mine, "tags.withdrawn = 'true'") == []
