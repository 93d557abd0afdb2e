"""One finished run for all tests that only read, and copies of it for tests that write."""

import shutil
from pathlib import Path

import pytest

from tests.audit.factories import Made, make_results


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A recorded device, a simulated one and one of pairs; one track is withdrawn. Read-only."""
    folder = tmp_path_factory.mktemp("made")
    return make_results(folder, pairs=True, excluded=("Artist 001/Song 002",))


@pytest.fixture
def copied(made: Made, tmp_path: Path) -> Path:
    """A copy of only the results folder, in another place and under another name."""
    return Path(shutil.copytree(made.results, tmp_path / "copied"))
