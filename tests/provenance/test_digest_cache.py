"""The cache of code digests: equal to the analysis, and expendable."""

import json
from pathlib import Path

import pytest

from twinlib.provenance import code_digest, digest_cache

PROGRAM = Path("scripts/a.py")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {
        "scripts/a.py": "import numpy\nfrom twinlib.x import one\none(numpy)\n",
        "twinlib/__init__.py": "",
        "twinlib/x.py": "def one(value):\n    return value\n",
        "requirements.lock": "numpy==2.0\n",
    }
    for name, text in files.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "project"


def analyse(project: Path, cache: Path) -> digest_cache.StageCode:
    digest_cache.clear_caches()
    return digest_cache.stage_code(PROGRAM, project, cache)


def forbid_analysis(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("analysed again")

    monkeypatch.setattr(code_digest, "digest", fail)


def test_a_second_process_reads_the_digest(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = analyse(project, tmp_path / "cache")
    assert first == digest_cache.StageCode(code_digest.digest(PROGRAM, project), {"numpy": "2.0"})
    forbid_analysis(monkeypatch)
    assert analyse(project, tmp_path / "cache") == first
    assert digest_cache.stage_code(project / PROGRAM, project, tmp_path / "cache") == first


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("twinlib/x.py", "def one(value):\n    return 1\n"),
        ("twinlib/new.txt", "data\n"),
        ("scripts/a.py", "from twinlib.x import one\none(2)\n"),
        ("requirements.lock", "numpy==2.1\n"),
    ],
)
def test_an_edit_is_analysed(project: Path, tmp_path: Path, name: str, text: str) -> None:
    first = analyse(project, tmp_path / "cache")
    (project / name).write_text(text)
    second = analyse(project, tmp_path / "cache")
    assert second.digest == code_digest.digest(PROGRAM, project)
    assert second != first


@pytest.mark.parametrize(
    "content", ["", "[]", '{"scripts/a.py": 1}', '{"scripts/a.py": {"digest": 1, "packages": {}}}']
)
def test_a_damaged_cache_is_ignored(project: Path, tmp_path: Path, content: str) -> None:
    first = analyse(project, tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    file.write_text(content)
    assert analyse(project, tmp_path / "cache") == first
    assert json.loads(file.read_text())["scripts/a.py"]["digest"] == first.digest


def test_a_checkout_without_a_lock_file_has_no_packages(project: Path, tmp_path: Path) -> None:
    (project / "requirements.lock").unlink()
    assert analyse(project, tmp_path / "cache").packages == {}


def test_a_file_that_vanishes_is_left_out(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest_cache.clear_caches()
    expected = digest_cache.content_key(project)
    files = [*digest_cache._files(project), project / "twinlib" / ".x.py.swp"]
    monkeypatch.setattr(digest_cache, "_files", lambda _: files)
    digest_cache.clear_caches()
    assert digest_cache.content_key(project) == expected


def test_an_unwritable_cache_is_ignored(project: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("not a folder")
    assert analyse(project, tmp_path / "cache").packages == {"numpy": "2.0"}


def test_old_checkouts_leave_the_cache(project: Path, tmp_path: Path) -> None:
    for number in range(digest_cache.MAX_FILES + 3):
        (project / "twinlib/x.py").write_text(f"def one(value):\n    return {number}\n")
        last = analyse(project, tmp_path / "cache")
    files = list((tmp_path / "cache").iterdir())
    assert len(files) == digest_cache.MAX_FILES
    assert last.digest in "".join(file.read_text() for file in files)
