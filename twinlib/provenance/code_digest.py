"""Digest of a stage's code: the functions, classes and constants that its program reaches, and the packages they use.

The digest follows names, not files. It starts from the statements of the program, resolves each name through the
imports of its module and the stubs of packages, and adds the syntax tree of each definition found. Edits of unrelated
functions in the same module, moves between modules, comments, docstrings, layout and annotations of functions do not
change it.

The analysis is static. It cannot follow registries or imports by a computed name, so the library has none.
"""

import ast
import hashlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

OBSERVERS = (
    "twinlib/progress.py",
    "twinlib/cli_runtime.py",
    "twinlib/provenance/",
    "twinlib/schemas.py",
    "twinlib/table_limits.py",
    "twinlib/table_schemas.py",
)
"""Modules without effect on the outputs of a stage, which observe it or refuse its inputs: edits trigger no rerun."""

EXTRA_OBSERVERS = {
    "scripts/train_twin.py": ("twinlib/tracking",),
    "scripts/run_search_worker.py": ("twinlib/tracking",),
}
"""Additional observers by program: logging a training does not change the twin."""

DISTRIBUTIONS = {"visqol": "visqol-python", "yaml": "PyYAML"}
"""Distribution by import package, where the names differ."""

LIBRARY = "twinlib"

COMPILED = {".dll", ".dylib", ".pyc", ".so"}
"""Suffixes of files that are compiled from sources in the package; the sources count."""

_FILE_NAME = re.compile(r"[\w-]+(?:\.\w+)+")
_NOT_EVALUATED = {"returns", "type_comment"}


@dataclass(eq=False)
class Code:
    """One or several statements: the digest of their syntax trees, and the names and file names in them."""

    words: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    sha256: str = ""

    def add(self, statement: ast.stmt) -> None:
        """Add a statement."""
        _collect(statement, self, in_function=False)
        self.sha256 = hashlib.sha256("\0".join(self.words).encode()).hexdigest()


@dataclass(frozen=True)
class Source:
    """One Python file: its definitions by name, its other statements, and the targets of its imports by local name."""

    definitions: dict[str, Code]
    effects: Code
    imports: dict[str, set[str]]


@dataclass(frozen=True)
class Reached:
    """Code behind a program: definitions by file and name, data files, and imported packages."""

    definitions: dict[tuple[Path, str], Code]
    targets: dict[tuple[Path, str], tuple[str, ...]]
    """Targets of the names in a definition: digests of definitions, or dotted names in other packages."""
    data: tuple[Path, ...]
    packages: frozenset[str]

    @property
    def files(self) -> tuple[Path, ...]:
        """The files, sorted."""
        return tuple(sorted({path for path, _ in self.definitions} | set(self.data)))


@cache
def reached(program: Path, root: Path) -> Reached:
    """Return the code behind `program`, observers excluded; paths are relative to `root`, which holds the library.

    A module with a reached definition adds its remaining statements and those of its packages, which run on import.
    Data files are the non-Python files of reached packages. A data file that the code of its package names is added
    if that code is reached; any other data file is always added.
    """
    path = (program if program.is_absolute() else root / program).relative_to(root)
    observers = (*OBSERVERS, *EXTRA_OBSERVERS.get(path.as_posix(), ()))
    whole = Code()
    for statement in ast.parse((root / path).read_bytes(), filename=str(path)).body:
        if not isinstance(statement, ast.Import | ast.ImportFrom):
            whole.add(statement)
    definitions: dict[tuple[Path, str], Code] = {}
    targets: dict[tuple[Path, str], tuple[str, ...]] = {}
    packages: set[str] = set()
    todo = [(path, "", whole)]
    while todo:
        file, name, code = todo.pop()
        if (file, name) in definitions:
            continue
        definitions[file, name] = code
        if name:
            todo += [(module, "", _source(root / module).effects) for module in (file, *_packages(file, root))]
        found: list[str] = []
        for used in code.names:
            for target in _resolve(used, file, root):
                if isinstance(target, str):
                    packages.add(target.split(".")[0])
                    found.append(f"{used}={target}")
                elif not target[0].as_posix().startswith(observers):
                    todo.append(target)
                    found.append(f"{used}={target[2].sha256}")
        targets[file, name] = tuple(sorted(found))
    files = {path for path, _ in definitions}
    named = {name for code in definitions.values() for name in code.files}
    return Reached(definitions, targets, tuple(_data(files, named, root)), frozenset(packages))


