"""The generated pages of the documentation, as a hook of MkDocs: made from the code at every build.

The READMEs of the repository become pages too, so that each text exists once. Links between pages are those of the
repository, and work there as well.
"""

import argparse
import ast
import inspect
import os
import posixpath
import re
import tomllib
from collections.abc import Iterator, Mapping
from inspect import getdoc
from pathlib import Path
from typing import Any

import grimp
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from pydantic import TypeAdapter

import twinlib
from twinlib import contracts
from twinlib.alignment import Alignment
from twinlib.alignment import messages as alignment
from twinlib.audit import verify
from twinlib.capture import take_checks as capture
from twinlib.capture.take import Take
from twinlib.cli import make_parser
from twinlib.config import describe_type
from twinlib.dataset import leaks
from twinlib.dataset.manifest import write_manifest
from twinlib.diagnosis import messages as diagnosis
from twinlib.evaluation import messages as evaluation
from twinlib.evaluation.grouped_errors import tabulate
from twinlib.evaluation.metrics import ErrorAccumulator
from twinlib.findings import Messages
from twinlib.measurement.probe_measurements import measure_probe_reel
from twinlib.schemas import JSON
from twinlib.table_schemas import TABLES

REPOSITORY = Path(__file__).parents[1]

READMES = {
    "config/README.md": "reference/configuration.md",
    "results/README.md": "reference/results.md",
    "workflow/README.md": "reference/workflow.md",
    "benchmarks/README.md": "reference/benchmarks.md",
    "findings/README.md": "reference/surprises.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Files of the repository that are pages of the site."""

PICTURES = {
    path.relative_to(REPOSITORY).as_posix(): f"pictures/{path.name}"
    for path in sorted((REPOSITORY / "results" / "pictures").glob("*.svg"))
}

LINK = re.compile(r"\[([^\]]*)\]\(([^)#:\s]+)(#[^)\s]*)?\)")

SEVERITIES = {"info": "note", "suspect": "suspect", "refused": "refused"}

TAKES = "Recordings: `take.json`, `twin check`"
FINDINGS: Mapping[str, tuple[tuple[str, Messages, Messages | None], ...]] = {
    "capture": ((TAKES, capture.MESSAGES, capture.PAIR_MESSAGES),),
    "alignment": (
        ("Alignment: `alignment.json`, `twin align`, `twin check`", alignment.MESSAGES, alignment.PAIR_MESSAGES),
    ),
    "diagnosis": (("Changes of the device: `alignment.json`, `captures.json`", diagnosis.MESSAGES, None),),
    "evaluation": (("Twins: `verdict.json`, `twin evaluate`", evaluation.MESSAGES, None),),
    "audit": (("Results folders: `twin audit verify`", verify.MESSAGES, None),),
}
"""The tables of findings by package: title, sentences, and those for pairs where they differ."""


MEANINGS: Mapping[str, tuple[Any, ...]] = {
    contracts.ALIGNMENT: (Alignment,),
    contracts.DATASET: (write_manifest,),
    contracts.MEASUREMENTS: (measure_probe_reel,),
    contracts.METRICS: (ErrorAccumulator.result, tabulate),
    contracts.TAKE: (Take,),
}
"""Classes and functions whose docstrings explain the keys of a JSON file."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List all pages of `how-to`, those that the navigation does not name last."""
    named = next(entry["How to"] for entry in config.nav or [] if isinstance(entry, dict) and "How to" in entry)
    found = [f"how-to/{path.name}" for path in sorted(Path(__file__).parent.glob("how-to/*.md"))]
    named += [page for page in found if page not in str(named)]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the READMEs and the generated pages."""
    for source, target in (READMES | PICTURES).items():
        files.append(File.generated(config, target, abs_src_path=str(REPOSITORY / source)))
    for target, content in generated_pages().items():
        files.append(File.generated(config, target, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links within the repository into links within the site; files that are no pages keep their name only."""
    here = page.file.src_uri
    source = {target: name for name, target in READMES.items()}.get(here, f"docs/{here}")

    def replace(link: re.Match[str]) -> str:
        text, path, anchor = link[1], link[2], link[3] or ""
        name = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        target = (READMES | PICTURES).get(name, name.removeprefix("docs/"))
        if files.get_file_from_path(target):
            return f"[{text}]({os.path.relpath(target, posixpath.dirname(here) or '.')}{anchor})"
        return text if (REPOSITORY / name).exists() else link[0]

    return LINK.sub(replace, markdown)


def generated_pages() -> dict[str, str]:
    """Return the content of the generated pages by path in the site."""
    return {
        "reference/commands.md": commands(),
        "reference/python.md": python_names(),
        "reference/findings.md": findings(),
        "reference/files.md": files_and_tables(),
        "pictures/house.svg": house(),
    }


def python_names() -> str:
    """Return signature, docstring and example of every name of `import twinlib`."""
    parts = [
        "# `import twinlib`\n\n[Use twinlib from Python](../how-to/python.md) shows how the names work together. A "
        "signal is an array `(n,)` with its sample rate in Hz, or the path of a sound file."
    ]
    for name in sorted(set(twinlib.__all__) - {"__version__"}, key=str.casefold):
        found = getattr(twinlib, name)
        parts += [_python_name(name, found, "" if isinstance(found, type) else str(inspect.signature(found)))]
        parts += [
            _python_name(f"{name}.{method}", one, str(inspect.signature(one)))
            for method, one in vars(found).items()
            if isinstance(found, type) and inspect.isfunction(one) and not method.startswith("_")
        ]
    return "\n\n".join(parts) + "\n"


def _python_name(name: str, found: Any, signature: str) -> str:
    text, prompt, example = (getdoc(found) or "").partition(">>> ")
    parts = [f"## `{name}`", f"```python\n{name}{signature}\n```" if signature else "", text.strip()]
    parts.append(f"```pycon\n{prompt}{example}\n```" if example else "")
    return "\n\n".join(filter(None, parts))


def commands() -> str:
    """Return the help of every command of `twin`."""
    parts = ["# The `twin` command\n\nExit codes: 0 success, 1 refused with a reason, 2 wrong use."]
    os.environ["COLUMNS"] = "100"
    parts += [f"## `{parser.prog}`\n\n```text\n{parser.format_help()}```" for parser in _parsers(make_parser())]
    return "\n\n".join(parts) + "\n"


def _parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from _parsers(child)


def findings() -> str:
    """Return tables of all finding codes: severity, and the sentence with cause and remedy."""
    parts = [
        "# Findings\n\nA check returns findings. Each has a code, a severity, a place and values; the sentence says "
        "what is wrong, where, and what to do. A *note* changes no verdict; *suspect* data are usable but should be "
        "checked; *refused* data are useless. Words in italics stand for values."
    ]
    for package, tables in FINDINGS.items():
        severities = _severities(package)
        for title, messages, pairs in tables:
            parts.append(f"## {title}\n\n| code | severity | sentence |\n|---|---|---|")
            rows = []
            for code, sentence in sorted(messages.templates.items()):
                found = ", ".join(sorted(severities.get(code, ())))
                rows.append(f"| `{code}` | {found or '-'} | {_placeholders(sentence)} |")
                if pairs and pairs.templates[code] != sentence:
                    rows.append(f"| | | *For a pair:* {_placeholders(pairs.templates[code])} |")
            parts[-1] += "\n" + "\n".join(rows)
    parts.append(
        "## Leaks between splits: `leaks.json`, `twin audit leaks`\n\n"
        "Training does not start while there is a leak.\n\n| kind | remedy |\n|---|---|\n"
        + "\n".join(f"| `{kind}` | {remedy} |" for kind, remedy in leaks.REMEDIES.items())
    )
    return "\n\n".join(parts) + "\n"


def _severities(package: str) -> dict[str, set[str]]:
    """Return the severities with which the modules of a package report each code."""
    found: dict[str, set[str]] = {}
    for path in (REPOSITORY / "twinlib" / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                word = SEVERITIES.get(node.func.id) or ("suspect or note" if node.func.id == "Finding" else None)
                for part in ast.walk(node.args[0]) if word else ():
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        found.setdefault(part.value, set()).add(word or "")
    return found


def _placeholders(template: str) -> str:
    """Replace `{start:.1f}` by *start*, and `{count:place|places}` by its plural."""

    def replace(match: re.Match[str]) -> str:
        name, form = match[1], match[2] or ""
        return form.rpartition("|")[2] if "|" in form else f"*{name.replace('_', ' ')}*"

    return re.sub(r"\{(\w+)(?::([^}]*))?\}", replace, template).replace("|", "\\|").replace("<", "&lt;")


def files_and_tables() -> str:
    """Return the columns of all tables and the keys of all JSON files, by contract."""
    parts = [
        "# Tables and files\n\nEvery table, JSON file and model holds the name and version of its contract: tables in "
        "their schema metadata, JSON files under `contract`, models in their header. Readers refuse another version. "
        "A contract may grow: more keys and columns are allowed. [Results](../../results/README.md) says which stage "
        "writes which file.",
        "## Tables",
    ]
    for contract, columns in sorted(TABLES.items()):
        rows = [f"### `{contract}`\n\n| column | type | meaning |\n|---|---|---|"]
        for name, column in columns.items():
            more = ("" if column.required else ", optional") + (", may be missing" if column.nullable else "")
            rows.append(f"| `{name}` | {column.kind}{more} | {column.meaning} |")
        parts.append("\n".join(rows))
    parts.append("## JSON files\n\nKeys without *required* are missing in files of earlier versions.")
    for contract, kind in sorted(JSON.items()):
        schema = TypeAdapter(kind).json_schema()
        parts.append(_keys(f"### `{contract}`", schema))
        parts += [(getdoc(one) or "").replace("<", "&lt;") for one in MEANINGS.get(contract, ())]
        parts += [_keys(f"**`{name}`**", one) for name, one in schema.get("$defs", {}).items() if "properties" in one]
    others = sorted(
        value
        for name, value in vars(contracts).items()
        if name.isupper() and isinstance(value, str) and "/" in value and value not in {*JSON, *TABLES}
    )
    parts.append(f"## Other contracts\n\n{', '.join(f'`{name}`' for name in others)}.")
    return "\n\n".join(parts) + "\n"


def _keys(heading: str, schema: Mapping[str, Any]) -> str:
    about = " ".join(schema.get("description", "").split())
    rows = [f"{heading}\n\n{about}\n\n| key | type |\n|---|---|"]
    required = schema.get("required", [])
    for key, one in schema.get("properties", {}).items():
        kind = describe_type(one).replace("|", "\\|")
        rows.append(f"| `{key}` | {kind}{', required' if key in required else ''} |")
    return "\n".join(rows)


def house() -> str:
    """Return a picture of the imports between the packages of `twinlib`, as SVG: a dot for each import."""
    content = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    layers = content["tool"]["importlinter"]["contracts"][0]["layers"]
    names = [name for layer in reversed(layers) for name in layer.split(" : ")]
    packages = [name for name in names if (REPOSITORY / "twinlib" / name).is_dir() or name in ("config", "cli")]
    graph = grimp.build_graph("twinlib", exclude_type_checking_imports=True)
    imports = {
        (row, column)
        for row in packages
        for column in packages
        if row != column and graph.direct_import_exists(
            importer=f"twinlib.{row}", imported=f"twinlib.{column}", as_packages=True
        )
    }  # fmt: skip
    return draw_imports(packages, imports)


def draw_imports(names: list[str], imports: set[tuple[str, str]]) -> str:
    """Return a matrix as SVG: a dot if the package of the row imports the package of the column."""
    cell, left, top = 20, 110, 100
    width, height = left + cell * len(names) + 10, top + cell * len(names) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for number, name in enumerate(names):
        x, y = left + cell * number, top + cell * number
        parts.append(f'<rect x="{left}" y="{y}" width="{cell * number}" height="{cell}" fill="#f2f2f2"/>')
        parts.append(f'<rect x="{x + 4}" y="{y + 4}" width="{cell - 8}" height="{cell - 8}" fill="#cccccc"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 14}" text-anchor="end">{name}</text>')
        parts.append(f'<text transform="translate({x + 14},{top - 6}) rotate(-60)">{name}</text>')
    for row, column in sorted(imports):
        x, y = left + cell * names.index(column) + cell / 2, top + cell * names.index(row) + cell / 2
        parts.append(
            f'<circle cx="{x:g}" cy="{y:g}" r="5" fill="#0072b2"><title>{row} imports {column}</title></circle>'
        )
    return "\n".join([*parts, "</svg>", ""])
