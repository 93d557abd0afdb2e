"""A finished run as a Process Run RO-Crate: one metadata file, with an action for each stage record.

RO-Crate 1.3: https://w3id.org/ro/crate/1.3. Process Run Crate 0.6: https://w3id.org/ro/wfrun/process/0.6 (Leo et al.,
"Recording provenance of workflow runs with RO-Crate", PLOS ONE 2024). The more specific profiles, Workflow and
Provenance Run Crate, require the workflow file in the crate and a record of the whole run. The results contain
neither, so the crate does not claim these profiles: it names the workflow and lists its stages.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote, unquote

from twinlib.audit.licence_terms import parse_licence
from twinlib.audit.licences import licences
from twinlib.audit.results_folder import ResultsFolder
from twinlib.errors import AuditError
from twinlib.files import sha256_bytes, sha256_file, write_text
from twinlib.provenance import SUFFIX, Stage

NAME = "ro-crate-metadata.json"
PROFILE = "https://w3id.org/ro/wfrun/process/0.6"

_WORKFLOW = "#workflow/Snakefile"

_FORMATS = {
    ".arrow": "application/vnd.apache.arrow.file",
    ".flac": "audio/flac",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".nam": "application/json",
    ".parquet": "application/vnd.apache.parquet",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".wav": "audio/wav",
    ".yaml": "application/yaml",
}


def crate(results: ResultsFolder) -> dict[str, Any]:
    """Return the run behind these results as Process Run RO-Crate JSON-LD; its root is the results folder.

    Each stage is a `CreateAction`: `object` its inputs and parameters, `result` its outputs, `instrument` its program
    with the code digest, `identifier` its chain hash. Files in the folder are data entities with their sha256. External
    files and replaced contents are contextual entities with their sha256. No file is copied, and only records are read.
    Equal results give equal content. Needs the extra `audit`; raises `AuditError` without it.
    """
    rocrate = _rocrate()
    made = rocrate.ROCrate()
    builder = _Builder(results, made, rocrate)
    actions = [builder.action(stage) for stage in results.stages]
    root = made.root_dataset
    root["name"] = "Digital twins: a workflow run and its results"
    root["description"] = (
        "Recordings of devices, datasets and twins. Each action is a recorded stage of the workflow; datePublished is "
        "the end of the last stage. The records do not name the person who ran them."
    )
    root["datePublished"] = max((action["endTime"] for action in actions if "endTime" in action), default="1970-01-01")
    root["license"] = builder.licences()
    root["conformsTo"] = builder.context(PROFILE, "CreativeWork", name="Process Run Crate", version="0.6")
    root["mentions"] = [*actions, builder.workflow()]
    content: dict[str, Any] = made.metadata.generate()
    return content


def write_crate(results: ResultsFolder, path: Path | None = None) -> Path:
    """Write the crate, by default as `ro-crate-metadata.json` in the results folder; return its path.

    Paths in the crate are relative to the results folder, even if the file is written elsewhere.
    """
    file = results.folder / NAME if path is None else path
    write_text(file, json.dumps(crate(results), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")
    return file


@dataclass(frozen=True)
class CrateContent:
    """The content of a crate: actions by id, file names, and by name the missing and changed files."""

    actions: Mapping[str, Mapping[str, Any]]
    files: tuple[str, ...]
    differing: Mapping[str, str] = field(default_factory=dict)


def read_crate(path: Path, folder: Path, check_files: bool = False) -> CrateContent:
    """Read a crate with rocrate; `folder` is its root. `check_files` compares the sha256 of every file.

    Each action has `instrument`, `object`, `result` (ids), `startTime` and `endTime`. Raises `AuditError` if the file
    is not a crate or an action refers to an undefined entity.
    """
    rocrate = _rocrate()
    try:
        stored = rocrate.ROCrate(path)
        actions = {entity.id: _action(entity) for entity in stored.get_by_type("CreateAction")}
        files = {unquote(entity.id): entity["sha256"] for entity in stored.get_by_type("File") if "sha256" in entity}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AuditError(f"{path} is not a readable RO-Crate ({error!r}): export it again") from None
    differing = {}
    for name, sha256 in files.items() if check_files else ():
        file = folder / name
        if not file.is_file():
            differing[name] = "is missing"
        elif sha256_file(file) != sha256:
            differing[name] = "has another content"
    return CrateContent(actions, tuple(sorted(files)), differing)


def crate_summary(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the actions of a crate and the numbers of its files and of files outside it."""
    graph = content["@graph"]
    return {
        "actions": [entity for entity in graph if entity["@type"] == "CreateAction"],
        "files": sum(entity["@type"] == "File" for entity in graph),
        "outside": sum(entity["@id"].startswith("#outside/") for entity in graph),
    }


