"""One finished run of a small project, copied by every test that needs it."""

import os
from pathlib import Path

import pytest

from tests.workflow.project import Project, Run, made_once, make_project


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A temporary folder that all processes of pytest-xdist have in common."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def first(shared: Path) -> tuple[Project, Run]:
    """The project after its first run, and how that went. Nobody may change it."""

    def make(folder: Path) -> tuple[Project, Run]:
        project = make_project(folder)
        return project, project.run()

    return made_once(shared / "first", make)


@pytest.fixture
def project(first: tuple[Project, Run], tmp_path: Path) -> Project:
    """A copy of the finished project that a test may change, with its times and with what Snakemake remembers."""
    finished, run = first
    assert run.code == 0, run.text[-4000:]
    return finished.copy(tmp_path / "project", metadata=True)
