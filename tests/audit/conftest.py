"""One finished run for all tests that only read, and copies of it for those that change something."""

import shutil
from pathlib import Path

import pytest

from tests.audit.factories import Made, make_results


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Two devices, one of them recorded, and one of pairs; a track is withdrawn. Nothing may be written into it."""
    folder = tmp_path_factory.mktemp("made")
    return make_results(folder, pairs=True, excluded=("Artist 001/Song 002",))


@pytest.fixture
def copied(made: Made, tmp_path: Path) -> Path:
    """The results folder alone, somewhere else and under another name."""
    return Path(shutil.copytree(made.results, tmp_path / "copied"))
