"""Reruns after an edit: job counts, job order, and cases that are not in the tables of workflow/README.md."""

import shutil
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.workflow.project import RATE, REPOSITORY, TINY, Project, Run, noise
from twinlib import audio

pytestmark = pytest.mark.slow


def edited(path: str, value: Any) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(yaml.safe_dump(TINY))
    *parents, key = path.split(".")
    section = content
    for name in parents:
        section = section.setdefault(name, {})
    section[key] = value
    return content


def test_a_knob_position_without_quotes_is_the_same_as_with_quotes(project: Project) -> None:
    path = project.folder / "config.yaml"
    text = path.read_text()
    assert "tone: '12:30'" in text
    path.write_text(text.replace("tone: '12:30'", "tone: 12:30"))
    assert project.plan() == {}


def test_a_new_twin_retrains_no_other_twin(project: Project) -> None:
    content = edited("models.other", {"channels": 3, "kernel_size": 3, "dilations": [1, 2]})
    content["experiments"].append({"device": "box", "model": "other"})
    project.write(content)
    assert project.plan() == {
        "train_twin": 1,
        "export_twin": 1,
        "evaluate_twin": 1,
        "build_twin_page": 1,
        "log_run": 1,
        "build_summary": 1,
        "build_comparison": 1,
    }


def test_the_source_of_a_warm_start_is_trained_first(project: Project) -> None:
    content = edited("experiments", [{"device": "amp", "model": "tiny"}])
    content["experiments"].append({"device": "box", "model": "tiny", "warm_start": "results/twins/amp/tiny"})
    project.write(content)
    run = project.dry("results/twins/box/tiny/run.json")
    assert run.rules == {"train_twin": 1, "export_twin": 1, "evaluate_twin": 1, "build_twin_page": 1, "log_run": 1}
    (project.folder / "results" / "twins" / "amp" / "tiny" / "twin.safetensors").unlink()
    assert project.plan("results/twins/box/tiny/twin.safetensors") == {"train_twin": 2}


def test_a_warm_start_from_itself_is_refused(project: Project) -> None:
    project.write(edited("training.warm_start", "results/twins/amp/tiny"))
    run = project.dry()
    assert run.code != 0
    assert "amp/tiny starts from amp/tiny" in run.text
    assert "Traceback" not in run.text


def exclude(project: Project) -> None:
    (project.folder / "excluded.tsv").write_text("track_id\treason\tdate\nartist1/song\twithdrawn\t2026-01-01\n")


def add_track(project: Project) -> None:
    audio.write(project.folder / "corpus" / "new" / "song.wav", noise(3.0, 50), RATE, "PCM_16")


def add_loop_back_channel(project: Project) -> None:
    (project.folder / "pairs.tsv").write_text(
        "capture\tdry\twet\treference_channel\none\tpairs/dry.wav\tpairs/wet.wav\t2\n"
    )


def replace_pair(project: Project) -> None:
    dry = audio.read(project.folder / "pairs" / "dry.wav")
    audio.write(project.folder / "pairs" / "wet.wav", 0.4 * dry, RATE, "PCM_24")


@pytest.mark.parametrize(
    ("change", "starts_with", "jobs_of_train"),
    [
        (exclude, "index_corpus", 1),
        (add_track, "index_corpus", 1),
        (replace_pair, "ingest_take", 1),
        (add_loop_back_channel, "ingest_take", 1),
    ],
)
def test_a_changed_input_retrains_only_its_device(
    project: Project, change: Callable[[Project], None], starts_with: str, jobs_of_train: int
) -> None:
    change(project)
    planned = project.plan()
    assert starts_with in planned
    assert planned["train_twin"] == jobs_of_train, "the other device does not depend on it"


@pytest.fixture(scope="module")
def checkout(first: tuple[Project, Run], tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The finished project with an editable copy of the repository."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("workflow", "scripts", "twinlib"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, folder / "repository" / name, ignore=ignore)
    shutil.copy(REPOSITORY / "requirements.lock", folder / "repository")
    return Project(first[0].copy(folder / "project", metadata=True).folder, folder / "repository")


def test_an_edited_docstring_or_comment_reruns_nothing(checkout: Project) -> None:
    path = checkout.repository / "twinlib" / "audio.py"
    before = path.read_text()
    try:
        path.write_text(
            before.replace('"""Sound files as streams', '"""Files of sound as streams') + "\n# A comment.\n"
        )
        assert path.read_text() != before
        assert checkout.plan() == {}
    finally:
        path.write_text(before)


def test_a_copy_of_the_repository_reruns_nothing(checkout: Project) -> None:
    assert checkout.plan() == {}
