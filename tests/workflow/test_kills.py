"""The same command goes on after a kill; a live run is respected, and one on another host is never taken for dead."""

import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from tests.workflow.project import TINY, Project, Run
from tests.workflow.storm import checksums, run_storm
from twinlib import run_lock
from twinlib.files import sha256_file
from twinlib.run_lock import LOCK_FILE, MARKER, lock_results

pytestmark = pytest.mark.slow

BOX = {
    "dataset": TINY["dataset"],
    "devices": {"box": TINY["devices"]["box"]},
    "models": TINY["models"],
    "training": TINY["training"],
    "evaluation": TINY["evaluation"],
    "experiments": [{"device": "box", "model": "tiny"}],
}
TWIN = "results/twins/box/tiny/twin.safetensors"


def test_a_small_storm_of_kills(first: tuple[Project, Run], tmp_path: Path) -> None:
    """`python -m tests.workflow.storm` makes a larger one, over all stages."""
    project = first[0].copy(tmp_path / "project", metadata=False)
    shutil.rmtree(project.folder / "results")
    project.write(BOX)
    expected = {name: sha256 for name, sha256 in checksums(first[0]).items() if "/box/" in name}
    storm = run_storm(project, expected, kills=12, seed=21)
    assert sum(storm.kills.values()) == 12
    assert min(storm.kills.values()) >= 2
    assert storm.taken_over


def test_a_second_run_is_refused_while_the_first_works(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MARKER, raising=False)
    (project.folder / TWIN).unlink()
    held = lock_results(project.folder / "results")
    assert held is not None
    held.register()
    run = project.run()
    assert run.code == 1
    assert f"another run works in results (process {os.getpid()} on " in run.text
    assert "Traceback" not in run.text
    assert run.rules == {}
    assert "train_twin" in project.plan()
    held.release()


def test_a_run_on_another_host_is_never_taken_for_dead(project: Project) -> None:
    (project.folder / TWIN).unlink()
    locks = project.folder / ".snakemake" / "locks"
    locks.mkdir(exist_ok=True)
    (locks / "0.output.lock").write_text(f"{TWIN}\n")
    other = run_lock.Run(host="studio", machine="m", boot="b", pid=7, started="2026-05-01T10:00:00+02:00", token="t")
    (project.folder / "results" / LOCK_FILE).write_text(json.dumps(asdict(other)))
    run = project.run()
    assert run.code == 1
    assert "a run on another host: process 7 on studio, started 2026-05-01" in run.text
    assert "--unlock" in run.text
    assert (locks / "0.output.lock").exists()
    assert project.run("--unlock").code == 0
    run = project.run(TWIN)
    assert run.code == 0, run.text[-4000:]


def test_the_jobs_of_a_killed_snakemake_are_ended_first(project: Project) -> None:
    """Only Snakemake is killed; its training, which would take hours, goes on until the same command is given again."""
    before = sha256_file(project.folder / TWIN)
    (project.folder / TWIN).unlink()
    shutil.rmtree((project.folder / TWIN).parent / "checkpoints")
    project.write(TINY | {"training": TINY["training"] | {"steps": 10**7, "validate_every": 10**7}})
    command, environment = project.command(TWIN)
    started = subprocess.Popen(
        command, cwd=project.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not list((project.folder / TWIN).parent.rglob("checkpoint.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.05)
    started.send_signal(signal.SIGKILL)
    started.wait()
    orphans = [process for process in psutil.process_iter() if is_training(process, project.folder)]
    assert orphans
    project.write(TINY)
    run = project.run(TWIN)
    assert run.code == 0, run.text[-4000:]
    assert "remaining processes were ended" in run.text
    assert run.rules == {"train_twin": 1}
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in orphans)
    assert sha256_file(project.folder / TWIN) == before


def is_training(process: psutil.Process, folder: Path) -> bool:
    """Whether a process works in a folder."""
    try:
        return process.cwd() == str(folder) and process.pid != os.getpid()
    except psutil.Error:
        return False
