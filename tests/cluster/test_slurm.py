"""The small project on a real SLURM cluster: out of memory, trained on two nodes, the driver killed, resumed."""

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster import slurm
from tests.cluster.plugins import environment, require
from tests.workflow.project import REPOSITORY, TINY, Project, make_project
from tests.workflow.storm import checksums

pytestmark = pytest.mark.slow

CONFIG: dict[str, Any] = {
    "dataset": TINY["dataset"],
    "devices": {"box": TINY["devices"]["box"]},
    "models": TINY["models"],
    "training": {**TINY["training"], "steps": 300, "processes": 2, "checkpoint_seconds": 0.2, "device": "cpu"},
    "evaluation": TINY["evaluation"],
    "experiments": [{"device": "box", "model": "tiny"}],
    "tracking": {"enabled": False},
}
TWO_NODES = {"nodes": 2, "tasks": 2, "mpi": "srun"}
CHECKPOINT = "results/twins/box/tiny/checkpoints/seed-0/checkpoint.safetensors"


@dataclass
class Driver:
    """Snakemake with the profile of a project."""

    project: Project
    log: Path

    def start(self) -> subprocess.Popen[bytes]:
        words = ["--workflow-profile", "profile", "--cores", "4"]
        command, _ = self.project.command(*words)
        with self.log.open("wb") as stream:
            return subprocess.Popen(
                command, cwd=self.project.folder, env=environment(), stdout=stream, stderr=subprocess.STDOUT
            )


@dataclass
class Story:
    """What happened on the cluster."""

    project: Project
    code: int
    killed: str
    resumed: str
    jobs: list[dict[str, str]]


def write_profile(project: Project) -> None:
    """The profile for SLURM, with less waiting, a memory limit that is too low at first, and two nodes for training."""
    profile = yaml.safe_load((REPOSITORY / "workflow/profiles/slurm/profile.yaml").read_text())
    profile["slurm-init-seconds-before-status-checks"] = 1
    profile["latency-wait"] = 5
    profile["set-resources"]["cut_shard"] = {"mem_mb": "60 if attempt == 1 else 1000"}
    profile["set-resources"]["train_twin"] |= TWO_NODES
    profile["set-threads"] = {"train_twin": 1}
    (project.folder / "profile").mkdir()
    (project.folder / "profile" / "profile.yaml").write_text(yaml.safe_dump(profile))


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Kill the driver while the twin is trained on two nodes, and give the same command again."""
    require(slurm.missing())
    project = make_project(tmp_path_factory.mktemp("slurm") / "project")
    project.write(CONFIG)
    write_profile(project)
    home = tmp_path_factory.mktemp("daemons")
    with slurm.cluster(home) as jobs:
        first = Driver(project, home / "killed.txt")
        process = first.start()
        try:
            deadline = time.monotonic() + 900
            while not (project.folder / CHECKPOINT).exists():
                assert process.poll() is None, first.log.read_text()
                assert time.monotonic() < deadline, first.log.read_text()
                time.sleep(0.05)
            # Otherwise the training might end before the next run.
            slurm.suspend()
        finally:
            process.kill()
            process.wait()
        second = Driver(project, home / "resumed.txt")
        code = second.start().wait(timeout=900)
        yield Story(project, code, first.log.read_text(), second.log.read_text(), slurm.finished_jobs(jobs))


def test_the_same_command_resumes(story: Story) -> None:
    assert story.code == 0, story.resumed
    assert "whose 1 SLURM jobs were cancelled" in story.resumed
    assert "CANCELLED" in {job["JobState"] for job in story.jobs}


def test_finished_jobs_do_not_run_again(story: Story) -> None:
    """One job each: captures, a shard twice, the dataset; the training twice; the evaluation."""
    states = [job["JobState"] for job in sorted(story.jobs, key=lambda job: int(job["JobId"]))]
    assert states == ["COMPLETED", "FAILED", "COMPLETED", "COMPLETED", "CANCELLED", "COMPLETED", "COMPLETED"]


def test_a_job_killed_by_its_memory_limit_is_submitted_again_with_more(story: Story) -> None:
    failed = [job for job in story.jobs if job["JobState"] in ("FAILED", "OUT_OF_MEMORY")]
    assert [job["Tres"].split("mem=")[1].split(",")[0] for job in failed] == ["60M"]
    assert "1000M" in {
        job["Tres"].split("mem=")[1].split(",")[0] for job in story.jobs if job["JobState"] == "COMPLETED"
    }


def test_the_training_ran_on_two_nodes(story: Story) -> None:
    assert [job["JobState"] for job in story.jobs if job["NodeCnt"] == "2"] == ["CANCELLED", "COMPLETED"]


def test_the_sums_are_those_of_a_local_run(story: Story, tmp_path: Path) -> None:
    local = make_project(tmp_path / "project")
    local.write(CONFIG)
    run = local.run()
    assert run.code == 0, run.text
    expected = checksums(local)
    assert any(name.endswith("twin.safetensors") for name in expected)
    assert checksums(story.project) == expected
