"""One finished run of a small project, copied by every test that needs it."""

from pathlib import Path

import pytest

from tests.workflow.project import Project, Run, make_project


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Run]:
    """The project after its first run, and how that went. Nobody may change it."""
    project = make_project(tmp_path_factory.mktemp("first"))
    return project, project.run()


@pytest.fixture
def project(first: tuple[Project, Run], tmp_path: Path) -> Project:
    """A copy of the finished project that a test may change, with its times and with what Snakemake remembers."""
    finished, run = first
    assert run.code == 0, run.text[-4000:]
    return finished.copy(tmp_path / "project", metadata=True)
