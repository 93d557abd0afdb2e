"""The digest of the code behind a stage: its program, every module of the library that it imports, and their data."""

import ast
import hashlib
from functools import cache
from pathlib import Path

OBSERVERS = ("twinlib/progress.py", "twinlib/program.py", "twinlib/provenance/")
"""Modules that watch a stage and change none of its outputs: an edit of theirs reruns nothing."""

WATCHED = {"scripts/train.py": ("twinlib/tracking",), "scripts/search_worker.py": ("twinlib/tracking",)}
"""Further observers of one program: how a training is logged does not change the twin."""


def closure(program: Path, root: Path) -> list[Path]:
    """The files, relative to `root` and sorted, behind `program`: itself, the library's modules, their packages' data.

    The import statements are followed statically, in functions too; `root` is the folder that holds the package
    `twinlib`. Dynamic imports are not seen, so the library has none. The data of a package are the files beside its
    `__init__.py` that are not Python, hidden ones left out.
    """
    seen: set[Path] = set()
    todo = [program if program.is_absolute() else root / program]
    while todo:
        path = todo.pop()
        if path in seen:
            continue
        seen.add(path)
        if path.suffix == ".py":
            todo.extend(_imports(path, root))
        if path.name == "__init__.py":
            todo.extend(_data(path.parent))
    return sorted(path.relative_to(root) for path in seen)


def digest(program: Path, root: Path) -> str:
    """16 hexadecimal digits over the closure's code and data: comments, docstrings, layout, observers do not count."""
    total = hashlib.sha256()
    name = (program if program.is_absolute() else root / program).relative_to(root).as_posix()
    observers = (*OBSERVERS, *WATCHED.get(name, ()))
    for path in closure(program, root):
        if not path.as_posix().startswith(observers):
            total.update(f"{path.as_posix()}\0{_meaning(root / path)}\0".encode())
    return total.hexdigest()[:16]


@cache
def _imports(path: Path, root: Path) -> list[Path]:
    found: list[Path] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] != "twinlib":
                continue
            for length in range(1, len(parts) + 1):
                stem = root.joinpath(*parts[:length])
                found.extend(file for file in (stem.with_suffix(".py"), stem / "__init__.py") if file.is_file())
    return found


def _data(package: Path) -> list[Path]:
    return [
        path
        for path in package.iterdir()
        if path.is_file() and path.suffix not in {".py", ".pyc"} and not path.name.startswith(".")
    ]


@cache
def _meaning(path: Path) -> str:
    if path.suffix != ".py":
        return hashlib.sha256(path.read_bytes()).hexdigest()
    tree = ast.parse(path.read_bytes(), filename=str(path))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [item for item in body if not _is_docstring(item)]  # type: ignore[attr-defined]
    return ast.dump(tree)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
