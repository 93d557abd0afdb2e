"""The version of the library."""

import tomllib
from importlib import metadata
from pathlib import Path

UNKNOWN = "unknown"
"""The version if neither the installation nor the checkout tells it."""


def library_version(root: Path | None = None) -> str:
    """Return the version of the installed library, else that in the `pyproject.toml` of its checkout, else `UNKNOWN`.

    In a container or a conda environment the library is that of the checkout, on PYTHONPATH. `root` is the folder of
    the checkout, by default that of this file.
    """
    try:
        return metadata.version("twinlib")
    except metadata.PackageNotFoundError:
        pass
    try:
        content = ((root or Path(__file__).parents[1]) / "pyproject.toml").read_text(encoding="utf-8")
        project = tomllib.loads(content)["project"]
        return str(project["version"]) if project["name"] == "twinlib" else UNKNOWN
    except (OSError, ValueError, LookupError, TypeError):
        return UNKNOWN
