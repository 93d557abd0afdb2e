"""The digest of a stage's code."""

import ast
import shutil
import sys
from pathlib import Path

import pytest

from twinlib.provenance import code_digest

REPOSITORY = Path(__file__).parents[2]
PROGRAMS = sorted(path.relative_to(REPOSITORY) for path in (REPOSITORY / "scripts").glob("*.py"))

X = """
import os
import torch.nn as nn
from twinlib.y import double, z

LIMIT = 3


def one(value: int) -> int:
    '''Return one.'''
    return z.two(value) + LIMIT  # why


def unused() -> None:
    nn.Linear(1, 1)
"""
Z = """
import numpy as np
import scipy


class Base:
    def run(self):
        return 1


class Derived(Base):
    size: int = 1


def two(value):
    return np.add(value, 1)


def other():
    return scipy.signal.firwin(3)


def page():
    return "page.html"
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {
        "scripts/a.py": "from twinlib.x import one\nif __name__ == '__main__':\n    one(1)\n",
        "scripts/b.py": "def later():\n    from twinlib.y import Derived\n    return Derived\nlater()\n",
        "scripts/c.py": "from twinlib.y.z import page\nfrom twinlib import progress\nprogress.bar(page())\n",
        "twinlib/__init__.py": "",
        "twinlib/x.py": X,
        "twinlib/y/__init__.py": "import lazy_loader\n__getattr__ = lazy_loader.attach_stub(__name__, __file__)[0]\n",
        "twinlib/y/__init__.pyi": "from .z import Derived as Derived\nfrom .z import two as double\n",
        "twinlib/y/z.py": Z,
        "twinlib/y/data/notes.txt": "for everybody\n",
        "twinlib/y/page.html": "{% extends 'base.html' %}\n",
        "twinlib/y/base.html": "<html>\n",
        "twinlib/other.py": "three = 3\n",
        "twinlib/progress.py": "import tqdm\ndef bar(value):\n    return tqdm.tqdm(value)\n",
        "requirements.lock": "# pins\nnumpy==2.0\nPyYAML==6.0.3\nscipy==1.1;os_name != 'x'\ntorch[x]==2.13.0\ntqdm==4",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def digests(project: Path) -> list[str]:
    code_digest.clear_caches()
    return [code_digest.digest(Path(f"scripts/{name}.py"), project) for name in "abc"]


def changed(project: Path, file: str, *edit: str) -> str:
    """Return the programs whose digest changes with an edit: a new text of a file, or a part and its replacement."""
    before = digests(project)
    path = project / file
    path.parent.mkdir(exist_ok=True)
    if len(edit) == 2:
        assert edit[0] in path.read_text()
    path.write_text(path.read_text().replace(*edit) if len(edit) == 2 else edit[0])
    return "".join(name for name, old, new in zip("abc", before, digests(project), strict=True) if old != new)


@pytest.mark.parametrize(
    ("file", "edit", "programs"),
    [
        ("twinlib/y/z.py", ("np.add(value, 1)", "np.add(value, 2)"), "a"),
        ("twinlib/y/z.py", ("value, 1)", "value, '1')"), "a"),
        ("twinlib/y/z.py", ("return 1", "return 2"), "b"),
        ("twinlib/y/z.py", ("size: int", "size: float"), "b"),
        ("twinlib/y/z.py", ("firwin(3)", "firwin(4)"), ""),
        ("twinlib/y/z.py", ("import scipy\n", "import scipy\nscipy.setup()\n"), "abc"),
        ("twinlib/y/__init__.py", ("import lazy_loader", "import lazy_loader\nlazy_loader.setup()"), "abc"),
        ("twinlib/y/z.py", ("def other():", "@two\ndef other():"), ""),
        ("twinlib/x.py", ("LIMIT = 3", "LIMIT = 4"), "a"),
        ("twinlib/x.py", ("# why", "# because"), ""),
        ("twinlib/x.py", ("Return one.", "Return two."), ""),
        ("twinlib/x.py", ("value: int", "value: float"), ""),
        ("twinlib/x.py", ("z.two(value)", "double(value)"), "a"),
        ("twinlib/x.py", ("nn.Linear(1, 1)", "nn.Linear(1, 2)"), ""),
        ("twinlib/y/__init__.pyi", ("Derived as Derived", "Base as Derived"), "b"),
        ("twinlib/other.py", ("three = 4\n",), ""),
        ("twinlib/progress.py", ("tqdm.tqdm(value)", "value"), ""),
        ("scripts/b.py", ("later()\n", "later()\nlater()\n"), "b"),
        ("twinlib/y/page.html", ("{%", "<p>{%"), "c"),
        ("twinlib/y/base.html", ("<html>", "<html lang='en'>"), "c"),
        ("twinlib/y/data/notes.txt", ("everybody", "all"), "abc"),
        ("twinlib/y/new.css", ("a {}\n",), "abc"),
        ("twinlib/y/.page.html.swp", ("x",), ""),
        ("twinlib/y/__pycache__/z.pyc", ("x",), ""),
        ("requirements.lock", ("tqdm==4", "tqdm==5"), ""),
        ("requirements.lock", ("numpy==2.0", "numpy==2.1"), "a"),
        ("requirements.lock", ("torch[x]==2.13.0", "torch==2.14.1"), ""),
        ("requirements.lock", ("scipy==1.1", "scipy==1.2"), ""),
    ],
)
def test_only_reached_code_changes_the_digest(project: Path, file: str, edit: tuple[str, ...], programs: str) -> None:
    assert changed(project, file, *edit) == programs


def test_moving_code_to_another_module_keeps_the_digest(project: Path) -> None:
    before = digests(project)
    moved = "def two(value):\n    return np.add(value, 1)\n"
    z, x, stub = (project / "twinlib" / name for name in ("y/z.py", "x.py", "y/__init__.pyi"))
    z.write_text(z.read_text().replace(moved, ""))
    (project / "twinlib/y/new.py").write_text("import numpy as np\n\n\n" + moved)
    x.write_text(x.read_text().replace("import double, z", "import double").replace("z.two(", "two("))
    x.write_text(x.read_text().replace("import os\n", "import os\nfrom twinlib.y.new import two\n"))
    stub.write_text(stub.read_text().replace("from .z import two", "from twinlib.y.new import two"))
    after = digests(project)
    assert after[1:] == before[1:]
    # The call itself has changed.
    x.write_text(x.read_text().replace("import two\n", "import two\nfrom twinlib.y import new as z\n"))
    x.write_text(x.read_text().replace("return two(", "return z.two("))
    assert digests(project) == before


def test_an_import_of_another_function_of_the_same_name_counts(project: Path) -> None:
    (project / "twinlib/w.py").write_text("def one(value):\n    return value\n")
    assert changed(project, "scripts/a.py", "from twinlib.x", "from twinlib.w") == "a"


def test_the_files_of_a_program_are_those_of_reached_code(project: Path) -> None:
    code_digest.clear_caches()
    names = [path.as_posix() for path in code_digest.reached(Path("scripts/a.py"), project).files]
    assert names == [
        "scripts/a.py",
        "twinlib/__init__.py",
        "twinlib/x.py",
        "twinlib/y/__init__.py",
        "twinlib/y/data/notes.txt",
        "twinlib/y/z.py",
    ]


def test_packages_are_the_pinned_packages_of_reached_code(project: Path) -> None:
    code_digest.clear_caches()
    assert code_digest.packages(Path("scripts/a.py"), project) == {"numpy": "2.0"}
    assert code_digest.packages(project / "scripts/b.py", project) == {}
    (project / "scripts/b.py").write_text(
        "def later():\n    import yaml, scipy.signal, torch\n    yaml, scipy, torch\n"
    )
    code_digest.clear_caches()
    assert code_digest.packages(Path("scripts/b.py"), project) == {"PyYAML": "6.0.3", "scipy": "1.1", "torch": "2.13.0"}
    (project / "requirements.lock").unlink()
    code_digest.clear_caches()
    assert code_digest.packages(Path("scripts/b.py"), project) == {}


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_every_required_package_is_pinned(program: Path) -> None:
    pinned = {name.lower() for name in code_digest.packages(program, REPOSITORY)}
    for name in code_digest.reached(program, REPOSITORY).packages - set(sys.stdlib_module_names) - {"visqol"}:
        assert code_digest.DISTRIBUTIONS.get(name, name).lower() in pinned


def test_a_data_file_is_not_read_as_python(project: Path) -> None:
    before = digests(project)
    (project / "twinlib/y/data/notes.txt").write_bytes(b"\xff\x00 not { even text")
    assert digests(project) != before


def test_a_copy_in_another_folder_has_the_same_digest(project: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    copy = tmp_path_factory.mktemp("copy") / "p"
    shutil.copytree(project, copy)
    assert digests(project) == digests(copy)


def test_the_library_has_no_code_that_the_digest_cannot_follow() -> None:
    """No import by a computed name, no relative import and no `*` import."""
    for path in sorted((REPOSITORY / "twinlib").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert not node.level, f"{path}: relative import"
                assert all(alias.name != "*" for alias in node.names), f"{path}: * import"
            called = node.func if isinstance(node, ast.Call) else None
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            assert name not in {"import_module", "__import__", "globals"}, f"{path}: dynamic import"
