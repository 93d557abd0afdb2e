"""The configuration: errors and their messages, generated schema and tables."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from twinlib.config import Config, json_schema, key_reference, load_config, parse_config
from twinlib.errors import ConfigError

REPOSITORY = Path(__file__).parents[1]
FILES = sorted([*(REPOSITORY / "config").glob("*.yaml"), *(REPOSITORY / "config" / "examples").glob("*.yaml")])

GOOD: dict[str, Any] = {
    "corpus": {"root": "music"},
    "excitations": {"main": {"seed": 1, "slices": 1000}},
    "devices": {"silk": {"excitation": "main", "takes": "recordings/{reel}.wav"}},
    "training": {"steps": 100},
}


def edited(path: str, value: Any) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json.dumps(GOOD))
    *parents, key = path.split(".")
    section = content
    for name in parents:
        section = section.setdefault(name, {})
    if value is None:
        del section[key]
    else:
        section[key] = value
    return content


def test_the_patterns_of_takes_are_those_of_one_excitation() -> None:
    content = edited("excitations.other", GOOD["excitations"]["main"])
    content["devices"] |= {
        "iron": {"excitation": "main", "takes": "iron/{reel}.wav"},
        "clipper": {"excitation": "main", "simulate": {"circuit": "diode_clipper"}},
        "box": {"excitation": "other", "takes": "box/{reel}.wav"},
    }
    config = parse_config(content, "mine.yaml")
    assert config.take_patterns("main") == {"silk": "recordings/{reel}.wav", "iron": "iron/{reel}.wav"}
    assert config.take_patterns("other") == {"box": "box/{reel}.wav"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_example_configuration_is_valid(path: Path) -> None:
    assert load_config(path).twins()


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("excitation", {}, ["unknown key 'excitation'", "did you mean 'excitations'?"]),
        ("devices.silk.gain", 3, ["devices.silk", "unknown key 'gain'", "allowed are"]),
        ("devices.silk.excitation", "other", ["devices.silk.excitation", "'other'", "known: main"]),
        ("devices.silk.repair", ["hum"], ["devices.silk.repair", "'polarity', 'gain' or 'dc'"]),
        ("devices.silk.reference_channel", 1, ["devices.silk", "`channel` too"]),
        ("devices.silk.pairs", "x.tsv", ["devices.silk", "exactly one of takes, pairs and simulate"]),
        ("devices.silk.takes", None, ["devices.silk", "exactly one of takes, pairs and simulate"]),
        ("devices.silk.takes", "recordings/a.wav", ["devices.silk", "{reel}"]),
        ("devices.silk.excitation", None, ["devices.silk", "excitation"]),
        ("devices.si/lk", {"pairs": "x.tsv"}, ["devices.si/lk"]),
        (
            "excitations.main.split",
            {"train": 0.9, "valid": 0.2, "test": 0.1},
            ["excitations.main.split", "add up to 1"],
        ),
        ("excitations.main.crossfade_samples", 9000, ["excitations.main", "half of slice_samples"]),
        ("excitations.main.slices", 10**9, ["excitations.main", "44696 hours", "lower `slices`"]),
        ("excitations.main.slice_samples", 10**13, ["excitations.main", "hours"]),
        ("excitations.main.sample_rate", 10**9, ["excitations.main.sample_rate", "768000"]),
        ("excitations.main.bit_depth", 20, ["excitations.main.bit_depth", "16, 24 or 32"]),
        ("excitations.main.seed", "one", ["excitations.main.seed", "integer"]),
        ("excitations.main.guard_seconds", float("nan"), ["excitations.main.guard_seconds", "finite"]),
        ("excitations.main.split", {"train": 0.9, "valid": 0.1, "test": 0}, ["excitations.main.split", "above 0"]),
        ("excitations.main.reel_minutes", 0.01, ["excitations.main", "reel_minutes"]),
        ("corpus", None, ["excitations need a corpus"]),
        ("corpus.audio", ["mixes"], ["corpus.audio", "'mix', 'stems' or 'raw'"]),
        ("training.crop_samples", 10000, ["training.crop_samples", "does not fit a segment of 8192"]),
        ("training.cpu_seconds", 5, ["training", "exactly one of steps and cpu_seconds"]),
        ("models.big", {"preset": "nam-huge"}, ["models.big", "nam-standard"]),
        ("experiments", [{"device": "silk", "model": "big"}], ["experiments", "'big'", "known: small"]),
        ("search.small", {"device": "silk", "base": "small"}, ["search.small", "name of a model"]),
        ("search.tuned", {"device": "x", "base": "small"}, ["search.tuned.device", "'x'", "known: silk"]),
        ("search.tuned", {"device": "silk", "base": "x"}, ["search.tuned.base", "'x'", "known: small"]),
        (
            "search.tuned",
            {"device": "silk", "base": "small", "space": {"crop_samples": [1024, 9000]}},
            ["search.tuned.space.crop_samples", "9000", "segment of 8192"],
        ),
        ("dataset.guard_samples", 2, ["dataset.guard_samples", "8"]),
        ("devices", None, ["devices", "required"]),
    ],
)
def test_an_invalid_key_is_named_with_the_allowed_values(path: str, value: Any, words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(edited(path, value), "mine.yaml")
    message = str(caught.value)
    assert message.startswith("mine.yaml: ")
    for word in words:
        assert word in message
    assert "Traceback" not in message


def test_all_errors_are_reported_at_once() -> None:
    content = edited("excitations.main.seed", "one")
    content["training"]["batch"] = 0
    with pytest.raises(ConfigError) as caught:
        parse_config(content, "mine.yaml")
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("text", ["", "a: [", "- 1\n", "a: !!python/object/apply:os.getcwd []"])
def test_files_without_keys_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"mine\.yaml"):
        load_config(path)
    with pytest.raises(ConfigError, match="does not exist"):
        load_config(tmp_path / "none.yaml")


def test_knob_positions_and_keys_stay_as_written(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    knobs = "{time: 12:30, mix: 3:00, bright: on, cut: off, ratio: 010, level: 7, tone: 7.5, boost: true}"
    path.write_text(f"devices: {{1176: {{pairs: a.tsv, settings: {knobs}, card: {{serial: 0042, date: 2026-05-01}}}}}}")
    device = load_config(path).devices["1176"]
    assert device.settings == {
        "time": "12:30", "mix": "3:00", "bright": "on", "cut": "off", "ratio": "010", "level": 7, "tone": 7.5,
        "boost": True,
    }  # fmt: skip
    assert device.card.given == {"serial": "0042", "date": "2026-05-01"}


def test_later_files_and_overrides_replace_single_keys(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("devices: {box: {pairs: a.tsv, channel: 2}}\ntraining: {steps: 10, seed: 3}")
    second.write_text("training: {steps: 20}")
    config = load_config(first, second, overrides={"devices": {"box": {"channel": 1}}})
    assert (config.training.steps, config.training.seed) == (20, 3)
    assert (str(config.devices["box"].pairs), config.devices["box"].channel) == ("a.tsv", 1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("results", "my {results}"),
        ("corpus.exclude", "excluded {old}.tsv"),
        ("devices.silk.takes", "takes/<date>/{reel}.wav"),
    ],
)
def test_paths_that_the_workflow_would_change_are_refused_by_name(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(key) + ".*rename") as caught:
        parse_config(edited(key, value), "x")
    assert value.replace("{reel}", "reel") in str(caught.value)


def test_experiments_default_to_all_devices_with_all_models() -> None:
    content = edited("models", {"a": {}, "b": {"preset": "nam-nano"}})
    pairs = [(twin.device, twin.model) for twin in parse_config(content, "x").twins()]
    assert pairs == [("silk", "a"), ("silk", "b")]
    content["search"] = {"found": {"device": "silk", "base": "a"}}
    assert [twin.model for twin in parse_config(content, "x").twins()] == ["a", "b", "found"]
    content["experiments"] = [{"device": "silk", "model": "b"}]
    assert [twin.model for twin in parse_config(content, "x").twins()] == ["b"]


def test_the_schema_and_the_tables_are_up_to_date() -> None:
    config = REPOSITORY / "config"
    assert (config / "config.schema.json").read_text(encoding="utf-8") == json_schema(), "run `make reference`"
    assert (config / "README.md").read_text(encoding="utf-8").endswith(key_reference()), "run `make reference`"


def test_every_key_is_explained() -> None:
    content = Config.model_json_schema()
    for name, section in {"Config": content, **content["$defs"]}.items():
        for key, info in section.get("properties", {}).items():
            assert info.get("description"), f"{name}.{key} has no docstring"


def test_loading_a_configuration_imports_neither_torch_nor_mlflow() -> None:
    code = (
        "import sys, twinlib.config; print([name for name in ('torch', 'mlflow', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


TWIN = "results/twins/silk/small"


def test_a_twin_may_start_from_another_of_the_same_configuration() -> None:
    content = edited("models", {"small": {}, "big": {}})
    content["experiments"] = [
        {"device": "silk", "model": "small"},
        {"device": "silk", "model": "big", "warm_start": f"./{TWIN}/"},
    ]
    config = parse_config(content, "mine.yaml")
    assert config.training_settings("silk", "small").twin_to_start_from is None
    assert config.training_settings("silk", "big").twin_to_start_from == Path(TWIN) / "twin.safetensors"


@pytest.mark.parametrize("named", [TWIN, f"{TWIN}/twin.safetensors"])
def test_a_twin_cannot_start_from_itself(named: str) -> None:
    with pytest.raises(ConfigError, match="silk/small starts from silk/small"):
        parse_config(edited("training.warm_start", named), "mine.yaml")


def test_a_start_from_results_without_experiment_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"silk/old.* which no experiment trains"):
        parse_config(edited("training.warm_start", "results/twins/silk/old"), "mine.yaml")
    assert parse_config(edited("training.warm_start", "elsewhere/silk/old"), "mine.yaml")


def test_a_cycle_of_warm_starts_is_refused() -> None:
    content = edited("models", {"small": {}, "big": {}})
    content["experiments"] = [
        {"device": "silk", "model": "small", "warm_start": "results/twins/silk/big"},
        {"device": "silk", "model": "big", "warm_start": TWIN},
    ]
    with pytest.raises(ConfigError, match="silk/small starts from silk/big starts from silk/small"):
        parse_config(content, "mine.yaml")
