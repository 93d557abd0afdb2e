"""Finished runs of a small project; tests work on copies."""

from pathlib import Path

import pytest

from tests.workflow.project import SEARCHED, Project, Run, made_once, make_project, record, takes_config


@pytest.fixture(scope="session")
def first(shared: Path) -> tuple[Project, Run]:
    """The project after its first run, and the result of that run. Read-only."""

    def make(folder: Path) -> tuple[Project, Run]:
        project = make_project(folder)
        return project, project.run()

    return made_once(shared / "first", make)


@pytest.fixture(scope="session")
def searched(first: tuple[Project, Run], shared: Path) -> Project:
    """The project after a search and the training of its result. Read-only."""

    def make(folder: Path) -> tuple[Project, Run]:
        project = first[0].copy(folder, metadata=True)
        project.write(SEARCHED)
        return project, project.run()

    pytest.importorskip("optuna")
    project, run = made_once(shared / "searched", make)
    assert run.code == 0, run.text[-4000:]
    assert "Traceback" not in run.text
    return project


@pytest.fixture(scope="session")
def waiting(shared: Path) -> tuple[Project, Run]:
    """A project with reels but no recordings yet. Read-only."""

    def make(folder: Path) -> tuple[Project, Run]:
        project = make_project(folder)
        project.write(takes_config())
        return project, project.run()

    return made_once(shared / "waiting", make)


@pytest.fixture(scope="session")
def recorded(waiting: tuple[Project, Run], shared: Path) -> Project:
    """A finished project with recorded takes. Read-only."""

    def make(folder: Path) -> tuple[Project, Run]:
        project = waiting[0].copy(folder, metadata=True)
        for reel in ("tiny-01", "tiny-02"):
            record(project, reel)
        return project, project.run()

    project, run = made_once(shared / "recorded", make)
    assert run.code == 0, run.text[-4000:]
    return project


@pytest.fixture
def project(first: tuple[Project, Run], tmp_path: Path) -> Project:
    """A copy of the finished project for a test to change, with file times and the metadata of Snakemake."""
    finished, run = first
    assert run.code == 0, run.text[-4000:]
    return finished.copy(tmp_path / "project", metadata=True)