def _action(entity: Any) -> dict[str, Any]:
    def ids(key: str) -> list[str]:
        values = entity.get(key, [])
        listed = values if isinstance(values, list) else [values]
        if unknown := [value for value in listed if isinstance(value, str)]:
            raise ValueError(f"{entity.id} refers to the undefined entity {unknown[0]}")
        return [unquote(value.id) for value in listed]

    return {
        "name": entity["name"],
        "instrument": ids("instrument"),
        "object": ids("object"),
        "result": ids("result"),
        "startTime": entity.get("startTime"),
        "endTime": entity.get("endTime"),
    }


def _rocrate() -> ModuleType:
    try:
        import rocrate.model
        import rocrate.rocrate
    except ModuleNotFoundError as error:
        raise AuditError(
            f"RO-Crate export needs rocrate, but {error.name} is not installed: pip install -e '.[audit]'"
        ) from None
    module: ModuleType = rocrate.rocrate
    return module


class _Builder:
    """Builder of a crate; adds each entity once."""

    def __init__(self, results: ResultsFolder, made: Any, rocrate: ModuleType) -> None:
        self._results, self._crate, self._rocrate = results, made, rocrate
        self._programs: dict[str, Any] = {}
        self._checksums = {name: sha256 for stage in results.stages for name, sha256 in stage.outputs.items()}
        self._checksums |= {stage.name: sha256_file(results.folder / stage.name) for stage in results.stages}

    def context(self, entity_id: str, kind: str | list[str], /, **properties: Any) -> Any:
        """Return a contextual entity, which is not a file of the crate."""
        known = self._crate.get(entity_id)
        if known is not None:
            return known
        given = {"@type": kind, **{key: value for key, value in properties.items() if value is not None}}
        return self._crate.add(self._rocrate.ContextEntity(self._crate, entity_id, properties=given))

    def action(self, stage: Stage) -> Any:
        """Return the action of a stage."""
        content, made = stage.content, stage.name.removesuffix(SUFFIX)
        start, end = _times(content)
        params = [
            self.context(f"#{quote(stage.name)}/{quote(name)}", "PropertyValue", name=name, value=value)
            for name, value in content["params"].items()
        ]
        return self.context(
            f"#{quote(stage.name)}",
            "CreateAction",
            name=f"{stage.program}: {made}",
            instrument=self._program(stage),
            object=[*(self._content(name, sha256) for name, sha256 in stage.inputs.items()), *params],
            result=[self._content(name, sha256) for name, sha256 in stage.outputs.items()],
            startTime=start,
            endTime=end,
            identifier=stage.chain_hash or None,
            subjectOf=self._content(stage.name, self._checksums[stage.name]),
            actionStatus="http://schema.org/CompletedActionStatus",
        )

    def workflow(self) -> Any:
        """Return the workflow, whose file is not in the crate."""
        entity = self.context(
            _WORKFLOW,
            ["SoftwareSourceCode", "ComputationalWorkflow"],
            name="workflow/Snakefile",
            description="the workflow of these stages; its file is in the repository, not in this crate",
            programmingLanguage=self.context(
                "https://w3id.org/workflowhub/workflow-ro-crate#snakemake",
                "ComputerLanguage",
                name="Snakemake",
                identifier=self.context("https://snakemake.github.io", "CreativeWork", name="Snakemake"),
                url="https://snakemake.github.io",
            ),
        )
        entity["hasPart"] = list(self._programs.values())
        return entity

    def licences(self) -> list[Any]:
        """Return the licences of the music; the remaining content has no chosen licence."""
        entities = []
        for name in licences(self._results)["licences"]:
            terms = parse_licence(name)
            label = terms.name if terms.known else name or "no licence specified"
            entity_id = terms.url or f"#licence/{quote(label)}"
            description = "licence of some of the music; distribute this crate only under a compatible licence"
            entities.append(self.context(entity_id, "CreativeWork", name=label, description=description))
        none = "no known licence"
        return entities or [self.context("#licence/none", "CreativeWork", name=none, description=none)]

    def _program(self, stage: Stage) -> Any:
        """Return the program of a stage with its version and environment."""
        content = stage.content
        git, environment = content.get("git", {}), content.get("environment", {})
        identity = [content["program"], content.get("code", ""), git, environment]
        key = sha256_bytes(json.dumps(identity, sort_keys=True).encode())[:16]
        if key not in self._programs:
            commit = git.get("commit", "unknown") + (" with uncommitted changes" if git.get("dirty") else "")
            self._programs[key] = self.context(
                f"#{content['program']}/{key}",
                ["SoftwareApplication", "SoftwareSourceCode"],
                name=content["program"],
                softwareVersion=content.get("code", "unknown"),
                description=f"git commit {commit}; softwareVersion is the digest of its code and imports",
                softwareRequirements=list(self._requirements(environment)),
                processorRequirements=" ".join(
                    map(str, (environment.get(key, "") for key in ("machine", "cpu", "kernels")))
                ).strip(),
            )
        return self._programs[key]

    def _requirements(self, environment: Mapping[str, Any]) -> Iterable[Any]:
        if version := environment.get("python"):
            yield self.context(f"#python/{version}", "SoftwareApplication", name="Python", softwareVersion=version)
        if lock := environment.get("lock"):
            text = "versions of all packages"
            yield self.context(f"#lock/{lock}", "CreativeWork", name="requirements.lock", description=text, sha256=lock)

    def _content(self, name: str, sha256: str) -> Any:
        """Return an input or output of a stage: a file of the crate, unless it is external, replaced or missing."""
        if name not in self._checksums:
            return self._external(f"#outside/{quote(name)}", name, sha256, "not in this crate")
        if self._checksums[name] != sha256:
            text = "an earlier content of this file, replaced since"
            return self._external(f"#replaced/{sha256}/{quote(name)}", name, sha256, text)
        file = self._results.folder / name
        if not file.is_file():
            return self._external(f"#missing/{quote(name)}", name, sha256, "output of a stage, missing now")
        known = self._crate.get(quote(name))
        if known is not None:
            return known
        size = str(file.stat().st_size)
        properties = {"name": name, "sha256": sha256, "contentSize": size, "encodingFormat": _format(name)}
        return self._crate.add_file(dest_path=name, properties=properties)

    def _external(self, entity_id: str, name: str, sha256: str, description: str) -> Any:
        known = self._crate.get(entity_id)
        if known is not None and known["sha256"] != sha256:
            entity_id = f"{entity_id}/{sha256}"
        properties = {"name": name, "description": description, "sha256": sha256, "encodingFormat": _format(name)}
        return self.context(entity_id, "CreativeWork", **properties)


def _format(name: str) -> str:
    return _FORMATS.get(Path(name).suffix, "application/octet-stream")


def _times(content: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the start and end of a stage as ISO 8601; None if the record lacks them."""
    try:
        start = datetime.fromisoformat(content["started"])
        return start.isoformat(), (start + timedelta(seconds=content["seconds"])).isoformat(timespec="seconds")
    except (KeyError, TypeError, ValueError):
        return None, None
