"""The sub-commands of `twin audit` on the command line."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.audit.factories import Made
from twinlib.cli import main
from twinlib.corpus.exclusions import read_exclusions
from twinlib.provenance.take_history import note_take


class Twin:
    """The command, run in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *words: object) -> tuple[int, str, str]:
        """Exit code, standard output and standard error."""
        self._monkeypatch.setattr(sys, "argv", ["twin", "audit", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        output = self._capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, output.out, output.err

    def json(self, *words: object) -> dict[str, Any]:
        code, out, err = self(*words, "--json")
        assert code == 0, err
        answer: dict[str, Any] = json.loads(out)
        return answer


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Restore the signal handler that the command replaces."""
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def twin(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Twin:
    return Twin(monkeypatch, capsys)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("trace", "box/small"), "chain hash"),
        (("trace", "box/main-01/0000002048"), "segment box/main-01/0000002048"),
        (("verify",), "all files match their records"),
        (("leaks",), "No leaks between splits"),
        (("licences",), "not legal advice"),
        (("licences", "--attribution", "box/small"), "https://creativecommons.org/licenses/by/4.0/"),
        (("history",), "captures with a history: 0"),
        (("card",), "card.html"),
        (("croissant", "box"), "read back, "),
        (("crate",), "read back, "),
    ],
)
def test_every_question_answers_as_text_and_as_json(
    copied: Path, twin: Twin, words: tuple[str, ...], line: str
) -> None:
    code, out, err = twin(*words, "--results", copied)
    assert (code, line in out) == (0, True), err
    assert twin.json(*words, "--results", copied)


def test_verify_fails_on_a_difference(copied: Path, twin: Twin) -> None:
    (copied / "devices" / "box" / "leaks.json").unlink()
    code, out, err = twin("verify", "--results", copied)
    assert code == 1
    assert "devices/box/leaks.json: is missing" in out
    assert "dependent file: twins/box/small/twin.safetensors" in out
    assert "error: 1 file does not match the stage records" in err


def test_licences_fails_on_a_forbidden_use(copied: Path, twin: Twin) -> None:
    code, _, err = twin("licences", "--commercial", "--results", copied)
    assert code == 1
    assert "may not be sold" in err


def test_a_damaged_record_is_reported(copied: Path, twin: Twin) -> None:
    record = copied / "devices" / "box" / "leaks.json.prov.json"
    record.write_text("{")
    code, _, err = twin("trace", "box/small", "--results", copied)
    assert code == 0
    assert "devices/box/leaks.json.prov.json is not a readable record" in err
    code, out, _ = twin("verify", "--results", copied)
    assert code == 1
    assert "devices/box/leaks.json.prov.json: not a readable record" in out


def test_a_segment_is_written_as_audio(copied: Path, twin: Twin, tmp_path: Path) -> None:
    code, _, err = twin("trace", "box/main-01/0000020480", "--extract", tmp_path / "bug", "--results", copied)
    assert code == 0, err
    assert (tmp_path / "bug" / "wet.wav").is_file()
    code, _, err = twin("trace", "box/small", "--extract", tmp_path / "bug", "--results", copied)
    assert code == 1
    assert "only segments can be written as audio" in err


@pytest.mark.filterwarnings("ignore:The MLflow store .* does not exist")
def test_a_track_is_withdrawn_and_restored(made: Made, twin: Twin, tmp_path: Path) -> None:
    results, listed = Path(shutil.copytree(made.results, tmp_path / "results")), tmp_path / "excluded.tsv"
    (tmp_path / "mine.yaml").write_text("devices: {}\n")
    track = made.tracks[4]
    words = ("withdraw", track, "--results", results, "--exclude", listed)
    code, out, _ = twin(*words, "--dry-run")
    assert code == 0
    assert "box/small" in out
    assert not listed.exists()
    code, _, err = twin(*words)
    assert code == 1
    assert "give a reason" in err
    code, out, err = twin(*words, "--reason", "the artist asks for it")
    assert code == 0, err
    assert "snakemake --configfile mine.yaml --cores all" in out
    assert list(read_exclusions(listed)) == [track]
    assert twin.json(*words, "--undo")["undone"]
    assert read_exclusions(listed) == {}
    assert twin(*words, "--undo")[0] == 1


def test_the_history_of_a_take_is_listed_and_explained(copied: Path, twin: Twin) -> None:
    take = {"path": "a.wav", "sha256": "1" * 64, "frames": 5, "verdict": "suspect", "reasons": ["it hums"]}
    path = copied / "devices" / "box" / "main-01" / "history.json"
    for number, day in ((1, 2), (2, 3)):
        note_take(path, {**take, "sha256": str(number) * 64}, date(2026, 1, day))
    code, out, _ = twin("history", "--results", copied)
    assert code == 0
    assert "the previous take was suspect: it hums" in out
    code, out, _ = twin("history", "box/main-01", "--reason", "a new cable", "--results", copied)
    assert code == 0
    assert "a new cable" in out
    code, _, err = twin("history", "box/nothing", "--results", copied)
    assert code == 1
    assert "no history of takes of box/nothing" in err
    assert twin.json("trace", "box/main-01/0000020480", "--results", copied)["earlier_takes"][0]["sha256"] == "1" * 64


PROGRAM = """
import sys
from contextlib import suppress
from twinlib.cli import main
for words in (("trace", "box/small"), ("withdraw", sys.argv[1], "--dry-run"), ("leaks",), ("licences",)):
    sys.argv[1:] = ["audit", *words]
    with suppress(SystemExit):
        main()
sys.exit(", ".join(sorted({"mlflow", "torch"} & set(sys.modules))) or 0)
"""


def test_quick_questions_do_not_import_torch_or_mlflow(made: Made) -> None:
    command = [sys.executable, "-c", PROGRAM, made.tracks[4]]
    done = subprocess.run(command, cwd=made.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for answer in ("box/small", "twins to retrain", "No leaks between splits", "CC BY 4.0"):
        assert answer in done.stdout


def test_wrong_arguments(twin: Twin, tmp_path: Path) -> None:
    assert twin("ask")[0] == 2
    code, _, err = twin("verify", "--results", tmp_path)
    assert code == 1
    assert "contains no stage record" in err
