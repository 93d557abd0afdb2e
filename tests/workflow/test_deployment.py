"""`--sdm`: the programs run in the container, with the library of the repository. A script stands in for Apptainer."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workflow.project import REPOSITORY, Project, make_project
from tests.workflow.test_kills import BOX

pytestmark = pytest.mark.slow

TAKE = "results/devices/box/one/take.json"
IMAGE = REPOSITORY / "build" / "twinlib.sif"
APPTAINER = """#!/bin/bash
[ "$1" = --version ] && { echo apptainer version 1.3.4; exit; }
echo "$@" >> {calls}
while [ "$1" != bash ]; do shift; done
PATH={inside}:/usr/bin:/bin exec "$@"
"""


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project on a machine with the script; the Python of the container is the only one that leaves a note."""
    project = make_project(tmp_path / "project")
    project.write(BOX)
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder, name, text in (
        (inside, "python", f'#!/bin/sh\necho inside >> {tmp_path}/python\nexec {sys.executable} "$@"\n'),
        (outside, "apptainer", APPTAINER.replace("{calls}", f"{tmp_path}/calls").replace("{inside}", str(inside))),
    ):
        folder.mkdir()
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{outside}{os.pathsep}{os.environ['PATH']}")
    return project


@pytest.fixture
def image() -> Iterator[None]:
    """A file in place of the image, unless there is one."""
    made = not IMAGE.exists()
    if made:
        IMAGE.parent.mkdir(exist_ok=True)
        IMAGE.touch()
    yield
    if made:
        IMAGE.unlink()


@pytest.mark.usefixtures("image")
def test_a_program_runs_in_the_container(box: Project, tmp_path: Path) -> None:
    run = box.run(TAKE, "--sdm", "apptainer")
    assert run.code == 0, run.text
    assert (box.folder / TAKE).is_file()
    assert (tmp_path / "python").read_text() == "inside\n"
    assert str(IMAGE) in (tmp_path / "calls").read_text()


def test_a_missing_image_is_named(box: Project) -> None:
    if IMAGE.exists():
        pytest.skip(f"{IMAGE} exists")
    run = box.run(TAKE, "--sdm", "apptainer")
    assert run.code == 1
    assert f"--sdm apptainer needs {IMAGE}: build it as described in Containerfile" in run.text
    assert "Traceback" not in run.text


def test_without_sdm_no_container_is_used(box: Project, tmp_path: Path) -> None:
    run = box.run(TAKE)
    assert run.code == 0, run.text
    assert not (tmp_path / "calls").exists()
