"""The configuration: the sections of all packages, their cross-checks, JSON schema and reference tables.

Each package defines its own sections as pydantic models, so that each setting is defined once, and a stage depends
only on the sections that it reads.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, StringConstraints, ValidationError, model_validator

from twinlib.capture import Captures, DeviceCard
from twinlib.contracts import SPLITS
from twinlib.corpus import Corpus
from twinlib.dataset import Dataset
from twinlib.errors import ConfigError, ExcitationError, TwinError
from twinlib.evaluation import Evaluation
from twinlib.excitation import Excitation, keep_recorded_witness, probe_name, reel_names
from twinlib.fetch import Fetch
from twinlib.formatting import CONTROL, LINES, escape_control
from twinlib.model import PRESETS, Architecture
from twinlib.parsing import read_yaml
from twinlib.section import Section, require_plain
from twinlib.simulation import Simulate
from twinlib.tracking import Tracking
from twinlib.training import Search, Training, twin_file

_NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9_.-]*$"
_NAME_RULE = (
    "a name holds only letters (A to Z), digits, dots, dashes and underscores, and starts with a letter or digit"
)

Name = Annotated[str, StringConstraints(pattern=_NAME_PATTERN, max_length=100)]
"""A name that is also a folder name: letters, digits, dot, dash and underscore."""


class Device(Captures):
    """A device. Exactly one of `takes`, `pairs` and `simulate` defines the origin of its wet signals."""

    simulate: Simulate | None = None
    """A simulated device, to try the workflow without hardware. All files made from it are marked as simulated."""
    card: DeviceCard = DeviceCard()
    """Description of the device, for players, MLflow and the datasheet. An edit trains nothing again. `twin record`
    asks for it once and writes the answers into `DEVICE.card.yaml` beside the takes; keys given here take
    precedence."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in ("takes", "pairs", "simulate") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of takes, pairs and simulate, not {' and '.join(given) or 'none'}")
        if self.pairs is not None and self.excitation is not None:
            raise ValueError("pairs belong to no excitation: remove `excitation`, or give `takes`")
        if self.pairs is None and self.excitation is None:
            raise ValueError(f"{given[0]} need the name of the excitation whose reels were played: add `excitation`")
        if self.simulate is not None and self.reference_channel is not None:
            raise ValueError("a simulated device has no loop-back cable: remove `reference_channel`")
        return self


class Experiment(Section):
    """A twin to train."""

    device: Name
    """Key of `devices`."""
    model: Name
    """Key of `models` or `search`."""
    warm_start: str | None = None
    """Twin to start from; overrides `training.warm_start`. A twin of this configuration is trained first."""