@cache
def packages(program: Path, root: Path) -> dict[str, str]:
    """Return the versions of the packages that `program` uses, by distribution, from `requirements.lock` in `root`.

    The lock file is used instead of the environment, so that any environment gives the same versions. Packages of
    observers are ignored, and so are indirect dependencies: an exact pin determines them.
    """
    pinned = _pinned(root / "requirements.lock")
    names = reached(program, root).packages - set(sys.stdlib_module_names)
    found = (pinned.get(_normal(DISTRIBUTIONS.get(name, name))) for name in names)
    return dict(sorted(pin for pin in found if pin))


def digest(program: Path, root: Path) -> str:
    """Return 16 hexadecimal digits over the code and data that `program` reaches and the `packages` that it uses."""
    code = reached(program, root)
    lines = [
        f"{name}\0{code.definitions[file, name].sha256}\0{' '.join(code.targets[file, name])}"
        for file, name in code.definitions
        if code.definitions[file, name].words  # skip modules without statements that run, so that code may move
    ]
    lines += [f"{file.name}\0{hashlib.sha256((root / file).read_bytes()).hexdigest()}" for file in code.data]
    lines += [f"{name}=={version}" for name, version in packages(program, root).items()]
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


def clear_caches() -> None:
    """Clear the caches of parsed files, for callers that edit files."""
    for cached in (reached, packages, _resolve, _source, _pinned, _module, _file_names):
        cached.cache_clear()


@cache
def _resolve(name: str, file: Path, root: Path) -> tuple[tuple[Path, str, Code] | str, ...]:
    """Return the targets of a dotted name in a file: definitions of the library, or names in other packages."""
    return tuple(_targets(name, file, root))


def _targets(name: str, file: Path, root: Path) -> Iterator[tuple[Path, str, Code] | str]:
    first, _, rest = name.partition(".")
    source = _source(root / file)
    if first in source.definitions:
        yield file, first, source.definitions[first]
    for target in source.imports.get(first, ()):
        dotted = f"{target}.{rest}" if rest else target
        if dotted.split(".")[0] != LIBRARY:
            yield target
            continue
        parts = dotted.split(".")
        length = next(length for length in range(len(parts), 0, -1) if _module(root, ".".join(parts[:length])))
        module = _module(root, ".".join(parts[:length]))
        if module is None or module == file:
            continue
        if length == len(parts):
            for part, code in _source(root / module).definitions.items():
                yield module, part, code
        else:
            yield from _resolve(".".join(parts[length:]), module, root)


def _packages(file: Path, root: Path) -> Iterator[Path]:
    """Yield the `__init__.py` of each package that contains a module; these run on import."""
    for folder in file.parents:
        if (root / folder / "__init__.py").is_file():
            yield folder / "__init__.py"


@cache
def _module(root: Path, dotted: str) -> Path | None:
    """Return the file, relative to `root`, that defines the names of a module; for a package, its stub if any."""
    stem = Path(*dotted.split("."))
    for path in (stem / "__init__.pyi", stem / "__init__.py", stem.with_suffix(".py")):
        if (root / path).is_file():
            return path
    return None


@cache
def _source(path: Path) -> Source:
    source = Source({}, Code(), {})
    tree = ast.parse(path.read_bytes(), filename=str(path))
    for node in _imports(tree):
        for local, target in _bindings(node, path):
            source.imports.setdefault(local, set()).add(target)
    for statement in tree.body:
        _add(statement, source)
    return source


def _add(statement: ast.stmt, source: Source) -> None:
    if isinstance(statement, ast.Import | ast.ImportFrom) or _is_docstring(statement) or _is_guard(statement):
        return
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        bound = {statement.name}
    else:
        bound = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and _is_store(node)}
        if not bound and all(isinstance(node, ast.Import | ast.ImportFrom) for node in getattr(statement, "body", [0])):
            return  # imports in `try` or `if`
    for name in bound:
        source.definitions.setdefault(name, Code()).add(statement)
    if not bound:
        source.effects.add(statement)


