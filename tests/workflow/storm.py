"""A storm of kills: the same command is repeated until it ends, and killed at seeded instants.

    python -m tests.workflow.storm --kills 60 --seed 1     all stages of the small project, in new processes

After each finished build, all files must have the bytes of a build that nobody disturbed, no temporary file may be
left, and MLflow must hold one finished run a twin.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.workflow.project import TINY, Project, make_project
from twinlib.files import sha256_file
from twinlib.tracking.store import open_client

KILLS = {
    "SIGKILL of the group": (signal.SIGKILL, True),
    "SIGKILL of Snakemake": (signal.SIGKILL, False),
    "SIGTERM": (signal.SIGTERM, True),
    "SIGHUP": (signal.SIGHUP, True),
    "SIGINT": (signal.SIGINT, True),
}
"""Signal, and whether all processes of the group get it, by name."""

SAME = (
    "*.wav",
    "cues.parquet",
    "*.arrow",
    "segments.parquet",
    "take.json",
    "alignment.json",
    "twin.safetensors",
)
"""Files whose bytes depend on the inputs alone."""

WINDOW = 4.0
"""Seconds after the start of the first job in which a kill falls."""


@dataclass
class Storm:
    """What a storm did."""

    kills: dict[str, int] = field(default_factory=dict)
    """Number of kills that met a running Snakemake, by name."""
    builds: int = 0
    """Finished builds, all with equal bytes."""
    taken_over: int = 0
    """Runs that took over the lock or ended processes of a killed run."""


def run_storm(project: Project, expected: dict[str, str], kills: int, seed: int) -> Storm:
    """Kill `kills` runs of a project, then let it end; a finished project starts anew. Raises AssertionError."""
    moments, storm = random.Random(seed), Storm()
    while sum(storm.kills.values()) < kills:
        number = sum(storm.kills.values())
        name = list(KILLS)[number % len(KILLS)]
        if run_and_kill(project, name, moments, storm):
            storm.kills[name] = storm.kills.get(name, 0) + 1
            continue
        finish(project, expected, storm)
        shutil.rmtree(project.folder / "results")
        shutil.rmtree(project.folder / ".snakemake")
    finish(project, expected, storm)
    return storm


def run_and_kill(project: Project, name: str, moments: random.Random, storm: Storm) -> bool:
    """Run the command and kill it at a random instant; return False if it ended before."""
    command, environment = project.command("--verbose")
    path = project.folder / "storm.log"
    number, whole_group = KILLS[name]
    at_start, delay = moments.random() < 0.15, moments.uniform(0, WINDOW)
    with path.open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=project.folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=heed_signals,
        )
    while not at_start and process.poll() is None and "Select jobs to execute" not in path.read_text():
        time.sleep(0.02)
    time.sleep(delay)
    running = process.poll() is None
    if running:
        (os.killpg if whole_group else os.kill)(process.pid, number)
    code = process.wait(120)
    text = path.read_text()
    storm.taken_over += "Going on after a killed run" in text
    assert "--unlock" not in text, text[-4000:]
    assert running or code == 0, text[-4000:]
    return running


def heed_signals() -> None:
    """Undo what `nohup` and the background of a shell make a process ignore."""
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def finish(project: Project, expected: dict[str, str], storm: Storm) -> None:
    """Run the command to its end and compare the results with those of an undisturbed build."""
    run = project.run_as_user()
    storm.taken_over += "Going on after a killed run" in run.text
    storm.builds += 1
    assert run.code == 0, run.text[-4000:]
    assert checksums(project) == expected
    assert not list((project.folder / "results").rglob(".*.part"))
    check_runs(project)


def checksums(project: Project) -> dict[str, str]:
    """Return the sha256 of the files in `SAME`."""
    results = project.folder / "results"
    paths = sorted(path for pattern in SAME for path in results.rglob(pattern) if "mlflow" not in path.parts)
    return {
        path.relative_to(results).as_posix(): sha256_file(path) for path in paths if "checkpoints" not in path.parts
    }


def check_runs(project: Project) -> None:
    """Check that MLflow holds one run a twin, and that it is finished."""
    client = open_client(f"sqlite:///{project.folder}/results/mlflow/mlflow.db")
    found = [
        (experiment.name, run.info.run_name, run.info.status)
        for experiment in client.search_experiments()
        for run in client.search_runs([experiment.experiment_id])
    ]
    twins = sorted(path.parent for path in (project.folder / "results" / "twins").glob("*/*/twin.safetensors"))
    assert sorted(found) == [(twin.parent.name, f"{twin.parent.name}/{twin.name}", "FINISHED") for twin in twins]


def main() -> None:
    """Run a storm over the whole small project and print its counts."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder) / "project")
        project.write(TINY)
        undisturbed = project.copy(Path(folder) / "undisturbed", metadata=False)
        run = undisturbed.run_as_user()
        assert run.code == 0, run.text[-4000:]
        storm = run_storm(project, checksums(undisturbed), args.kills, args.seed)
    for name, count in storm.kills.items():
        print(f"{count:4d} {name}")
    print(f"{storm.builds} builds with equal bytes, {storm.taken_over} take-overs", file=sys.stdout)


if __name__ == "__main__":
    main()
