"""What runs again after which change: executes every row of reruns.yaml."""

import ast
import importlib.util
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.workflow.project import REPOSITORY, SEARCHED, TINY, Project, takes_config
from twinlib.config import Config

pytestmark = pytest.mark.slow

ABSENT = {"recorded": {"simulate_take", "log_run"}, "waiting": {"simulate_take", "log_run"}}
"""Stages that a project of the table does not have."""

CONFIGS = {"small": TINY, "searched": SEARCHED, "recorded": takes_config(), "waiting": takes_config()}


spec = importlib.util.spec_from_file_location("reference", REPOSITORY / "workflow" / "reference.py")
assert spec is not None
assert spec.loader is not None
reference = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reference)

RERUNS: dict[str, Any] = yaml.safe_load((REPOSITORY / "tests" / "workflow" / "reruns.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Row:
    """An example of a row of the tables; `steps` are executed in order."""

    change: str
    project: str
    steps: tuple[str, ...]
    made: frozenset[str]
    stops: str | None = None


def rows() -> list[Row]:
    return [
        Row(row["change"], row["project"], tuple(steps), stages(row.get("made", [])), row.get("stops"))
        for table in RERUNS["tables"].values()
        for row in table
        for steps in row["tries"]
    ]


def stages(names: list[str]) -> frozenset[str]:
    """Replace the names of groups by their stages."""
    found: set[str] = set()
    for name in names:
        found |= stages(RERUNS["groups"][name]) if name in RERUNS["groups"] else {name}
    return frozenset(found)


def keys(schema: dict[str, Any], section: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """All keys of the configuration, with X in place of a name and * in place of a list index."""
    if "$ref" in section:
        section = schema["$defs"][section["$ref"].rsplit("/", 1)[1]]
    options = [one for word in ("anyOf", "oneOf") for one in section.get(word, []) if one.get("type") != "null"]
    nested = [*section.get("patternProperties", {}).values(), section.get("additionalProperties")]
    below = [one for one in nested if isinstance(one, dict) and "$ref" in one]
    if "properties" in section:
        for name, part in section["properties"].items():
            yield from keys(schema, part, f"{prefix}.{name}" if prefix else name)
    elif any({"$ref", "items", "oneOf"} & one.keys() for one in options):
        for one in options:
            yield from keys(schema, one, prefix)
    elif below:
        yield from keys(schema, below[0], f"{prefix}.X")
    elif "$ref" in section.get("items", {}):
        yield from keys(schema, section["items"], f"{prefix}.*")
    else:
        yield prefix


def test_every_key_of_the_configuration_has_a_row_and_every_row_a_key() -> None:
    schema = json.loads((REPOSITORY / "config" / "config.schema.json").read_text())
    assert schema["$defs"] == Config.model_json_schema()["$defs"], "make reference"
    known = sorted(set(keys(schema, schema)))
    assert {"corpus.root", "devices.X.simulate.recorder.drift_ppm", "experiments.*.warm_start"} <= set(known)
    assert {"results", "excitations.X.split.salt", "search.X.space.batch", "training.steps"} <= set(known)
    patterns = {key for row in rows() for key in re.findall(r"`([^` ]+)`", row.change)}
    exact = {pattern for pattern in patterns if pattern in known}
    wild = {pattern for pattern in patterns - exact if any(fnmatchcase(key, pattern) for key in known)}
    assert patterns == exact | wild, "a row names an unknown key"
    assert [key for key in known if key not in exact and not any(fnmatchcase(key, one) for one in wild)] == []


def test_the_readme_is_generated_from_these_tables() -> None:
    text = reference.README.read_text(encoding="utf-8")
    assert text == text.split(reference.MARK)[0] + reference.MARK + reference.reference(), "run `make reference`"


def test_every_stage_is_in_the_tables() -> None:
    named = {stage for row in rows() for stage in row.made}
    rules = {
        name
        for path in (REPOSITORY / "workflow" / "rules").glob("*.smk")
        for name in re.findall(r"^rule (\w+):", path.read_text(), re.MULTILINE)
    }
    assert named == rules


@pytest.fixture(scope="module")
def projects(request: pytest.FixtureRequest) -> dict[str, Project]:
    """The finished projects by their names in the tables."""
    first, waiting = request.getfixturevalue("first"), request.getfixturevalue("waiting")
    found = {"small": first[0], "waiting": waiting[0], "recorded": request.getfixturevalue("recorded")}
    try:
        return {**found, "searched": request.getfixturevalue("searched")}
    except pytest.skip.Exception:
        return found


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An editable copy of the repository."""
    folder = tmp_path_factory.mktemp("checkout") / "repository"
    for name in ("workflow", "scripts", "twinlib"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "README.md"))
    shutil.copy(REPOSITORY / "requirements.lock", folder)
    return folder


def set_key(content: dict[str, Any], step: str) -> None:
    """Set a key of the configuration, given as `section.key: value`."""
    path, value = step.split(": ", 1)
    *parents, key = path.split(".")
    for name in parents:
        content = content.setdefault(name, {})
    content[key] = yaml.safe_load(value)


def with_every_definition_edited(text: str) -> str:
    """Add a statement to each function and class of a module."""
    tree = ast.parse(text)
    for node in [tree, *tree.body]:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
            node.body.append(ast.parse("edited = True").body[0])
    return ast.unparse(ast.fix_missing_locations(tree))


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row.project}: {' and '.join(row.steps)[:80]}")
def test_a_change_reruns_what_the_table_says(
    row: Row, projects: dict[str, Project], checkout: Path, tmp_path: Path
) -> None:
    if row.project not in projects:
        pytest.skip("optuna is not installed")
    project = projects[row.project].copy(tmp_path / "project", metadata=True)
    content: dict[str, Any] = yaml.safe_load(yaml.safe_dump(CONFIGS[row.project]))
    edited: dict[Path, str] = {}
    try:
        for step in row.steps:
            if re.match(r"[a-z_.A-Z]+: ", step):
                set_key(content, step)
                project.write(content)
                continue
            if not re.match(r"(twinlib|scripts)/\S+$|[a-z]+==", step):
                subprocess.run(["bash", "-euc", step], cwd=project.folder, check=True)
                continue
            path = checkout / ("requirements.lock" if "==" in step else step)
            before = path.read_text()
            edited.setdefault(path, before)
            if "==" in step:
                name = step.split("==")[0]
                text, count = re.subn(rf"^{name}==.*$", step, before, flags=re.MULTILINE)
                assert count == 1, f"{name} is not in the lock file"
            else:
                text = with_every_definition_edited(before)
            path.write_text(text)
        if not project.folder.exists():
            (moved,) = tmp_path.iterdir()
            project = Project(moved)
        if edited:
            project = Project(project.folder, checkout)
        shown = project.dry()
    finally:
        for path, text in edited.items():
            path.write_text(text)
    assert "Traceback" not in shown.text
    if row.stops:
        assert shown.code == 1
        assert row.stops in shown.text
    else:
        assert shown.code == 0, shown.text
        assert set(shown.rules) == row.made - ABSENT.get(row.project, set())
