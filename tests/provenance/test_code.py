"""The digest of a stage's code."""

import ast
from pathlib import Path

import pytest

from twinlib.provenance import code

REPOSITORY = Path(__file__).parents[2]
PROGRAMS = sorted(path.relative_to(REPOSITORY) for path in (REPOSITORY / "scripts").glob("*.py"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {
        "scripts/a.py": "from twinlib.x import one\n",
        "scripts/b.py": "def later():\n    from twinlib.y.z import two\n",
        "twinlib/__init__.py": "",
        "twinlib/x.py": "from twinlib.y import z\none = 1\n",
        "twinlib/y/__init__.py": "",
        "twinlib/y/z.py": '"""Two."""\ntwo = 2  # why\n',
        "twinlib/other.py": "three = 3\n",
        "twinlib/progress.py": "import twinlib.other\n",
        "twinlib/y/page.js": "play();\n",
        "twinlib/w/__init__.py": "",
        "twinlib/w/page.js": "play();\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def both(project: Path) -> tuple[str, str]:
    code._imports.cache_clear()
    code._meaning.cache_clear()
    return code.digest(Path("scripts/a.py"), project), code.digest(Path("scripts/b.py"), project)


def test_the_closure_follows_imports_wherever_they_stand(project: Path) -> None:
    names = [path.as_posix() for path in code.closure(Path("scripts/a.py"), project)]
    assert names == [
        "scripts/a.py",
        "twinlib/__init__.py",
        "twinlib/x.py",
        "twinlib/y/__init__.py",
        "twinlib/y/page.js",
        "twinlib/y/z.py",
    ]
    assert Path("twinlib/y/z.py") in code.closure(Path("scripts/b.py"), project)


@pytest.mark.parametrize(
    ("file", "text", "changes"),
    [
        ("twinlib/y/z.py", "two = 3\n", (True, True)),
        ("twinlib/x.py", "from twinlib.y import z\none = 2\n", (True, False)),
        ("twinlib/y/z.py", '"""Another docstring."""\n\n\ntwo = 2\n', (False, False)),
        ("twinlib/other.py", "three = 4\n", (False, False)),
        ("scripts/b.py", "from twinlib.y.z import two\n", (False, True)),
        ("twinlib/y/page.js", "play(); // now\n", (True, True)),
        ("twinlib/y/new.css", "a {}\n", (True, True)),
        ("twinlib/w/page.js", "pause();\n", (False, False)),
        ("twinlib/y/.page.js.swp", "x", (False, False)),
        ("twinlib/y/__pycache__/z.pyc", "x", (False, False)),
    ],
)
def test_only_the_code_that_a_program_runs_counts(
    project: Path, file: str, text: str, changes: tuple[bool, bool]
) -> None:
    before = both(project)
    (project / file).parent.mkdir(exist_ok=True)
    (project / file).write_text(text)
    after = both(project)
    assert tuple(x != y for x, y in zip(before, after, strict=True)) == changes


def test_a_page_is_not_read_as_python(project: Path) -> None:
    before = both(project)
    (project / "twinlib/y/page.js").write_bytes(b"\xff\x00 not { even text")
    assert both(project) != before


def test_a_copy_elsewhere_has_the_same_digest(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    import shutil

    copy = tmp_path_factory.mktemp("copy") / "p"
    shutil.copytree(project, copy)
    assert both(project) == both(copy)


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_the_library_has_no_import_that_the_closure_cannot_see(program: Path) -> None:
    for path in (path for path in code.closure(program, REPOSITORY) if path.suffix == ".py"):
        for node in ast.walk(ast.parse((REPOSITORY / path).read_text())):
            assert not (isinstance(node, ast.ImportFrom) and node.level > 0), f"{path}: relative import"
            name = node.func if isinstance(node, ast.Call) else None
            called = name.attr if isinstance(name, ast.Attribute) else getattr(name, "id", "")
            assert called not in {"import_module", "__import__"}, f"{path}: dynamic import"
