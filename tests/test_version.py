"""The version of the library where it is installed, and where it is not."""

import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from twinlib.version import UNKNOWN, library_version

ROOT = Path(__file__).parents[1]


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", fail)


def test_the_installed_version() -> None:
    assert library_version() == metadata.version("twinlib")


@pytest.mark.usefixtures("not_installed")
def test_a_checkout_on_the_path_has_the_version_of_its_project_file() -> None:
    expected = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert library_version() == expected


@pytest.mark.usefixtures("not_installed")
@pytest.mark.parametrize(
    "content", [None, "", "[", "project = 1", "[project]\nname = 'other'\nversion = '1'", "[project]\nname = 'twinlib'"]
)
def test_without_a_project_file_of_the_library_it_is_unknown(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "pyproject.toml").write_text(content)
    assert library_version(tmp_path) == UNKNOWN
