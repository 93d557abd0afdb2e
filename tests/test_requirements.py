"""The requirements, the extras and the two lock files agree with each other and with what the code imports."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from tests.model.factories import make_twin
from twinlib import audio
from twinlib.cli_runtime import run
from twinlib.errors import ConfigError
from twinlib.extras import EXTRAS, require_modules
from twinlib.model import PRESETS
from twinlib.provenance.code_digest import DISTRIBUTIONS, reached

REPOSITORY = Path(__file__).parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SEARCH = {"run_search_worker", "select_best_model", "log_search"}
"""Programs of a run with a search."""

OPTIONAL = {"visqol"}
"""Modules that the workflow imports only for optional settings."""


def pins(name: str) -> dict[str, str]:
    """Version by normalised name."""
    lines = (REPOSITORY / name).read_text(encoding="utf-8").splitlines()
    found = [re.match(r"([A-Za-z0-9_.-]+)==([^ ;]+)", line) for line in lines]
    return {normal(pin[1]): pin[2] for pin in found if pin}


def normal(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def requirements(extras: Iterable[str]) -> dict[str, Requirement]:
    """The requirements of an installation with extras, by normalised name; extras that extras name are resolved."""
    todo = [Requirement(text) for text in PROJECT["dependencies"]]
    todo += [Requirement(text) for extra in extras for text in PROJECT["optional-dependencies"][extra]]
    found: dict[str, Requirement] = {}
    while todo:
        one = todo.pop()
        if normal(one.name) == PROJECT["name"]:
            todo += [Requirement(text) for extra in one.extras for text in PROJECT["optional-dependencies"][extra]]
        else:
            found[normal(one.name)] = one
    return found


def third_party(modules: Iterable[str]) -> set[str]:
    return {name for name in modules if name not in sys.stdlib_module_names and name != PROJECT["name"]}


def imported(path: Path) -> set[str]:
    """The modules that a Python file or a file of rules imports anywhere."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return third_party(re.findall(r"^\s*(?:from|import)\s+(\w+)", text, re.MULTILINE))
    nodes = list(ast.walk(ast.parse(text)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return third_party(name.partition(".")[0] for name in names)


def distribution(module: str) -> str:
    return normal(DISTRIBUTIONS.get(module, module))


def test_the_workflow_extra_holds_what_its_programs_and_rules_import() -> None:
    programs = {path.stem: path for path in (REPOSITORY / "scripts").glob("*.py")}
    assert programs.keys() > SEARCH
    needed = {path.stem: third_party(reached(path, REPOSITORY).packages) for path in programs.values()}
    rules = [*(REPOSITORY / "workflow" / "rules").glob("*.smk"), REPOSITORY / "workflow" / "Snakefile"]
    needed |= {path.name: imported(path) for path in rules}
    # The digest of the code passes over these observers of a stage.
    observers = [*(REPOSITORY / "twinlib" / "tracking").glob("*.py"), REPOSITORY / "twinlib" / "run_lock.py"]
    needed |= {path.name: imported(path) for path in observers}
    installed = {name: requirements(["search" if name in SEARCH else "workflow"]).keys() for name in needed}
    missing = {
        name: {module for module in modules - OPTIONAL if distribution(module) not in installed[name]}
        for name, modules in needed.items()
    }
    assert not {name: modules for name, modules in missing.items() if modules}
    assert {"onnx", "mlflow", "matplotlib", "jinja2", "snakemake"} <= set.union(*needed.values())


def test_every_optional_module_has_an_extra_with_its_package() -> None:
    core = requirements([])
    found = set().union(*(imported(path) for path in (REPOSITORY / "twinlib").rglob("*.py")))
    assert {module for module in found if distribution(module) not in core} == EXTRAS.keys() - {"snakemake"}
    for module, extra in EXTRAS.items():
        assert distribution(module) in requirements([extra]), module


def test_the_lock_satisfies_the_requirements() -> None:
    locked, needed = pins("requirements.lock"), requirements(["dev"])
    assert needed.keys() <= locked.keys()
    assert {name: locked[name] for name, one in needed.items() if locked[name] not in one.specifier} == {}


WITHOUT_EXTRAS = """
import json, sys
sys.modules.update(dict.fromkeys(json.loads(sys.argv.pop(1))))
from twinlib.cli import main
main()
"""


def without_extras(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `twin` in a process that cannot import the modules of the extras."""
    command = [sys.executable, "-c", WITHOUT_EXTRAS, json.dumps(sorted(EXTRAS)), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_rendering_needs_no_extra_and_other_commands_name_theirs(tmp_path: Path) -> None:
    make_twin(PRESETS["small"]).save(tmp_path / "twin.safetensors")
    dry = audio.read(REPOSITORY / "config" / "demo_corpus" / first_sound())[:44100, :1]
    audio.write(tmp_path / "dry.wav", dry, 44100, "FLOAT")
    for words in (["--help"], ["render", ".", "dry.wav", "wet.wav"], ["export", ".", "twin.nam"]):
        done = without_extras(tmp_path, *words)
        assert done.returncode == 0, done.stderr
    for words, extra in (
        (["align", "dry.wav", "dry.wav", "--plot", "lag.svg"], "pages"),
        (["export", ".", "twin.onnx"], "export"),
        (["train", "dry.wav", "wet.wav"], "workflow"),
    ):
        done = without_extras(tmp_path, *words)
        assert done.returncode == 1
        assert f"pip install -e '.[{extra}]'" in done.stderr
        assert "Traceback" not in done.stderr


def first_sound() -> str:
    corpus = REPOSITORY / "config" / "demo_corpus"
    return min(path.relative_to(corpus).as_posix() for path in corpus.rglob("*.flac"))


def test_missing_modules_are_named_with_their_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    require_modules("jinja2", "onnx")
    monkeypatch.setattr("twinlib.extras.find_spec", lambda name: None if name in ("onnx", "optuna") else 1)
    with pytest.raises(
        ConfigError, match=re.escape("onnx, optuna are not installed: run `pip install -e '.[export,search]'`")
    ):
        require_modules("optuna", "mlflow", "onnx")


def test_a_missing_requirement_of_the_package_is_no_missing_extra() -> None:
    def main() -> None:
        raise ModuleNotFoundError("No module named 'numpy'", name="numpy")

    with pytest.raises(ModuleNotFoundError):
        run(main)


def test_the_lock_with_hashes_holds_every_pin() -> None:
    locked, hashed = pins("requirements.lock"), pins("requirements-hashed.lock")
    assert {name: hashed.get(name) for name in locked} == locked, "run `make hashes`"


def test_every_entry_has_a_hash() -> None:
    text = (REPOSITORY / "requirements-hashed.lock").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[A-Za-z])", text.split("\n", 1)[1])
    assert len(entries) == len(pins("requirements-hashed.lock")) > 150
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)


def test_the_lock_of_plugins_only_adds_packages() -> None:
    """It has a folder of its own, which must not hide packages of the main lock."""
    known, added, needed = (
        pins("requirements-hashed.lock"),
        pins("requirements-cluster.lock"),
        requirements(["cluster-dev"]),
    )
    assert needed.keys() <= known.keys() | added.keys(), "run `make hashes`"
    assert not added.keys() & known.keys(), "run `make hashes`"
    assert {name for name, pin in added.items() if name in needed and pin not in needed[name].specifier} == set()


def test_the_conda_environment_holds_every_pin() -> None:
    content = yaml.safe_load((REPOSITORY / "workflow/envs/twinlib.yaml").read_text(encoding="utf-8"))
    lines = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if "==" in line]
    assert content["dependencies"] == ["python=3.11", "pip", {"pip": pins}], "run `make reference`"
