"""Write generated files of the workflow.

The rerun tables of workflow/README.md come from tests/workflow/reruns.yaml and from the code of the stages, the conda
environment from requirements.lock.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[1]
sys.path.insert(0, str(REPOSITORY))

from twinlib.provenance import code_digest  # noqa: E402

README = REPOSITORY / "workflow" / "README.md"
RERUNS = REPOSITORY / "tests" / "workflow" / "reruns.yaml"
ENVIRONMENT = REPOSITORY / "workflow" / "envs" / "twinlib.yaml"
MARK = "<!-- `make reference` writes the tables below -->\n"


def read_reruns() -> dict[str, Any]:
    """The groups of stages and the tables of changes."""
    content: dict[str, Any] = yaml.safe_load(RERUNS.read_text(encoding="utf-8"))
    return content


def stages_of_packages() -> dict[str, set[str]]:
    """The stages whose code digest depends on each package or top-level module."""
    rules = "\n".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "workflow/rules").glob("*.smk"))
    programs = [path for path in (REPOSITORY / "scripts").glob("*.py") if f'code("{path.name}")' in rules]
    modules = {path.stem: set(code_digest.reached(path, REPOSITORY).files) for path in programs}
    found: dict[str, set[str]] = {}
    for path in sorted((REPOSITORY / "twinlib").rglob("*.py")):
        name = path.relative_to(REPOSITORY)
        package = found.setdefault("/".join(name.parts[:2]), set())
        package |= {stage for stage, used in modules.items() if name in used}
    return found


def reference() -> str:
    """The generated part of the README."""
    reruns = read_reruns()
    groups = reruns["groups"]
    lines = ["", "| name | stages |", "|---|---|"]
    lines += [f"| *{name}* | {_stages(stages, groups)} |" for name, stages in groups.items()]
    for title, rows in reruns["tables"].items():
        lines += ["", f"### {title}", "", "| change | project | examples | made again |", "|---|---|---|---|"]
        lines += _rows(rows, groups)
    lines += [
        "",
        "### Packages and modules of the library",
        "",
        "The stages that use a package or module. Stages that depend on these run again too.",
        "",
    ]
    lines += ["| package or module | stages |", "|---|---|"]
    for package, stages in stages_of_packages().items():
        lines.append(f"| `{package}` | {_stages(sorted(stages), groups) or 'none'} |")
    return "\n".join(lines) + "\n"


def conda_environment() -> str:
    """The environment for `snakemake --sdm conda`: the packages of the lock, from the Python package index."""
    lines = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    head = "# Made by `make reference` from requirements.lock, for `snakemake --sdm conda`.\n"
    head += "channels:\n  - conda-forge\ndependencies:\n  - python=3.11\n  - pip\n  - pip:\n"
    return head + "".join(f"      - {pin}\n" for pin in pins)


def _rows(rows: list[dict[str, Any]], groups: Mapping[str, Any]) -> Iterator[str]:
    before = ""
    for row in rows:
        change = "" if row["change"] == before else row["change"]
        tries = "; ".join(" and ".join(f"`{step}`" for step in steps) for steps in row["tries"])
        made = f"stops: `{row['stops']}`" if "stops" in row else _stages(row["made"], groups) or "nothing"
        yield f"| {change} | {row['project']} | {tries.replace('|', chr(92) + '|')} | {made} |"
        before = row["change"]


def _stages(names: list[str], groups: Mapping[str, Any]) -> str:
    return ", ".join(f"*{name}*" if name in groups else f"`{name}`" for name in names)


def main() -> None:
    """Write the files."""
    ENVIRONMENT.parent.mkdir(exist_ok=True)
    ENVIRONMENT.write_text(conda_environment(), encoding="utf-8")
    head = README.read_text(encoding="utf-8").split(MARK)[0]
    README.write_text(head + MARK + reference(), encoding="utf-8")


if __name__ == "__main__":
    main()
