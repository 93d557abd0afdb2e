"""The digest of a stage's code."""

import ast
import sys
from pathlib import Path

import pytest

from twinlib.provenance import code_digest

REPOSITORY = Path(__file__).parents[2]
PROGRAMS = sorted(path.relative_to(REPOSITORY) for path in (REPOSITORY / "scripts").glob("*.py"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {
        "scripts/a.py": "from twinlib.x import one\n",
        "scripts/b.py": "def later():\n    from twinlib.y.z import two\n",
        "twinlib/__init__.py": "",
        "twinlib/x.py": "import os\nimport torch.nn as nn\nfrom twinlib.y import z\none = 1\n",
        "twinlib/y/__init__.py": "",
        "twinlib/y/z.py": '"""Two."""\nimport numpy as np\ntwo = 2  # why\n',
        "twinlib/other.py": "three = 3\n",
        "twinlib/progress.py": "import twinlib.other, tqdm, yaml\n",
        "twinlib/y/page.js": "play();\n",
        "twinlib/w/__init__.py": "",
        "twinlib/w/page.js": "play();\n",
        "requirements.lock": "# pins\nnumpy==2.0\nPyYAML==6.0.3\nscipy==1.1;os_name != 'x'\ntorch[x]==2.13.0\ntqdm==4",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def both(project: Path) -> tuple[str, str]:
    code_digest.counted.cache_clear()
    code_digest._followed.cache_clear()
    code_digest._module.cache_clear()
    code_digest._pinned.cache_clear()
    return code_digest.digest(Path("scripts/a.py"), project), code_digest.digest(Path("scripts/b.py"), project)


def test_the_closure_follows_imports_wherever_they_stand(project: Path) -> None:
    names = [path.as_posix() for path in code_digest.closure(Path("scripts/a.py"), project)]
    assert names == [
        "scripts/a.py",
        "twinlib/__init__.py",
        "twinlib/x.py",
        "twinlib/y/__init__.py",
        "twinlib/y/page.js",
        "twinlib/y/z.py",
    ]
    assert Path("twinlib/y/z.py") in code_digest.closure(Path("scripts/b.py"), project)


@pytest.mark.parametrize(
    ("file", "text", "changes"),
    [
        ("twinlib/y/z.py", "import numpy as np\ntwo = 3\n", (True, True)),
        ("twinlib/x.py", "import os\nimport torch.nn as nn\nfrom twinlib.y import z\none = 2\n", (True, False)),
        ("twinlib/y/z.py", '"""Another docstring."""\n\n\nimport numpy as np\ntwo = 2\n', (False, False)),
        ("twinlib/y/z.py", "import numpy as np\ntwo = '2'\n", (True, True)),
        ("twinlib/y/z.py", "if True:\n    import numpy as np\ntwo = 2\n", (True, True)),
        ("requirements.lock", "numpy==2.0\ntorch==2.13.0\n", (False, False)),
        ("requirements.lock", "numpy==2.1\ntorch==2.13.0\n", (True, True)),
        ("requirements.lock", "numpy==2.0\ntorch==2.13.1\n", (True, False)),
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


def test_packages_are_what_is_imported_as_it_is_pinned(project: Path) -> None:
    both(project)
    assert code_digest.packages(Path("scripts/a.py"), project) == {"numpy": "2.0", "torch": "2.13.0"}
    assert code_digest.packages(project / "scripts/b.py", project) == {"numpy": "2.0"}
    (project / "scripts/b.py").write_text("def later():\n    import yaml, scipy.signal, torch\n")
    both(project)
    assert code_digest.packages(Path("scripts/b.py"), project) == {"PyYAML": "6.0.3", "scipy": "1.1", "torch": "2.13.0"}
    (project / "requirements.lock").unlink()
    both(project)
    assert code_digest.packages(Path("scripts/b.py"), project) == {}


@pytest.mark.parametrize("program", PROGRAMS, ids=str)
def test_every_package_that_the_library_imports_is_pinned_unless_it_is_optional(program: Path) -> None:
    pinned = set(code_digest.packages(program, REPOSITORY))
    for path in (path for path in code_digest.closure(program, REPOSITORY) if path.suffix == ".py"):
        watching = path.as_posix().startswith(
            (*code_digest.OBSERVERS, *code_digest.WATCHED.get(program.as_posix(), ()))
        )
        for name in code_digest._module(REPOSITORY / path).imports:
            top = name.split(".")[0]
            if not watching and top not in sys.stdlib_module_names and top not in ("twinlib", "visqol"):
                assert code_digest.DISTRIBUTIONS.get(top, top).lower() in {one.lower() for one in pinned}, (
                    f"{path}: {name}"
                )


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
    for path in (path for path in code_digest.closure(program, REPOSITORY) if path.suffix == ".py"):
        for node in ast.walk(ast.parse((REPOSITORY / path).read_text())):
            assert not (isinstance(node, ast.ImportFrom) and node.level > 0), f"{path}: relative import"
            name = node.func if isinstance(node, ast.Call) else None
            called = name.attr if isinstance(name, ast.Attribute) else getattr(name, "id", "")
            assert called not in {"import_module", "__import__"}, f"{path}: dynamic import"
