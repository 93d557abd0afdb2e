"""A finished project; tests work on copies."""

import os
import shutil
from pathlib import Path

import pytest

from tests.cli_harness import Fails, Options, call, failing_program
from tests.programs.project import STAGES, options_of
from tests.workflow.project import Project, Run, made_once, make_project
from twinlib.config import Config, load_config


def quick_config(folder: Path) -> Config:
    config = load_config(folder / "config.yaml")
    training = config.training.model_copy(update={"steps": 40, "validate_every": 20, "batch": 2})
    return config.model_copy(update={"training": training})


@pytest.fixture(scope="session")
def finished(shared: Path) -> tuple[Path, Options]:
    """A project after all stages have run on valid input. Read-only."""

    def make(folder: Path) -> tuple[Project, Run]:
        project, here = make_project(folder), Path.cwd()
        os.chdir(folder)
        try:
            options = options_of(quick_config(folder))
            for stage in STAGES:
                assert call(stage, options[stage]) == 0, stage
        finally:
            os.chdir(here)
        return project, Run(0, "")

    project, _ = made_once(shared / "bad-input", make)
    return project.folder, options_of(quick_config(project.folder))


@pytest.fixture
def fails(
    finished: tuple[Path, Options],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Fails:
    """Change to a copy of the project; return a function that runs a program and checks that it fails."""
    shutil.copytree(finished[0], tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    # Otherwise the first check of every program would find that a file differs from its record.
    for record in Path("results").rglob("*.prov.json"):
        if record.name != "twin.safetensors.prov.json":
            record.unlink()
    return failing_program(finished[1], capsys)
