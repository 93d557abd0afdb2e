"""Complete runs of a small project: outputs, reruns, and recovery after a kill."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.workflow.project import Project, Run
from twinlib.files import read_json, read_table, sha256_file
from twinlib.kernels import engine_name
from twinlib.model.twin import load_twin
from twinlib.provenance.record import SUFFIX, read_record, record_path
from twinlib.provenance.staleness import CACHE_FILE, RACY_NS

pytestmark = pytest.mark.slow


def test_records_name_the_kernels(first: tuple[Project, Run]) -> None:
    twin = first[0].folder / "results/twins/amp/tiny"
    records = [twin / "twin.safetensors", twin / "evaluation/metrics.json", twin / "twin.nam"]
    assert {read_record(record_path(path))["environment"]["kernels"] for path in records} == {engine_name()}
    assert load_twin(twin).metadata["kernels"] == engine_name()


def touch_everything(folder: Path) -> None:
    for number, path in enumerate(sorted(folder.rglob("*"))):
        if path.is_file() and ".snakemake" not in path.parts:
            moment = time.time() - 1000 + (number * 7919 % 1000)
            os.utime(path, (moment, moment))


def test_one_run_makes_all_outputs(first: tuple[Project, Run]) -> None:
    project, run = first
    assert run.code == 0, run.text[-4000:]
    results = project.folder / "results"
    expected = [
        "corpus/tracks.parquet",
        "excitations/tiny/cues.parquet",
        "excitations/tiny/reels/tiny-01.wav",
        "excitations/tiny/recording.md",
        "excitations/tiny/recording.html",
        "excitations/tiny/fingerprints.parquet",
        "devices/amp/tiny-01/take.json",
        "devices/amp/tiny-01/alignment.json",
        "devices/amp/tiny-01/alignment.svg",
        "devices/amp/shards/tiny-01.arrow",
        "devices/amp/takes.html",
        "devices/amp/segments.parquet",
        "devices/amp/dataset.json",
        "devices/box/shards/one.arrow",
        "twins/amp/tiny/twin.safetensors",
        "twins/amp/tiny/training.parquet",
        "twins/amp/tiny/twin.nam",
        "twins/box/tiny/twin.onnx",
        "twins/amp/tiny/evaluation/metrics.json",
        "twins/box/tiny/evaluation/figures/transfer.svg",
        "twins/box/tiny/evaluation/figures/esr_over_time.svg",
        "twins/box/tiny/evaluation/listening/difference.flac",
        "comparison.html",
        "twins/box/tiny/evaluation/index.html",
        "twins/amp/tiny/evaluation/listening.html",
        "mlflow/mlflow.db",
    ]
    assert [name for name in expected if not (results / name).is_file()] == []
    assert "amp" in run.text[run.text.rindex("linear filter  vs. linear") :]
    assert "open: results/comparison.html" in run.text
    assert "Traceback" not in run.text
    lines = run.text.splitlines()
    assert len(lines) <= 50, run.text
    assert max(map(len, lines)) <= 200


def test_the_simulated_take_is_aligned_to_its_true_lag(first: tuple[Project, Run]) -> None:
    folder = first[0].folder / "results" / "devices" / "amp" / "tiny-01"
    found, truth = (
        read_json(folder / "alignment.json", "alignment/2"),
        read_json(folder / "truth.json", "simulated-take/1"),
    )
    assert found["polarity"] == truth["polarity"]
    assert abs(found["lag_samples"] - truth["lag_samples"]) < 0.5, "the circuit's own delay is below half a sample"
    assert abs(found["drift_ppm"] - truth["drift_ppm"]) < 0.2
    assert read_json(folder / "take.json", "take/1")["simulated"] is True


def test_the_witness_gives_the_noise_floor_of_a_take(first: tuple[Project, Run]) -> None:
    results = first[0].folder / "results"
    found = read_json(results / "devices/amp/tiny-01/alignment.json", "alignment/2")
    assert found["verdict"] == "ok"
    # The noise of the simulated recorder.
    assert found["noise_floor_dbfs"] == pytest.approx(-90.0, abs=0.5)
    reel = read_json(results / "excitations/tiny/excitation.json", "excitation/1")["reels"]["tiny-01"]
    assert len(reel["witness"]) == 3
    segments = read_table(results / "devices/amp/segments.parquet", "segments/1")
    used = segments[segments["split"] != ""]
    for start, stop in reel["witness"]:
        assert not ((used["start"] - used["context"] < stop) & (used["stop"] > start)).any()
    assert 0 < read_json(results / "twins/amp/tiny/evaluation/metrics.json", "metrics/1")["esr_floor"] < 1e-5


def test_inputs_of_every_record_are_recorded_outputs_or_sources(first: tuple[Project, Run]) -> None:
    folder = first[0].folder
    records = [read_json(path, "record/1") for path in sorted((folder / "results").rglob(f"*{SUFFIX}"))]
    made = {name: digest for record in records for name, digest in record["outputs"].items()}
    for record in records:
        for name, digest in record["outputs"].items():
            assert sha256_file(folder / name) == digest, name
        for name, digest in record["inputs"].items():
            assert made.get(name, sha256_file(folder / name)) == digest, name
        assert record["code"]
        assert record["environment"]["python"]
    head = load_twin(folder / "results" / "twins" / "amp" / "tiny")
    assert head.dataset == read_json(folder / "results" / "devices" / "amp" / "dataset.json", "dataset/1")["digest"]


def test_every_twin_has_an_mlflow_run(first: tuple[Project, Run]) -> None:
    from twinlib.tracking import store as tracking_store
    from twinlib.tracking.settings import Tracking

    results = first[0].folder / "results"
    client = tracking_store.open_client(tracking_store.store_uri(Tracking(), results))
    for device in ("amp", "box"):
        run_id = read_json(results / "twins" / device / "tiny" / "run.json", "run/1")["run_id"]
        run = client.get_run(run_id)
        assert (run.info.run_name, run.info.status) == (f"{device}/tiny", "FINISHED")
        assert run.data.tags["mlflow.source.name"] == "scripts/train_twin.py"
        assert client.get_model_version_by_alias(device, "best").run_id == run_id
        assert run.data.params["network.channels"] == "4"
        assert run.data.metrics["esr"] > 0
        assert len(client.get_metric_history(run_id, "valid_esr")) == 2
        digest = read_json(results / "devices" / device / "dataset.json", "dataset/1")["digest"]
        assert run.inputs.dataset_inputs[0].dataset.digest == digest[:32]
        assert run.data.tags["dataset.sha256"] == digest
        names = {item.path for item in client.list_artifacts(run_id)}
        assert names == {"figures", "listening", "pages", "twin", "records"}
        twins = {Path(item.path).name for item in client.list_artifacts(run_id, "twin")}
        assert twins == {"twin.safetensors", "twin.nam", "twin.onnx"}
        card = {
            key: value for key, value in run.data.tags.items() if key.startswith("device.") and key != "device.settings"
        }
        verdict = read_json(results / "twins" / device / "tiny" / "evaluation" / "verdict.json", "verdict/1")
        assert (run.data.tags["verdict"], run.data.tags["takes.verdict"]) == (verdict["verdict"], "ok")
        assert run.data.tags["verdict.reasons"] == "; ".join(verdict["reasons"])
        assert card == (
            {"device.make": "Acme", "device.gear_type": "preamp", "device.serial": "0042"} if device == "amp" else {}
        )


def test_the_verdict_is_above_the_table_and_in_the_exported_twin(first: tuple[Project, Run]) -> None:
    results = first[0].folder / "results"
    verdict = read_json(results / "twins" / "amp" / "tiny" / "evaluation" / "verdict.json", "verdict/1")
    # Sixty steps do not train a twin.
    assert verdict["verdict"] == "not usable"
    assert {name: take["verdict"] for name, take in verdict["takes"].items()} == {"tiny-01": "ok"}
    lines = ["amp, tiny: not usable", *(f"  {reason}" for reason in verdict["reasons"])]
    # Long reasons are wrapped.
    words = " ".join(lines).split()
    assert (results / "summary.txt").read_text().split()[: len(words)] == words
    for name in ("comparison.html", "twins/amp/tiny/evaluation/index.html"):
        page = (results / name).read_text()
        assert page.index("not usable") < page.index("<table")
    exported = json.loads((results / "twins" / "amp" / "tiny" / "twin.nam").read_text())["metadata"]["twin"]["verdict"]
    assert exported == {name: verdict[name] for name in ("verdict", "reasons", "findings", "takes")}


def test_the_device_card_reaches_the_exported_twin(first: tuple[Project, Run]) -> None:
    content = json.loads((first[0].folder / "results" / "twins" / "amp" / "tiny" / "twin.nam").read_text())
    metadata = content["metadata"]
    assert (metadata["name"], metadata["gear_make"], metadata["gear_type"]) == ("amp", "Acme", "preamp")
    assert metadata["twin"]["device_card"]["serial"] == "0042"


def test_log_run_reads_all_its_declared_inputs(first: tuple[Project, Run]) -> None:
    for run in ("results/twins/amp/tiny/run.json", "results/twins/box/tiny/run.json"):
        assert first[0].declared(run) <= first[0].read(run)
    logged = first[0].read("results/twins/amp/tiny/run.json")
    assert {"results/devices/amp/tiny-01/take.wav.prov.json", "results/twins/amp/tiny/twin.nam"} <= logged


def test_a_lost_store_is_rebuilt_and_nothing_is_rerun(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    from twinlib.audit.mlflow import rebuild_runs
    from twinlib.audit.store import resolve_store
    from twinlib.tracking import store as tracking_store

    monkeypatch.chdir(project.folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    results = Path("results")
    store = tracking_store.open_client(resolve_store(results, None))
    before = {path: read_json(path, "run/1") for path in results.glob("twins/*/*/run.json")}
    runs = {path: store.get_run(run["run_id"]) for path, run in before.items()}
    for run in runs.values():
        store.delete_run(run.info.run_id)
    assert {one.outcome for one in rebuild_runs(results)} == {"logged"}
    for path, run in runs.items():
        after = read_json(path, "run/1")
        assert after["run_id"] != run.info.run_id
        assert after["identity"] == before[path]["identity"]
        again = store.get_run(after["run_id"])
        assert again.data.params == run.data.params
        # The load of the machine is known only while the training runs.
        logged = {name: value for name, value in run.data.metrics.items() if not name.startswith("system/")}
        assert again.data.metrics == logged != run.data.metrics
        # The token of a run is random.
        assert again.data.tags | {"run.token": ""} == run.data.tags | {"run.token": ""}
        assert again.inputs.dataset_inputs == run.inputs.dataset_inputs
        assert project.declared(path.as_posix()) <= project.read(path.as_posix())
    assert project.plan() == {}


def test_a_finished_run_has_nothing_to_do(project: Project) -> None:
    """With a new process, like a user, and with the fork server, like all other tests."""
    asked, forked = project.run_as_user("--dry-run"), project.dry()
    assert (asked.code, asked.rules) == (forked.code, forked.rules) == (0, {})
    for run in (asked, forked, project.run()):
        assert (run.code, run.rules) == (0, {})
        assert "Nothing to be done" in run.text
        assert (project.folder / "results" / "summary.txt").read_text() in run.text
        assert "open: results/comparison.html" in run.text


def test_a_run_of_other_targets_shows_no_old_table(project: Project) -> None:
    run = project.run("dataset")
    assert (run.code, run.rules) == (0, {})
    assert "Nothing to be done" in run.text
    assert "test ESR" not in run.text


def test_a_dry_run_writes_nothing(first: tuple[Project, Run], tmp_path: Path) -> None:
    """In a fresh clone with new times, a damaged file, and a read-only results folder."""
    project = first[0].copy(tmp_path / "clone", metadata=False)
    touch_everything(project.folder)
    results = project.folder / "results"
    leaks = results / "devices/box/leaks.json"
    leaks.write_text(leaks.read_text() + " ")
    folders = [results, *(path for path in results.rglob("*") if path.is_dir())]

    def look() -> dict[Path, tuple[int, int, str]]:
        files = {path: path.stat() for path in [*folders, *results.rglob("*")]}
        return {
            path: (stat.st_mtime_ns, stat.st_mode, sha256_file(path) if path.is_file() else "")
            for path, stat in files.items()
        }

    for folder in folders:
        folder.chmod(0o555)
    try:
        before = look()
        shown = project.dry()
        assert look() == before
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert shown.code == 0, shown.text
    assert "check_leaks" in shown.rules
    assert "made again: results/devices/box/leaks.json is damaged or was edited" in shown.text
    assert not (results / CACHE_FILE).exists()


def test_a_run_with_nothing_to_do_saves_the_checksums(first: tuple[Project, Run], tmp_path: Path) -> None:
    project = first[0].copy(tmp_path / "clone", metadata=False)
    # Checksums of files written just now are not saved.
    time.sleep(RACY_NS / 1e9 + 0.1)
    run = project.run()
    assert (run.code, run.rules) == (0, {})
    assert (project.folder / "results" / CACHE_FILE).is_file()


STAGES_TO_TWIN = {
    "index_corpus",
    "plan_excitation",
    "write_recording_guide",
    "render_reel",
    "fingerprint_reels",
    "simulate_take",
    "ingest_take",
    "align_take",
    "compare_captures",
    "build_contact_sheet",
    "cut_shard",
    "build_manifest",
    "check_leaks",
    "train_twin",
    "export_twin",
}
STAGES_AFTER_TRAINING = {
    "evaluate_twin",
    "export_twin",
    "build_twin_page",
    "build_summary",
    "build_comparison",
    "log_run",
}


@pytest.mark.parametrize(
    ("name", "rules"),
    [
        ("corpus/index.json", STAGES_TO_TWIN | STAGES_AFTER_TRAINING),
        (
            "excitations/tiny/reels/tiny-01.wav",
            (STAGES_TO_TWIN | STAGES_AFTER_TRAINING) - {"index_corpus", "plan_excitation", "write_recording_guide"},
        ),
        ("excitations/tiny/recording.md", {"write_recording_guide"}),
        (
            "excitations/tiny/fingerprints.parquet",
            {"fingerprint_reels", "check_leaks", "train_twin", "export_twin"} | STAGES_AFTER_TRAINING,
        ),
        (
            "devices/amp/tiny-01/alignment.svg",
            {
                *("align_take", "compare_captures", "build_contact_sheet", "cut_shard", "build_manifest"),
                *("check_leaks", "train_twin"),
            }
            | STAGES_AFTER_TRAINING,
        ),
        (
            "devices/box/shards/one.parquet",
            {"cut_shard", "build_manifest", "check_leaks", "train_twin", "export_twin"} | STAGES_AFTER_TRAINING,
        ),
        ("devices/box/leaks.json", {"check_leaks", "train_twin", "export_twin"} | STAGES_AFTER_TRAINING),
        ("twins/box/tiny/twin.safetensors", {"train_twin", "export_twin"} | STAGES_AFTER_TRAINING),
        ("twins/box/tiny/twin.onnx", {"export_twin", "log_run"}),
        ("twins/box/tiny/evaluation/figures/waveform.svg", STAGES_AFTER_TRAINING),
        ("twins/box/tiny/evaluation/metrics.json.prov.json", STAGES_AFTER_TRAINING),
    ],
)
def test_a_deleted_output_is_made_again_with_its_dependants(project: Project, name: str, rules: set[str]) -> None:
    (project.folder / "results" / name).unlink()
    assert set(project.plan()) == rules


def kill_during_training(project: Project, twin: Path, seconds: float) -> None:
    """Start the training of a twin, and kill all its processes `seconds` after the run in MLflow has started."""
    twin.unlink(missing_ok=True)
    shutil.rmtree(twin.parent / "checkpoints", ignore_errors=True)
    command, environment = project.command(twin.relative_to(project.folder).as_posix())
    started = subprocess.Popen(
        command,
        cwd=project.folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    deadline = time.monotonic() + 120
    while not (twin.parent / "checkpoints" / "run.json").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(seconds)
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()


def test_a_killed_training_ends_with_the_same_bytes(project: Project) -> None:
    twin = project.folder / "results" / "twins" / "box" / "tiny" / "twin.safetensors"
    before = sha256_file(twin)
    for seconds in (0.1, 0.03, 0.0):  # a fast machine finishes the training before a late kill
        kill_during_training(project, twin, seconds)
        if not twin.exists():
            break
    assert not twin.exists()
    run = project.run("results/twins/box/tiny/twin.safetensors")
    assert run.code == 0, run.text[-4000:]
    assert sha256_file(twin) == before


def test_the_snakemake_report_is_written(project: Project) -> None:
    run = project.run("--report", "report.zip")
    assert run.code == 0, run.text[-4000:]
    assert (project.folder / "report.zip").stat().st_size > 10_000


def test_a_second_run_resumes_the_mlflow_run(project: Project) -> None:
    path = project.folder / "results" / "twins" / "box" / "tiny" / "run.json"
    before = json.loads(path.read_text())["run_id"]
    path.unlink()
    run = project.run()
    assert run.code == 0, run.text[-4000:]
    assert json.loads(path.read_text())["run_id"] == before


def test_a_dead_mlflow_server_stops_nothing_and_the_next_run_logs(project: Project) -> None:
    folder = project.folder / "results" / "twins" / "box" / "tiny"
    (folder / "twin.safetensors").unlink()
    shutil.rmtree(folder / "checkpoints")
    run = project.run(own={"MLFLOW_TRACKING_URI": "http://127.0.0.1:9"})
    assert run.code == 0, run.text[-4000:]
    assert run.text.count("warning: ") == 1
    assert "Not logged in MLflow yet: twins/box/tiny." in run.text
    assert read_json(folder / "run.json", "run/1")["run_id"] is None
    assert project.plan() == {"log_run": 1}
    run = project.run()
    assert run.code == 0, run.text[-4000:]
    assert read_json(folder / "run.json", "run/1")["run_id"]
    assert project.plan() == {}


def test_output_is_brief_and_the_log_is_complete(first: tuple[Project, Run]) -> None:
    """A run shows neither files nor a table of jobs, and at most two lines a job; log file and dry run have all."""
    project, run = first
    assert run.code == 0, run.text[-4000:]
    lines = run.text.splitlines()
    assert not [line for line in lines if line.startswith(("    input:", "    reason:", "Select jobs", "Job stats"))]
    jobs = sum(run.rules.values())
    assert f"{jobs + 1} of {jobs + 1} steps (100%) done" in lines
    table = run.text[run.text.index("linear filter  vs. linear") :]
    assert len(lines) <= 2 * jobs + len(table.splitlines()) + 10, run.text
    assert run.log.count("    reason: ") > jobs
    assert "    reason: " in project.dry("--forcerun", "build_comparison").text