class Config(Section):
    """The whole configuration."""

    results: Annotated[str, AfterValidator(require_plain)] = "results"
    """Output folder, relative to the working directory of Snakemake."""
    corpus: Corpus | None = None
    """The music; required if `excitations` is not empty."""
    excitations: dict[Name, Excitation] = {}
    """Named sets of reels. Once recorded, an excitation is immutable: give new settings a new name."""
    dataset: Dataset = Dataset()
    """Division of captures into segments."""
    devices: dict[Name, Device]
    """The devices to model, by name."""
    models: dict[Name, Architecture] = {"small": Architecture()}
    """The networks to train, by name."""
    training: Training = Training(steps=30000)
    """Training of every twin."""
    search: dict[Name, Search] = {}
    """Named searches for the best network and recipe; the result of each is a model with its name."""
    evaluation: Evaluation = Evaluation()
    """Evaluation of every twin."""
    tracking: Tracking = Tracking()
    """MLflow store of the runs."""
    fetch: list[Fetch] = []
    """Folders to copy from S3 with `workflow/fetch.smk`, before the runs that read them."""
    experiments: list[Experiment] | None = None
    """The twins to train; null for every device with every model, including the results of searches."""
    kernels: bool = True
    """Compute networks on the CPU with the compiled kernels where they are installed; false uses torch, which is slower
    and rounds differently. The environment variable `TWINLIB_KERNELS` takes precedence: `off`, or an instruction set
    such as `avx2`."""
    allow_missing_takes: bool = False
    """Continue without missing or refused takes; `dataset.json` lists them."""
    strict_takes: bool = False
    """Exit with code 1 if takes are missing; by default, a run makes all other files and lists the missing takes."""

    @model_validator(mode="after")
    def _distinct_folders(self) -> Self:
        for section in ("excitations", "devices", "models", "search"):
            known: dict[str, str] = {}
            for name in getattr(self, section):
                other = known.setdefault(name.lower(), name)
                if other != name:
                    raise ValueError(
                        f"{section}: {other} and {name} differ only in capitals, which some file systems do not "
                        "distinguish: rename one"
                    )
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.excitations and self.corpus is None:
            raise ValueError("excitations need a corpus: add `corpus: {root: ...}`")
        for name, excitation in self.excitations.items():
            if len(excitation.split.shares) < len(SPLITS):
                raise ValueError(f"excitations.{name}.split: train, valid and test all need a share above 0")
            try:
                self.reels(name)
            except ExcitationError as error:
                raise ValueError(f"excitations.{name}: {error}") from None
        for name, device in self.devices.items():
            if device.excitation is not None and device.excitation not in self.excitations:
                known = ", ".join(self.excitations) or "none"
                raise ValueError(
                    f"devices.{name}.excitation: '{device.excitation}' is not a key of `excitations`; known: {known}"
                )
        for experiment in self.experiments or []:
            if experiment.device not in self.devices:
                known = ", ".join(self.devices)
                raise ValueError(f"experiments: '{experiment.device}' is not a key of `devices`; known: {known}")
            if experiment.model not in self.model_names:
                known = ", ".join(self.model_names)
                raise ValueError(
                    f"experiments: '{experiment.model}' is not a key of `models` or `search`; known: {known}"
                )
        for name, search in self.search.items():
            if conflict := self._search_conflict(name, search):
                raise ValueError(f"search.{name}{conflict}")
        if self.training.crop_samples > self.dataset.segment_samples:
            raise ValueError(
                f"training.crop_samples: a crop of {self.training.crop_samples} samples does not fit a segment of "
                f"{self.dataset.segment_samples} (dataset.segment_samples): use shorter crops or longer segments"
            )
        self._check_warm_starts()
        return self

    def _search_conflict(self, name: str, search: Search) -> str | None:
        """Return the conflict of a search with other sections, to follow its name; None without a conflict."""
        if name in self.models:
            return " has the name of a model: its result is a model too, so choose another name"
        if search.device not in self.devices:
            return f".device: '{search.device}' is not a key of `devices`; known: {', '.join(self.devices)}"
        if search.base not in self.models:
            return f".base: '{search.base}' is not a key of `models`; known: {', '.join(self.models)}"
        if max(search.space.crop_samples) > self.dataset.segment_samples:
            return (
                f".space.crop_samples: {max(search.space.crop_samples)} samples do not fit a segment of "
                f"{self.dataset.segment_samples} (dataset.segment_samples): use shorter crops or longer segments"
            )
        objection = search.objection(self.models[search.base], self.training)
        return f".{objection}" if objection else None

    @property
    def model_names(self) -> list[str]:
        """Names of all trainable models: those of `models` and the results of searches."""
        return [*self.models, *self.search]

    def twins(self) -> list[Experiment]:
        """Return the experiments in configuration order."""
        if self.experiments is not None:
            return self.experiments
        return [Experiment(device=device, model=model) for device in self.devices for model in self.model_names]

    def training_settings(self, device: str, model: str) -> Training:
        """Return the training settings of one twin, with the warm start of its experiment."""
        if self.experiments is None and device in self.devices and model in self.model_names:
            return self.training
        own = {(twin.device, twin.model): twin.warm_start for twin in self.twins()}[device, model]
        return self.training if own is None else self.training.model_copy(update={"warm_start": own})

    def _check_warm_starts(self) -> None:
        """Raise `ValueError` if warm starts form a cycle, or need a twin without an experiment."""
        names = [(twin.device, twin.model) for twin in self.twins()]
        files = {twin_file(f"{self.results}/twins/{device}/{model}"): (device, model) for device, model in names}
        for first in names:
            start = self.training_settings(*first).twin_to_start_from
            if start and start not in files and start.is_relative_to(Path(self.results) / "twins"):
                raise ValueError(
                    f"training.warm_start: {'/'.join(first)} starts from {start}, which no experiment trains: add its "
                    "device and model to `experiments`, or copy the twin to a folder outside the results and use that "
                    "path"
                )
            chain = [first]
            while (file := self.training_settings(*chain[-1]).twin_to_start_from) in files:
                assert file is not None
                chain.append(files[file])
                if chain[-1] == first:
                    cycle = " starts from ".join("/".join(name) for name in chain)
                    raise ValueError(
                        f"training.warm_start: {cycle}: this is a cycle. Set warm_start only in the entries of "
                        "`experiments` that start from another twin"
                    )
                if chain[-1] in chain[:-1]:
                    break

    def search_params(self, name: str) -> dict[str, str]:
        """Return the settings, network and training that identify the study of a search, as JSON.

        They exclude the number of workers and the training budget: the study continues if these change.
        """
        search = self.search[name].including(self.models[self.search[name].base], self.training)
        budget = {"steps": 1, "cpu_seconds": None, "checkpoint_seconds": 30.0}
        return {
            "settings": search.model_copy(update={"workers": 1}).model_dump_json(),
            "network": self.models[search.base].model_dump_json(),
            "training": self.training.model_copy(update=budget).model_dump_json(),
        }

    def reels(self, excitation: str) -> list[str]:
        """Return the names of the reels of an excitation."""
        return reel_names(excitation, self.excitations[excitation])

    def take_patterns(self, excitation: str) -> dict[str, str]:
        """Return the paths of the takes of an excitation, with `{reel}` in them, by device."""
        return {
            name: device.takes
            for name, device in self.devices.items()
            if device.takes is not None and device.excitation == excitation
        }

    def probe(self, excitation: str | None) -> str | None:
        """Return the name of the probe reel of an excitation; None if it has none."""
        wanted = excitation is not None and self.excitations[excitation].probe_reel
        return probe_name(excitation) if wanted and excitation is not None else None


