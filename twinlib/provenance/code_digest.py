"""The digest of a stage's code: its program, every module of the library that it imports, their data and packages."""

import ast
import hashlib
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

OBSERVERS = ("twinlib/progress.py", "twinlib/cli_runtime.py", "twinlib/provenance/")
"""Modules that watch a stage and change none of its outputs: an edit of theirs reruns nothing."""

WATCHED = {"scripts/train_twin.py": ("twinlib/tracking",), "scripts/run_search_worker.py": ("twinlib/tracking",)}
"""Further observers of one program: how a training is logged does not change the twin."""

DISTRIBUTIONS = {"visqol": "visqol-python", "yaml": "PyYAML"}
"""Distributions that are not named like the package that is imported."""


@dataclass(frozen=True)
class Module:
    """What one Python file says: the names that it imports, and the sum of its code without comments and layout."""

    imports: tuple[str, ...]
    meaning: str


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
            todo.extend(_followed(path, root))
        if path.name == "__init__.py":
            todo.extend(_data(path.parent))
    return sorted(path.relative_to(root) for path in seen)


@cache
def counted(program: Path, root: Path) -> tuple[Path, ...]:
    """The part of the `closure` of a program that decides about its outputs: all but observers."""
    name = (program if program.is_absolute() else root / program).relative_to(root).as_posix()
    observers = (*OBSERVERS, *WATCHED.get(name, ()))
    return tuple(path for path in closure(program, root) if not path.as_posix().startswith(observers))


def packages(program: Path, root: Path) -> dict[str, str]:
    """Version by distribution, as `requirements.lock` in `root` pins them, of what the code behind `program` imports.

    It depends on the text of the lock file and not on what is installed, so that a fresh environment tells the same.
    What observers import does not count, nor what others import in turn: an exact pin holds the one with the other.
    """
    pinned = _pinned(root / "requirements.lock")
    python = [path for path in counted(program, root) if path.suffix == ".py"]
    names = {name.split(".")[0] for path in python for name in _module(root / path).imports}
    found = (pinned.get(_normal(DISTRIBUTIONS.get(name, name))) for name in names - set(sys.stdlib_module_names))
    return dict(sorted(one for one in found if one))


def digest(program: Path, root: Path) -> str:
    """16 hexadecimal digits over the closure's code and data, and over the `packages` that it imports.

    Comments, docstrings, layout and observers do not count.
    """
    total = hashlib.sha256()
    for path in counted(program, root):
        total.update(f"{path.as_posix()}\0{_meaning(root / path)}\0".encode())
    for name, version in packages(program, root).items():
        total.update(f"{name}=={version}\0".encode())
    return total.hexdigest()[:16]


@cache
def _followed(path: Path, root: Path) -> list[Path]:
    """The library's files that a file's imports run."""
    found: list[Path] = []
    for name in _module(path).imports:
        parts = name.split(".")
        if parts[0] != "twinlib":
            continue
        for length in range(1, len(parts) + 1):
            stem = root.joinpath(*parts[:length])
            found.extend(file for file in (stem.with_suffix(".py"), stem / "__init__.py") if file.is_file())
    return found


@cache
def _module(path: Path) -> Module:
    imports: set[str] = set()
    words: list[str] = []
    _tell(ast.parse(path.read_bytes(), filename=str(path)), words, imports)
    return Module(tuple(sorted(imports)), hashlib.sha256("\0".join(words).encode()).hexdigest())


def _tell(node: ast.AST, words: list[str], imports: set[str]) -> None:
    """Write down a tree without its places and docstrings; `ast.dump` and `ast.walk` take four times as long."""
    if isinstance(node, ast.Import):
        imports.update(alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        imports.update([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])
    words.append(node.__class__.__name__)
    for name in node._fields:
        value = getattr(node, name, None)
        words.append(name)
        if isinstance(value, ast.AST):
            _tell(value, words, imports)
        elif isinstance(value, list):
            words.append("[")
            for item in value:
                if not isinstance(item, ast.AST):
                    words.append(repr(item))
                elif not (name == "body" and _is_docstring(item)):
                    _tell(item, words, imports)
            words.append("]")
        else:
            words.append(repr(value))


def _meaning(path: Path) -> str:
    return _module(path).meaning if path.suffix == ".py" else hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def _pinned(lock: Path) -> dict[str, tuple[str, str]]:
    """Distribution and version as a lock file has them, by normalised name; nothing if there is no lock file."""
    lines = lock.read_text(encoding="utf-8").splitlines() if lock.is_file() else []
    pins = (re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*])?==([^\s;]+)", line) for line in lines)
    return {_normal(pin[1]): (pin[1], pin[2]) for pin in pins if pin}


def _normal(name: str) -> str:
    """The name of a distribution as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _data(package: Path) -> list[Path]:
    return [
        path
        for path in package.iterdir()
        if path.is_file() and path.suffix not in {".py", ".pyc"} and not path.name.startswith(".")
    ]


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
