"""Imports within the library follow its layers: a package imports only packages before it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import twinlib

LIBRARY = Path(twinlib.__file__).parent
LAYERS = [
    "errors",
    "contracts",
    "intervals",
    "files",
    "section",
    "formatting",
    "db",
    "plotting",
    "html_templates",
    "findings",
    "progress",
    "cli_runtime",
    "audio",
    "corpus",
    "excitation",
    "capture",
    "simulation",
    "alignment",
    "dataset",
    "model",
    "kernels",
    "training",
    "measurement",
    "evaluation",
    "listening",
    "reports",
    "provenance",
    "tracking",
    "config",
    "audit",
    "cli",
]


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the top-level modules of the library that a module imports, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "twinlib":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("twinlib."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("twinlib."))


@pytest.mark.parametrize("path", sorted(LIBRARY.glob("*/")) + sorted(LIBRARY.glob("*.py")), ids=lambda path: path.stem)
def test_packages_import_only_lower_layers(path: Path) -> None:
    if path.stem.startswith("__"):
        pytest.skip("the face of the library")
    below = set(LAYERS[: LAYERS.index(path.stem) + 1])
    for module in [path] if path.is_file() else path.rglob("*.py"):
        upward = set(imports(ast.parse(module.read_text()))) - below
        assert not upward, f"{module.relative_to(LIBRARY)} imports {upward}"
