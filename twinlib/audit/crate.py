"""A finished run as a Process Run RO-Crate: every stage record an action, in one file beside what it names.

RO-Crate 1.3: https://w3id.org/ro/crate/1.3. Process Run Crate 0.6: https://w3id.org/ro/wfrun/process/0.6 (Leo et al.,
"Recording provenance of workflow runs with RO-Crate", PLOS ONE 2024). The profiles above that one, Workflow and
Provenance Run Crate, ask for the workflow's own file in the crate and for a record of the workflow as a whole. The
results hold neither, so they are not claimed: the workflow is named, and its stages are told one by one.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import quote, unquote

from twinlib.audit.licence_terms import terms
from twinlib.audit.licences import licences
from twinlib.errors import AuditError
from twinlib.files import sha256_bytes, sha256_file, write_text
from twinlib.provenance.record import SUFFIX
from twinlib.provenance.results import Results, Stage

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


def crate(results: Results) -> dict[str, Any]:
    """The run that left these results as JSON-LD of a Process Run RO-Crate, whose root is the results folder.

    A `CreateAction` a stage: `object` what it read and its parameters, `result` what it made, `instrument` its program
    with the digest of its code, `identifier` the head of the chain of records. Files in the folder are data entities
    with the sums of the records; files elsewhere, and contents that have been replaced since, are named with their
    sums and are no part of the crate. No file is copied, and only records are read. Equal results give equal content.
    Needs the extra `audit`; raises `AuditError` without it.
    """
    rocrate = _rocrate()
    made = rocrate.ROCrate()
    builder = _Builder(results, made, rocrate)
    actions = [builder.action(stage) for stage in results.stages]
    root = made.root_dataset
    root["name"] = "Digital twins: a run of the workflow and what it left"
    root["description"] = (
        "Recordings of devices, datasets and twins. Each action is a stage of the workflow as its record tells it; "
        "datePublished is when the last of them ended. Who ran them is not recorded."
    )
    root["datePublished"] = max((action["endTime"] for action in actions if "endTime" in action), default="1970-01-01")
    root["license"] = builder.licences()
    root["conformsTo"] = builder.context(PROFILE, "CreativeWork", name="Process Run Crate", version="0.6")
    root["mentions"] = [*actions, builder.workflow()]
    told: dict[str, Any] = made.metadata.generate()
    return told


def write_crate(results: Results, path: Path | None = None) -> Path:
    """Write the crate, by default as `ro-crate-metadata.json` into the results folder; returns where it stands.

    What it names is found from the results folder, wherever the file itself stands.
    """
    file = results.folder / NAME if path is None else path
    write_text(file, json.dumps(crate(results), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n")
    return file


@dataclass(frozen=True)
class Read:
    """What another program finds in a crate: actions by id, and by name the files with another content or none."""

    actions: Mapping[str, Mapping[str, Any]]
    files: tuple[str, ...]
    differing: Mapping[str, str] = field(default_factory=dict)


def read_crate(path: Path, folder: Path, sums: bool = False) -> Read:
    """Read a crate back with rocrate; `folder` is its root. With `sums` every file that it names is read and checked.

    `actions` hold, by id, `instrument`, `object`, `result` (ids) and times. Raises `AuditError` if this is no crate, or
    an action names something that the crate does not tell of.
    """
    rocrate = _rocrate()
    try:
        found = rocrate.ROCrate(path)
        actions = {entity.id: _action(entity) for entity in found.get_by_type("CreateAction")}
        files = {unquote(entity.id): entity["sha256"] for entity in found.get_by_type("File") if "sha256" in entity}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AuditError(f"{path} is no readable RO-Crate ({error!r}): write it again from these results") from None
    differing = {}
    for name, sha256 in files.items() if sums else ():
        file = folder / name
        if not file.is_file():
            differing[name] = "is missing"
        elif sha256_file(file) != sha256:
            differing[name] = "has another content"
    return Read(actions, tuple(sorted(files)), differing)


def crate_text(told: Mapping[str, Any]) -> str:
    """What a crate holds, for people."""
    graph = told["@graph"]
    actions = [one for one in graph if one["@type"] == "CreateAction"]
    files = sum(one["@type"] == "File" for one in graph)
    outside = sum(one["@id"].startswith("#outside/") for one in graph)
    lines = [f"{len(actions)} stages, {files} files, {outside} files that are not in this folder"]
    lines += [f"  {one.get('startTime', 'no time')}  {one['name']}" for one in actions]
    return "\n".join(lines) + "\n"


def _action(entity: Any) -> dict[str, Any]:
    def ids(key: str) -> list[str]:
        values = entity.get(key, [])
        listed = values if isinstance(values, list) else [values]
        if unknown := [value for value in listed if isinstance(value, str)]:
            raise ValueError(f"{entity.id} names {unknown[0]}, which the crate does not hold")
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
            f"An RO-Crate is written with rocrate, and {error.name} is not installed: install the extra `audit` "
            "(`pip install -e '.[audit]'`)"
        ) from None
    module: ModuleType = rocrate.rocrate
    return module


class _Builder:
    """Adds entities to a crate, each once."""

    def __init__(self, results: Results, made: Any, rocrate: ModuleType) -> None:
        self._results, self._crate, self._rocrate = results, made, rocrate
        self._programs: dict[str, Any] = {}
        self._sums = {name: sha256 for stage in results.stages for name, sha256 in stage.outputs.items()}
        self._sums |= {stage.name: sha256_file(results.folder / stage.name) for stage in results.stages}

    def context(self, place: str, kind: str | list[str], /, **properties: Any) -> Any:
        """An entity that is no file of the crate."""
        known = self._crate.get(place)
        if known is not None:
            return known
        told = {"@type": kind, **{key: value for key, value in properties.items() if value is not None}}
        return self._crate.add(self._rocrate.ContextEntity(self._crate, place, properties=told))

    def action(self, stage: Stage) -> Any:
        """What one stage did."""
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
            identifier=stage.link or None,
            subjectOf=self._content(stage.name, self._sums[stage.name]),
            actionStatus="http://schema.org/CompletedActionStatus",
        )

    def workflow(self) -> Any:
        """The workflow, which is named and not contained."""
        entity = self.context(
            _WORKFLOW,
            ["SoftwareSourceCode", "ComputationalWorkflow"],
            name="workflow/Snakefile",
            description="the workflow that ran these stages; its file is in the repository and not in this crate",
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
        """The licences of the music in it; nobody has chosen one for the rest."""
        found = []
        for name in licences(self._results)["licences"]:
            read = terms(name)
            told = read.name if read.known else name or "no licence is named"
            place = read.url or f"#licence/{quote(told)}"
            description = "the licence of some of the music in it; whoever passes this on must choose one that fits"
            found.append(self.context(place, "CreativeWork", name=told, description=description))
        none = "no licence is known"
        return found or [self.context("#licence/none", "CreativeWork", name=none, description=none)]

    def _program(self, stage: Stage) -> Any:
        """The program of a stage, in the version and surroundings in which it ran."""
        content = stage.content
        git, environment = content.get("git", {}), content.get("environment", {})
        told = [content["program"], content.get("code", ""), git, environment]
        key = sha256_bytes(json.dumps(told, sort_keys=True).encode())[:16]
        if key not in self._programs:
            commit = git.get("commit", "unknown") + (
                " with changes that were not committed" if git.get("dirty") else ""
            )
            self._programs[key] = self.context(
                f"#{content['program']}/{key}",
                ["SoftwareApplication", "SoftwareSourceCode"],
                name=content["program"],
                softwareVersion=content.get("code", "unknown"),
                description=f"git commit {commit}; softwareVersion is the digest of its code and all that it imports",
                softwareRequirements=list(self._surroundings(environment)),
                processorRequirements=" ".join(
                    map(str, (environment.get(key, "") for key in ("machine", "cpu")))
                ).strip(),
            )
        return self._programs[key]

    def _surroundings(self, environment: Mapping[str, Any]) -> Iterable[Any]:
        if version := environment.get("python"):
            yield self.context(f"#python/{version}", "SoftwareApplication", name="Python", softwareVersion=version)
        if lock := environment.get("lock"):
            text = "the versions of all packages"
            yield self.context(f"#lock/{lock}", "CreativeWork", name="requirements.lock", description=text, sha256=lock)

    def _content(self, name: str, sha256: str) -> Any:
        """Something that a stage read or made: a file of the crate, unless it lies elsewhere or is another one now."""
        if name not in self._sums:
            return self._elsewhere(f"#outside/{quote(name)}", name, sha256, "not in this crate")
        if self._sums[name] != sha256:
            text = "a content that this file had when a stage read or made it, and has no longer"
            return self._elsewhere(f"#replaced/{sha256}/{quote(name)}", name, sha256, text)
        file = self._results.folder / name
        if not file.is_file():
            return self._elsewhere(f"#missing/{quote(name)}", name, sha256, "made by a stage, and no longer there")
        known = self._crate.get(quote(name))
        if known is not None:
            return known
        size = str(file.stat().st_size)
        told = {"name": name, "sha256": sha256, "contentSize": size, "encodingFormat": _format(name)}
        return self._crate.add_file(dest_path=name, properties=told)

    def _elsewhere(self, place: str, name: str, sha256: str, text: str) -> Any:
        known = self._crate.get(place)
        if known is not None and known["sha256"] != sha256:
            place = f"{place}/{sha256}"
        told = {"name": name, "description": text, "sha256": sha256, "encodingFormat": _format(name)}
        return self.context(place, "CreativeWork", **told)


def _format(name: str) -> str:
    return _FORMATS.get(Path(name).suffix, "application/octet-stream")


def _times(content: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """When a stage began and ended, as ISO 8601; None where its record does not say."""
    try:
        start = datetime.fromisoformat(content["started"])
        return start.isoformat(), (start + timedelta(seconds=content["seconds"])).isoformat(timespec="seconds")
    except (KeyError, TypeError, ValueError):
        return None, None
