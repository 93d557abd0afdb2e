"""The public names of the packages (their faces), imported on first use (SPEC 1)."""

import ast
import importlib
import inspect
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

LIBRARY = Path(__file__).parents[1] / "twinlib"
PACKAGES = sorted(
    ".".join(path.parent.relative_to(LIBRARY.parent).parts)
    for pattern in ("__init__.pyi", "*/__init__.pyi")
    for path in LIBRARY.glob(pattern)
)


def folder(package: str) -> Path:
    return LIBRARY.parent.joinpath(*package.split("."))


def stub(package: str) -> dict[str, str]:
    """Map each public name of a package to its module."""
    tree = ast.parse((folder(package) / "__init__.pyi").read_text())
    return {
        alias.name: str(node.module) for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_defined_and_documented(package: str) -> None:
    face = importlib.import_module(package)
    assert face.__doc__
    for name, module in stub(package).items():
        found = getattr(face, name)
        assert found is getattr(importlib.import_module(f"{package}.{module}"), name)
        assert not (inspect.isfunction(found) or inspect.isclass(found)) or found.__doc__, name


@pytest.mark.parametrize("package", PACKAGES)
def test_no_public_name_is_a_module(package: str) -> None:
    """Importing such a module would replace the name."""
    assert not {path.stem for path in folder(package).iterdir()} & set(stub(package))


def test_importing_a_package_loads_no_other_module() -> None:
    code = (
        "import sys, twinlib.alignment, twinlib.training; print(*(m for m in sys.modules if m.startswith('twinlib')))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert sorted(loaded) == ["twinlib", "twinlib.alignment", "twinlib.training"]


def test_the_library_has_at_most_ten_names_and_a_version() -> None:
    import twinlib

    assert set(twinlib.__all__) == set(stub("twinlib"))
    assert len(set(twinlib.__all__) - {"__version__"}) <= 10
    assert twinlib.__version__ == metadata.version("twinlib")
