"""Settings and fixtures of all tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no failure; and CI judges a change, so it draws the same examples every time.
settings.register_profile("project", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("project")

LONGEST = (
    "tests/workflow/test_run.py",
    "tests/alignment/test_fuzz.py",
    "tests/workflow/test_table.py",
    "tests/training/test_distributed.py",
    "tests/workflow/test_reproducible.py",
    "tests/workflow/test_search.py",
    "tests/workflow/test_takes.py",
    "tests/workflow/test_probe.py",
    "tests/training/test_program.py",
    "tests/training/test_search.py",
    "tests/workflow/test_reruns.py",
)
"""The files that take the longest, the longest first: begun first, they leave no worker waiting for another's end."""


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without experiments, to be copied: creating its schema takes seconds."""
    from twinlib.tracking import runs

    database = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    runs._make_database(database)
    assert [path.name for path in database.parent.iterdir()] == ["mlflow.db"]
    return database


@pytest.fixture(scope="session", autouse=True)
def no_fsync() -> Iterator[None]:
    """Skip `os.fsync` in this process: it matters after a power failure only, and takes half of a small training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; all others stay as they are."""
    ranks = {file: rank for rank, file in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.nodeid.split("::")[0], len(LONGEST)))
