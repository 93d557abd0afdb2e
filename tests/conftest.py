"""Settings and fixtures of all tests."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# No deadline, because machines may be busy. Hypothesis fixes the examples in CI by default; here a new seed draws them.
settings.register_profile("project", deadline=None, derandomize=False)
settings.load_profile("project")

LONGEST = (
    "tests/workflow/test_run.py",
    "tests/alignment/test_fuzz.py",
    "tests/cluster/test_slurm.py",
    "tests/recording/test_audio_path.py",
    "tests/workflow/test_table.py",
    "tests/workflow/test_kills.py",
    "tests/cluster/test_mlflow_store.py",
    "tests/cli/test_train.py",
    "tests/training/test_distributed.py",
    "tests/workflow/test_reproducible.py",
    "tests/recording/test_audio_path.py",
    "tests/workflow/test_search.py",
    "tests/workflow/test_takes.py",
    "tests/workflow/test_probe.py",
    "tests/training/test_program.py",
    "tests/training/test_search.py",
    "tests/workflow/test_reruns.py",
)
"""The slowest files, and those that wait most. They start first, so that all workers finish at about the same time."""


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """In CI, draw a seed for Hypothesis, unless one is given; workers of pytest-xdist inherit it."""
    if os.environ.get("CI") and config.getoption("hypothesis_seed", None) is None:
        config.option.hypothesis_seed = str(secrets.randbelow(2**32))


def pytest_report_header(config: pytest.Config) -> str | None:
    """Print the seed, to repeat a run."""
    seed = config.getoption("hypothesis_seed", None)
    return f"examples of Hypothesis: repeat them with --hypothesis-seed={seed}" if seed is not None else None


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A temporary folder shared by all processes of pytest-xdist."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database without experiments, for tests to copy: creating its schema takes seconds."""
    from twinlib.tracking.store import make_database

    database = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    make_database(database)
    assert [path.name for path in database.parent.iterdir()] == ["mlflow.db"]
    return database


@pytest.fixture(scope="session", autouse=True)
def no_fsync() -> Iterator[None]:
    """Skip `os.fsync` in this process: it only matters after a power failure, and takes half of a small training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slowest files first; keep the order of all others."""
    ranks = {file: rank for rank, file in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.nodeid.split("::")[0], len(LONGEST)))
