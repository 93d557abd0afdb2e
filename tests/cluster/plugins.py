"""The packages of requirements-cluster.lock, in a folder of their own: Snakemake imports all plugins at every start."""

import os

import pytest

from tests.workflow.project import REPOSITORY

PLUGINS = REPOSITORY / ".peers" / "cluster"


def require(why: str) -> None:
    """Skip the test for a reason, unless it is empty; fail in CI, which must not skip it."""
    why = why or ("" if PLUGINS.exists() else "run `make cluster`, which installs the plugins")
    if why and os.environ.get("CI"):
        pytest.fail(why)
    if why:
        pytest.skip(why)


def environment(**more: str) -> dict[str, str]:
    """The environment of a program that uses the plugins."""
    path = os.pathsep.join((str(REPOSITORY), str(PLUGINS)))
    known = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "TWINLIB_RUN"))}
    return {**known, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}
