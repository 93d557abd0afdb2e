"""Names of anything that the configuration or a list of pairs names: they work, or the rule is said at the door."""

import copy
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twinlib.audio import write
from twinlib.capture.pairs import read_pairs
from twinlib.config import load_config, parse_config
from twinlib.corpus import Corpus, index_corpus, source_files
from twinlib.corpus import sources as corpus_sources
from twinlib.errors import CaptureError, ConfigError

GOOD: dict[str, Any] = {
    "corpus": {"root": "music"},
    "excitations": {"main": {"seed": 1, "slices": 1000}},
    "devices": {"silk": {"excitation": "main", "takes": "recordings/{reel}.wav"}},
    "models": {"small": {"channels": 4}},
    "search": {},
    "training": {"steps": 100},
}
ODD_FOLDERS = [
    "a b",
    "it's",
    'the "best"',
    "$(id)",
    "a;b",
    "a&b",
    "-rf",
    "é",
    "音",
    "100%",
    "a\\b",
    "#1",
    "~",
    "*",
    "a|b",
    "<b",
]
"""Folders that work: shells, formats and Snakemake treat some of their characters in special ways."""

RULE = "a name holds only letters"


@pytest.mark.parametrize("section", ["excitations", "devices", "models"])
@pytest.mark.parametrize(
    "name",
    ["a b", "{x}", "<b>", "-rf", ".x", "..", "a/b", "é", "$(id)", "it's", "a\u202eb", "", "a" * 101, "a\nb", "a\x1bb"],
)
def test_a_name_is_refused_with_the_rule(section: str, name: str) -> None:
    content = copy.deepcopy(GOOD)
    content[section][name] = next(iter(content[section].values()))
    with pytest.raises(ConfigError) as refused:
        parse_config(content, "mine.yaml")
    message = str(refused.value)
    assert message.startswith("mine.yaml: ")
    assert any(words in message for words in (RULE, "at most 100 characters", "control characters"))
    assert not {"\x1b", "\u202e"} & set(message)


@pytest.mark.parametrize("section", ["excitations", "devices", "models"])
def test_names_that_differ_only_in_capitals_are_refused(section: str) -> None:
    content = copy.deepcopy(GOOD)
    name, value = next(iter(content[section].items()))
    content[section][name.upper()] = value
    with pytest.raises(ConfigError, match=f"{section}: {name} and {name.upper()} differ only in capitals"):
        parse_config(content, "mine.yaml")


@pytest.mark.parametrize("folder", ODD_FOLDERS)
def test_odd_folders_are_allowed_in_paths(folder: str, tmp_path: Path) -> None:
    content = copy.deepcopy(GOOD)
    content["results"] = f"{folder}/results"
    content["corpus"]["root"] = f"{folder}/music"
    content["devices"]["silk"]["takes"] = f"{folder}/{{reel}}.wav"
    config = parse_config(content, "mine.yaml")
    assert config.results == f"{folder}/results"
    (tmp_path / "pairs.tsv").write_text(f"capture\tdry\twet\none\t{folder}/dry.wav\t{folder}/wet.wav\n")
    (pair,) = read_pairs(tmp_path / "pairs.tsv")
    assert pair.dry == Path(folder) / "dry.wav"


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("{x}", "contains '{'"),
        ("x}", "contains '}'"),
        ("{capture}", "contains '{'"),
        ("<b>", "contains '<b>'"),
        ("<results>", "contains '<results>'"),
        ("a\nb", "control character"),
        ("a\x1b[2J", "control character"),
        ("a\0", "control character"),
        ("é" * 200, "more than 255 bytes"),
    ],
)
@pytest.mark.parametrize("key", ["results", "corpus.exclude", "devices.silk.takes", "devices.box.pairs", "pairs"])
def test_a_path_that_would_be_replaced_is_refused(key: str, folder: str, words: str, tmp_path: Path) -> None:
    content = copy.deepcopy(GOOD)
    if key == "pairs":
        if "\n" in folder:
            # A line break ends the row.
            return
        (tmp_path / "pairs.tsv").write_text(f"capture\tdry\twet\none\t{folder}/dry.wav\twet.wav\n")
        with pytest.raises(CaptureError, match=rf"pairs\.tsv, line 2: .*{words}"):
            read_pairs(tmp_path / "pairs.tsv")
        return
    *parents, last = key.split(".")
    section = content
    for name in parents:
        section = section.setdefault(name, {})
    section[last] = f"{folder}/{{reel}}.wav" if last == "takes" else f"{folder}/x.tsv"
    with pytest.raises(
        ConfigError, match=words.replace("contains '}'", "'}'|braces").replace("contains '{'", "'{'|braces")
    ):
        parse_config(content, "mine.yaml")


