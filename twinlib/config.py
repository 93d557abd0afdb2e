"""The configuration: every room's section composed, checked against each other, and explained.

Sections are pydantic models that live in the rooms that use them, so that each setting is defined once and a stage
depends on the sections it reads and no other.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import StringConstraints, ValidationError, model_validator

from twinlib.capture.settings import Captures
from twinlib.contracts import SPLITS
from twinlib.corpus.settings import Corpus
from twinlib.dataset.settings import Dataset
from twinlib.errors import ConfigError, ExcitationError
from twinlib.evaluation.settings import Evaluation
from twinlib.excitation.layout import probe_name, reel_names
from twinlib.excitation.settings import Excitation
from twinlib.model.architecture import PRESETS, Architecture
from twinlib.section import Section
from twinlib.simulation.settings import Simulate
from twinlib.tracking.settings import Tracking
from twinlib.training.search_settings import Search
from twinlib.training.settings import Training, twin_file

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
"""A name that is also a folder: letters, digits, dot, dash and underscore."""


class Device(Captures):
    """A device. Exactly one of `takes`, `pairs` and `simulate` defines where its wet signals come from."""

    simulate: Simulate | None = None
    """A simulated device, to try the workflow without hardware. Everything made from it is marked as simulated."""

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
    """One twin to train."""

    device: Name
    """A key of `devices`."""
    model: Name
    """A key of `models` or of `search`."""
    warm_start: str | None = None
    """The twin to start from, in place of `training.warm_start`. One of this configuration is made first."""


class Config(Section):
    """The whole configuration."""

    results: str = "results"
    """The folder that everything is made in, relative to where Snakemake runs."""
    corpus: Corpus | None = None
    """The music; needed as soon as there is an excitation."""
    excitations: dict[Name, Excitation] = {}
    """Named sets of reels. Once recorded, an excitation is frozen: new settings take a new name."""
    dataset: Dataset = Dataset()
    """How captures are cut into segments."""
    devices: dict[Name, Device]
    """The devices to make twins of."""
    models: dict[Name, Architecture] = {"small": Architecture()}
    """The networks to train; the default is one, `small`."""
    training: Training = Training(steps=30000)
    """How every twin is trained."""
    search: dict[Name, Search] = {}
    """Named searches for the best network and recipe; what each finds is a model of that name."""
    evaluation: Evaluation = Evaluation()
    """How every twin is judged."""
    tracking: Tracking = Tracking()
    """Where runs are logged."""
    experiments: list[Experiment] | None = None
    """The twins to train; null means every device with every model, those that a search finds included."""
    allow_missing_takes: bool = False
    """Go on without takes that are missing or refused; the dataset then says which."""

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
                    f"devices.{name}.excitation: '{device.excitation}' is no key of `excitations`; there are: {known}"
                )
        for experiment in self.experiments or []:
            if experiment.device not in self.devices:
                known = ", ".join(self.devices)
                raise ValueError(f"experiments: '{experiment.device}' is no key of `devices`; there are: {known}")
            if experiment.model not in self.model_names:
                known = ", ".join(self.model_names)
                raise ValueError(
                    f"experiments: '{experiment.model}' is no key of `models` or `search`; there are: {known}"
                )
        for name, search in self.search.items():
            objection = self._objection(name, search)
            if objection:
                raise ValueError(f"search.{name}{objection}")
        if self.training.crop_samples > self.dataset.segment_samples:
            raise ValueError(
                f"training.crop_samples: a crop of {self.training.crop_samples} samples does not fit a segment of "
                f"{self.dataset.segment_samples} (dataset.segment_samples): make one shorter or the other longer"
            )
        self._refuse_circles()
        return self

    def _objection(self, name: str, search: Search) -> str | None:
        """What a search has against the other sections; it begins behind the name."""
        if name in self.models:
            return " has the name of a model: what it finds is a model too, so give it another name"
        if search.device not in self.devices:
            return f".device: '{search.device}' is no key of `devices`; there are: {', '.join(self.devices)}"
        if search.base not in self.models:
            return f".base: '{search.base}' is no key of `models`; there are: {', '.join(self.models)}"
        if max(search.space.crop_samples) > self.dataset.segment_samples:
            return (
                f".space.crop_samples: {max(search.space.crop_samples)} samples do not fit a segment of "
                f"{self.dataset.segment_samples} (dataset.segment_samples): leave them out or make segments longer"
            )
        objection = search.objection(self.models[search.base], self.training)
        return f".{objection}" if objection else None

    @property
    def model_names(self) -> list[str]:
        """What may be trained: the models, and what the searches will find."""
        return [*self.models, *self.search]

    def twins(self) -> list[Experiment]:
        """The experiments in the order in which the configuration names them."""
        if self.experiments is not None:
            return self.experiments
        return [Experiment(device=device, model=model) for device in self.devices for model in self.model_names]

    def training_of(self, device: str, model: str) -> Training:
        """How the twin of a device and a model is trained."""
        own = {(twin.device, twin.model): twin.warm_start for twin in self.twins()}[device, model]
        return self.training if own is None else self.training.model_copy(update={"warm_start": own})

    def _refuse_circles(self) -> None:
        """Twins may start from each other, but not in a circle: one of them has to be the first."""
        names = [(twin.device, twin.model) for twin in self.twins()]
        files = {twin_file(f"{self.results}/twins/{device}/{model}"): (device, model) for device, model in names}
        for first in names:
            start = self.training_of(*first).twin_to_start_from
            if start and start not in files and start.is_relative_to(Path(self.results) / "twins"):
                raise ValueError(
                    f"training.warm_start: {'/'.join(first)} starts from {start}, which no experiment makes: add its "
                    "device and model to `experiments`, or copy the twin out of the results and name the copy"
                )
            chain = [first]
            while (file := self.training_of(*chain[-1]).twin_to_start_from) in files:
                assert file is not None
                chain.append(files[file])
                if chain[-1] == first:
                    said = " starts from ".join("/".join(name) for name in chain)
                    raise ValueError(
                        f"training.warm_start: {said}: no twin can start from itself. Write warm_start at the entries "
                        "of `experiments` that are to start from another twin"
                    )
                if chain[-1] in chain[:-1]:
                    break

    def reels(self, excitation: str) -> list[str]:
        """The names of an excitation's reels, known before anything is made."""
        return reel_names(excitation, self.excitations[excitation])

    def probe(self, excitation: str | None) -> str | None:
        """The name of an excitation's probe reel, if it has one."""
        wanted = excitation is not None and self.excitations[excitation].probe_reel
        return probe_name(excitation) if wanted and excitation is not None else None


