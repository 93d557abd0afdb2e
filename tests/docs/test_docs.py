"""The documentation: it builds without a warning, its examples work, and its generated pages are complete."""

import contextlib
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs import reference
from tests.cli.harness import late, wav
from tests.finding_codes import used_codes
from tests.model.factories import make_twin
from tests.workflow.project import forked_python, noise
from twinlib.cli import make_parser
from twinlib.config import parse_config
from twinlib.model.architecture import Architecture
from twinlib.schemas import JSON
from twinlib.table_schemas import TABLES

REPOSITORY = Path(__file__).parents[2]
PAGES = sorted(
    path.relative_to(REPOSITORY).as_posix()
    for pattern in ("*.md", "*/README.md", "docs/**/*.md")
    for path in REPOSITORY.glob(pattern)
    if not path.relative_to(REPOSITORY).parts[0].startswith(".")
)
BLOCK = re.compile(r"(?P<mark><!-- tested -->\n)?^```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)

BASE: dict[str, Any] = {
    "corpus": {"root": "music"},
    "excitations": {"main": {"seed": 1, "slices": 10000}},
    "devices": {"silk": {"excitation": "main", "takes": "recordings/{reel}.wav"}},
}
"""What an example of a configuration may leave out."""


def blocks(kind: str) -> list[tuple[str, str, bool]]:
    """Page, text and mark of the fenced blocks of a kind."""
    found = []
    for page in PAGES:
        for block in BLOCK.finditer((REPOSITORY / page).read_text(encoding="utf-8")):
            if block["kind"] == kind:
                found.append((page, block["text"], bool(block["mark"])))
    return found


def commands() -> Iterator[tuple[str, list[str]]]:
    """The words of all commands in code on the pages: lines of blocks, and inline code."""
    for page in PAGES:
        text = (REPOSITORY / page).read_text(encoding="utf-8").replace("\\\n", " ")
        lines = [line for block in BLOCK.finditer(text) if block["kind"] in ("console", "bash") for line in
                 block["text"].splitlines()]  # fmt: skip
        lines += re.findall(r"^    (\S.*)$", text, re.MULTILINE)
        lines += re.findall(r"`([^`\n]+)`", text)
        for line in lines:
            with contextlib.suppress(ValueError):
                yield page, shlex.split(line.replace(".venv/bin/", ""), comments=True)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return folder


def test_the_site_is_complete_and_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = {path.relative_to(site).with_suffix(".md").as_posix() for path in site.rglob("*.html")} - {"404.md"}
    own = {path.removeprefix("docs/") for path in PAGES if path.startswith("docs/")}
    generated = {name for name in reference.generated_pages() if name.endswith(".md")}
    assert pages == own | generated | set(reference.READMES.values())
    for path in site.rglob("*.html"):
        assert not re.search(r"""(src|<link[^>]*href)=["']?https?:""", path.read_text(encoding="utf-8")), path


def test_the_reference_has_every_code_column_key_and_command() -> None:
    pages = reference.generated_pages()
    for package in reference.FINDINGS:
        folder = REPOSITORY / "twinlib" / package
        modules = folder.rglob("*.py") if package != "audit" else [folder / "verify.py"]
        missing = {code for code in used_codes(modules) if f"| `{code}` |" not in pages["reference/findings.md"]}
        assert not missing
    assert re.search(
        r"\| `low-level` \| suspect \| the peak is only \*peak dbfs\* dBFS", pages["reference/findings.md"]
    )
    assert "{" not in pages["reference/findings.md"]
    for contract in {*JSON, *TABLES}:
        assert f"### `{contract}`\n" in pages["reference/files.md"]
    assert all(column.meaning for columns in TABLES.values() for column in columns.values())
    for words in (["align"], ["audit", "withdraw"], ["render"]):
        assert f"## `twin {' '.join(words)}`" in pages["reference/commands.md"]


def test_the_picture_of_the_house_has_no_import_against_the_flow() -> None:
    picture = reference.house()
    names = re.findall(r'text-anchor="end">(\w+)<', picture)
    imports = re.findall(r"<title>(\w+) imports (\w+)</title>", picture)
    assert ("alignment", "estimation") in imports
    assert all(names.index(row) > names.index(column) for row, column in imports)


def test_commands_of_all_pages_exist(capsys: pytest.CaptureFixture[str]) -> None:
    targets = set(re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    parser, seen = make_parser(), 0
    for page, words in commands():
        if words[:1] == ["make"] and len(words) > 1:
            assert words[1] in targets, page
        # A name without arguments stands for the command, such as `twin audit trace`.
        if words[:1] == ["twin"] and len(words) > (3 if "audit" in words else 2):
            seen += 1
            with contextlib.suppress(SystemExit):
                parser.parse_args(words[1:])
            assert "error:" not in capsys.readouterr().err, f"{page}: {shlex.join(words)}"
    assert seen > 20


@pytest.mark.parametrize(
    ("page", "text"), [(page, text) for page, text, _ in blocks("yaml") if page != "CONTRIBUTING.md"]
)
def test_examples_of_the_configuration_are_valid(page: str, text: str) -> None:
    content = yaml.safe_load(text)
    devices = {name: {**({} if {"pairs", "takes"} & {*device} else BASE["devices"]["silk"]), **device}
               for name, device in content.get("devices", BASE["devices"]).items()}  # fmt: skip
    parse_config({**BASE, **content, "devices": devices}, page)


@pytest.mark.parametrize(("page", "text"), [(page, text) for page, text, tested in blocks("console") if tested])
def test_examples_of_commands_work(page: str, text: str, tmp_path: Path) -> None:
    done = in_folder(tmp_path, ["bash", "-euc", f'twin() {{ "{forked_python()}" -m twinlib.cli "$@"; }}\n{text}'])
    assert done.returncode == 0, done.stderr


def in_folder(folder: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder with the files of the examples."""
    music = noise(8.0, 1)
    wav(folder / "dry.wav", music)
    wav(folder / "wet.wav", -0.5 * late(music, 1234))
    make_twin(Architecture(channels=3, kernel_size=3, dilations=(1, 4)).network).save(folder / "twin.safetensors")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_readme_is_short_and_its_links_exist() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)|src=\"([^\"]+)\"", text)
    assert len(links) > 15
    assert [one or other for one, other in links if not (REPOSITORY / (one or other)).exists()] == []


def test_versions_agree() -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert yaml.safe_load((REPOSITORY / "CITATION.cff").read_text(encoding="utf-8"))["version"] == version
    assert f"\n## {version}" in (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_public_ci_and_the_hooks_run_what_make_lint_runs() -> None:
    public = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    steps = [step.get("run", "") for step in public["jobs"]["test"]["steps"]]
    assert {"bash .ci/run", "make docs"} <= {*steps}
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    lint = makefile[makefile.index("\nlint:") : makefile.index("\nformat:")]
    hooks = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    for hook in hooks:
        program = hook["entry"].split()[0].removeprefix(".venv/bin/")
        assert f"$(BIN)/{program}" in lint