@pytest.mark.parametrize(
    ("capture", "words"),
    [
        ("a b", "may contain only letters"),
        ("{x}", "may contain only letters"),
        ("-rf", "may contain only letters"),
        ("..", "may contain only letters"),
        ("a\x1b[2J", "may contain only letters"),
        ("a" * 101, "longer than 100 letters"),
        ("shards", "name of a file of the workflow"),
        ("dataset.json", "name of a file of the workflow"),
        ("segments.parquet", "name of a file of the workflow"),
        ("Shards", "name of a file of the workflow"),
        ("ONE", "already in line 2"),
    ],
)
def test_a_capture_is_refused_with_the_rule(capture: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text(f"capture\tdry\twet\none\td.wav\tw.wav\n{capture}\td.wav\tw.wav\n")
    with pytest.raises(CaptureError, match=rf"pairs\.tsv, line 3: .*{words}") as refused:
        read_pairs(tmp_path / "pairs.tsv")
    assert "\x1b" not in str(refused.value)


def test_control_characters_anywhere_in_the_configuration_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text('devices: {silk: {pairs: p.tsv, settings: {"tone": "\\e[2J"}}}')
    with pytest.raises(ConfigError, match=r"mine\.yaml: devices\.silk\.settings\.tone: control characters"):
        load_config(path)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A corpus with one good file among files that cannot be read."""
    folder = tmp_path / "music" / "A"
    folder.mkdir(parents=True)
    write(folder / "good.wav", np.full((4000, 1), 0.1, np.float32), 8000, "PCM_16")
    (folder / "dangling.wav").symlink_to("absent.wav")
    (folder / "loop.wav").symlink_to("loop.wav")
    os.mkfifo(folder / "pipe.wav")
    write(folder / "control\x1b[2J.wav", np.full((4000, 1), 0.2, np.float32), 8000, "PCM_16")
    write(folder / "locked.wav", np.full((4000, 1), 0.3, np.float32), 8000, "PCM_16")
    os.close(os.open(os.fsencode(folder) + b"/\xff.wav", os.O_CREAT))
    return tmp_path / "music"


@pytest.mark.parametrize("layout", ["folder", "medleydb"])
def test_no_file_of_a_corpus_stops_its_index(layout: Any, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The superuser may read everything.
    monkeypatch.setattr(corpus_sources.os, "access", lambda path, mode: not str(path).endswith("locked.wav"))
    settings = Corpus(root=corpus, layout="folder", licence="CC0-1.0")
    if layout == "medleydb":
        (corpus / "A").rename(corpus / "A_Song")
        for path in (corpus / "A_Song").iterdir():
            path.rename(path.with_name(f"A_Song_{path.name}"))
        (corpus / "A_Song" / "A_Song_STEMS").mkdir()
        for path in list((corpus / "A_Song").glob("*.wav")):
            path.rename(corpus / "A_Song" / "A_Song_STEMS" / path.name)
        settings = Corpus(root=corpus, audio=("stems",))
    files = source_files(settings)
    assert [path.name.removeprefix("A_Song_") for path in files] == ["good.wav"]
    found = index_corpus(settings)
    assert len(found.tracks) == 1
    reasons = {
        problem.file.rsplit("/", 1)[1].removeprefix("A_Song_"): problem.reason
        for problem in found.problems
        if "/" in problem.file
    }
    assert {name: words.split(":")[0] for name, words in reasons.items()} == {
        "dangling.wav": "the target of the link does not exist",
        "loop.wav": "the target of the link does not exist",
        "pipe.wav": "it is a named pipe, not a file",
        "control\\x1b[2J.wav": "the name holds control characters",
        "locked.wav": "it cannot be read",
        "\\udcff.wav": "the name is not valid UTF-8",
    }