def parse_config(content: Mapping[str, Any], source: str) -> Config:
    """Check a configuration that was read from `source`; raises `ConfigError` with a line for every wrong key."""
    try:
        return Config.model_validate(dict(content))
    except ValidationError as error:
        lines = [_sentence(item["loc"], item["msg"]) for item in error.errors(include_url=False)]
        raise ConfigError("\n".join(f"{source}: {line}" for line in lines)) from None


def load_config(path: Path) -> Config:
    """Read and check a YAML file; raises `ConfigError` that names the file, the key or line, and what is allowed."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path} is not readable YAML: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds no keys: see config/README.md for what belongs there")
    return parse_config(content, str(path))


def json_schema() -> str:
    """The JSON schema (draft 2020-12) of the configuration, as text: editors complete and check keys with it."""
    content = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema()}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def key_reference() -> str:
    """Every key with its default and meaning, as Markdown tables, one a section."""
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
    """What every preset is and costs, as a Markdown table."""
    rows = [
        "The presets, and what a sample of sound costs with them:\n",
        "| preset | layers | channels | weights | multiplications a sample | receptive field, samples |",
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
        yield f"| `{key}` | {_type(info)} | {default} | {meaning} |"


def _default(info: Mapping[str, Any]) -> str:
    value = info.get("default")
    # The defaults of a section stand in its own table.
    return "its defaults" if isinstance(value, dict) and value else f"`{json.dumps(value)}`"


def _type(info: Mapping[str, Any]) -> str:
    if "$ref" in info:
        return f"`{info['$ref'].rsplit('/', 1)[1]}`"
    for word in ("anyOf", "oneOf"):
        if word in info:
            return " or ".join(dict.fromkeys(_type(option) for option in info[word]))
    if "enum" in info:
        return ", ".join(f"`{value}`" for value in info["enum"])
    if "const" in info:
        return f"`{info['const']}`"
    if info.get("type") == "array":
        return f"list of {_type(info['items'])}" if "items" in info else "list"
    if info.get("type") == "object":
        inner = info.get("additionalProperties") or next(iter(info.get("patternProperties", {}).values()), None)
        return f"name: {_type(inner)}" if isinstance(inner, dict) else "mapping"
    return str(info.get("type", "any"))


def _sentence(place: tuple[int | str, ...], message: str) -> str:
    key = ".".join(str(part) for part in place)
    text = message.removeprefix("Value error, ")
    return f"{key}: {text}" if key else text