def parse_config(content: Mapping[str, Any], source: str) -> Config:
    """Validate a configuration read from `source`; raises `ConfigError` with one line per invalid key."""
    if found := _find_control(content):
        raise ConfigError(f"{source}: {escape_control(found)}: control characters are not allowed in names and values")
    try:
        return Config.model_validate(content)
    except ValidationError as error:
        lines = [_sentence(item["loc"], item["msg"]) for item in error.errors(include_url=False)]
        raise ConfigError("\n".join(f"{source}: {line}" for line in lines)) from None


def _find_control(content: Any, key: str = "") -> str | None:
    """Return the key of the first text with a control character other than a line break or tab; None without one."""
    if isinstance(content, Mapping):
        items = [(f"{key}.{name}" if key else str(name), value) for name, value in content.items()]
        return next((place for place, _ in items if _has_control(place)), None) or next(
            (found for place, value in items if (found := _find_control(value, place))), None
        )
    if isinstance(content, list | tuple):
        return next((found for value in content if (found := _find_control(value, key))), None)
    return key if isinstance(content, str) and _has_control(content) else None


def _has_control(text: str) -> bool:
    return bool(CONTROL.search(text.translate({ord(character): None for character in LINES})))


def load_config(*paths: Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read YAML files and validate their content; later files and `overrides` replace single keys of earlier ones.
    Without files, `overrides` are the configuration of the workflow as a module.

    Knob positions stay as written: `12:30` and `on` are text. Excitations that were recorded without a witness stay
    without one. Raises `ConfigError` with the file, the key or line, and the allowed values.
    """
    content: dict[str, Any] = {}
    for path in paths:
        try:
            part = read_yaml(path)
        except FileNotFoundError:
            raise ConfigError(f"{path} does not exist") from None
        except TwinError as error:
            raise ConfigError(str(error)) from None
        if not isinstance(part, dict):
            raise ConfigError(f"{path} has no keys: config/README.md lists all keys")
        content = _merged(content, part)
    content = _merged(content, overrides or {})
    results = Path(str(content.get("results", Config.model_fields["results"].default)))
    return parse_config(keep_recorded_witness(content, results), ", ".join(map(str, paths)) or "config of the module")


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return `old` with the keys of `new`, mapping by mapping, as Snakemake merges configurations."""
    merged = dict(old)
    for key, value in new.items():
        before = merged.get(key)
        merged[key] = _merged(before, value) if isinstance(before, dict) and isinstance(value, Mapping) else value
    return merged


def json_schema() -> str:
    """Return the JSON schema (draft 2020-12) of the configuration as text, which editors use for completion."""
    content = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def key_reference() -> str:
    """Return Markdown tables of all keys with type, default and meaning, one per section."""
    content = Config.model_json_schema()
    sections = {"(top level)": content, **content["$defs"]}
    parts: list[str] = []
    for title, section in sections.items():
        if "properties" not in section:
            continue
        about = " ".join(section.get("description", "").split())
        heading = title if section is content else f"`{title}`"
        parts.append(f"### {heading}\n\n{about}\n\n| key | type | default | meaning |\n|---|---|---|---|")
        parts.append("\n".join(_rows(section)) + "\n")
        if title == Architecture.__name__:
            parts.append(_presets())
    return "\n".join(parts)


def _presets() -> str:
    """Return the size and cost of every preset as a Markdown table."""
    rows = [
        "The presets and their cost per audio sample:\n",
        "| preset | layers | channels | weights | multiplications per sample | receptive field, samples |",
        "|---|---|---|---|---|---|",
    ]
    for name, network in PRESETS.items():
        layers = " + ".join(str(len(stack.dilations)) for stack in network.stacks)
        channels = " + ".join(str(stack.channels) for stack in network.stacks)
        cost = f"{network.parameters:,} | {network.multiply_adds:,} | {network.receptive_field:,}"
        rows.append(f"| `{name}` | {layers} | {channels} | {cost} |")
    return "\n".join(rows) + "\n"


def _rows(section: Mapping[str, Any]) -> Iterator[str]:
    required = section.get("required", [])
    for key, info in section["properties"].items():
        default = "**required**" if key in required else _default(info)
        meaning = " ".join(info.get("description", "").split()).replace("|", "\\|")
        yield f"| `{key}` | {describe_type(info)} | {default} | {meaning} |"


def _default(info: Mapping[str, Any]) -> str:
    value = info.get("default")
    # The table of a section lists its defaults.
    return "its defaults" if isinstance(value, dict) and value else f"`{json.dumps(value)}`"


def describe_type(info: Mapping[str, Any]) -> str:
    """Return the type of a key in a JSON schema as Markdown."""
    if "$ref" in info:
        return f"`{info['$ref'].rsplit('/', 1)[1]}`"
    for word in ("anyOf", "oneOf"):
        if word in info:
            return " or ".join(dict.fromkeys(describe_type(option) for option in info[word]))
    if "enum" in info:
        return ", ".join(f"`{value}`" for value in info["enum"])
    if "const" in info:
        return f"`{info['const']}`"
    if info.get("type") == "array":
        return f"list of {describe_type(info['items'])}" if "items" in info else "list"
    if info.get("type") == "object":
        inner = info.get("additionalProperties") or next(iter(info.get("patternProperties", {}).values()), None)
        return f"name: {describe_type(inner)}" if isinstance(inner, dict) else "mapping"
    return str(info.get("type", "any"))


def _sentence(place: tuple[int | str, ...], message: str) -> str:
    key = ".".join(str(part) for part in place if part != "[key]")
    text = _NAME_RULE if _NAME_PATTERN in message else message.removeprefix("Value error, ")
    return f"{key}: {text}" if key else text