def _imports(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield all imports in a module, including those in functions."""
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        for statement in getattr(node, name, ()):
            if isinstance(statement, ast.Import | ast.ImportFrom):
                yield statement
            else:
                yield from _imports(statement)


def _bindings(node: ast.Import | ast.ImportFrom, path: Path) -> Iterator[tuple[str, str]]:
    """Yield the local name and the target of each name that an import binds."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield (alias.asname, alias.name) if alias.asname else (alias.name.split(".")[0],) * 2
        return
    base = node.module or ""
    if node.level:
        parts = path.parts[path.parts.index(LIBRARY) : len(path.parts) - node.level]
        base = ".".join([*parts, base] if base else parts)
    for alias in node.names:
        yield alias.asname or alias.name, f"{base}.{alias.name}"


def _collect(node: ast.AST, code: Code, in_function: bool) -> None:
    """Add a syntax tree without positions, docstrings, and annotations that have no effect."""
    is_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    chain = _chain(node)
    if chain:
        code.names.add(chain)
        code.words += [chain, node.ctx.__class__.__name__]  # type: ignore[attr-defined]
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and _FILE_NAME.fullmatch(node.value):
        code.files.add(node.value)
    code.words.append(node.__class__.__name__)
    for name in node._fields:
        value = getattr(node, name, None)
        if value is None or value == [] or name in _NOT_EVALUATED:
            continue
        if name == "annotation" and (in_function or isinstance(node, ast.arg)):
            continue
        code.words.append(name)
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, ast.AST):
                code.words.append(repr(item))
            elif not (name == "body" and _is_docstring(item)):
                if name == "annotation" and isinstance(item, ast.Constant) and isinstance(item.value, str):
                    item = ast.parse(item.value, mode="eval").body
                _collect(item, code, in_function or is_function)


def _chain(node: ast.AST) -> str:
    """Return the dotted name of an expression such as `a.b.c`; empty for any other expression."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _is_store(node: ast.Name) -> bool:
    return isinstance(node.ctx, ast.Store)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_guard(node: ast.stmt) -> bool:
    """Whether a statement is for type checkers only, or runs only in the main program."""
    if not isinstance(node, ast.If):
        return False
    test = ast.unparse(node.test)
    return test in {"TYPE_CHECKING", "typing.TYPE_CHECKING"} or test.startswith("__name__ ==")


def _data(files: set[Path], named: set[str], root: Path) -> list[Path]:
    found: list[Path] = []
    for folder in sorted({file.parent for file in files if file.parts[0] == LIBRARY}):
        for path in _data_files(root / folder):
            if path.name in named or path.name not in _file_names(root / Path(*folder.parts[:2])):
                found.append(path.relative_to(root))
    known = {path.name for path in found}
    for path in found:  # `found` grows by files that its own files name, such as a parent template
        for other in _data_files((root / path).parent):
            if other.name not in known and other.name.encode() in (root / path).read_bytes():
                known.add(other.name)
                found.append(other.relative_to(root))
    return sorted(found)


def _data_files(folder: Path) -> list[Path]:
    """Return the non-Python files of a package and of its subfolders without Python; hidden files excluded."""
    found: list[Path] = []
    for path in sorted(folder.iterdir()):
        if path.name.startswith((".", "__pycache__")) or path.name == "py.typed":
            continue
        if path.is_dir():
            if not (path / "__init__.py").exists() and not any(path.rglob("*.py")):
                found += _data_files(path)
        elif path.suffix not in {".py", ".pyi"} | COMPILED:
            found.append(path)
    return found


@cache
def _file_names(package: Path) -> frozenset[str]:
    """Return the file names in the code of a package, and the data files that other data files name."""
    if package.suffix == ".py":
        return frozenset()
    names: set[str] = set()
    data: list[Path] = []
    for folder in (
        package,
        *(path for path in package.rglob("*") if path.is_dir() and (path / "__init__.py").exists()),
    ):
        data += _data_files(folder)
        for path in folder.glob("*.py"):
            source = _source(path)
            for code in (source.effects, *source.definitions.values()):
                names |= code.files
    texts = [path.read_bytes() for path in data]
    return frozenset(names | {path.name for path in data if any(path.name.encode() in text for text in texts)})


@cache
def _pinned(lock: Path) -> dict[str, tuple[str, str]]:
    """Return distribution and version of each pin in a lock file, by normalised name; empty if the file is missing."""
    lines = lock.read_text(encoding="utf-8").splitlines() if lock.is_file() else []
    pins = (re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*])?==([^\s;]+)", line) for line in lines)
    return {_normal(pin[1]): (pin[1], pin[2]) for pin in pins if pin}


def _normal(name: str) -> str:
    """Return the name of a distribution as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
