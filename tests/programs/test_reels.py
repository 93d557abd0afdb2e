"""Bad input to the programs that index the corpus and make reels."""

import json
from pathlib import Path

import pytest

from tests.cli_harness import (
    EXCITATION,
    Fails,
    Options,
)
from tests.programs.project import CAPTURE, REEL, flip
from twinlib.files import read_json, write_json


def test_invalid_corpora_are_named(fails: Fails, finished: tuple[Path, Options]) -> None:
    settings = json.loads(finished[1]["index_corpus"]["settings"])
    fails("index_corpus", "nowhere", settings=json.dumps({**settings, "root": "nowhere"}))
    Path("excluded.tsv").write_text("track_id\treason\nartist0/song\tnone\n")
    fails("index_corpus", "excluded.tsv", "header")
    fails("plan_excitation", "excluded.tsv", "header")
    Path("excluded.tsv").unlink()
    fails("plan_excitation", "excluded.tsv does not exist")
    for path in Path("corpus").rglob("*.wav"):
        path.write_bytes(b"RIFF")
    Path("excluded.tsv").write_text("track_id\treason\tdate\n")
    fails("index_corpus", "no usable sound file", "song.wav")


def test_missing_and_changed_sources_are_named(fails: Fails) -> None:
    source = Path("corpus/artist0/song.wav")
    good = source.read_bytes()
    flip(source, len(good) // 2)
    fails("render_reel", "artist0/song.wav")
    for stage in ("plan_excitation", "render_reel"):
        source.write_bytes(good[:3000])
        fails(stage, "artist0/song.wav")
        source.unlink()
        fails(stage, "artist0/song.wav does not exist")


def test_a_recorded_reel_is_never_made_with_other_bytes(fails: Fails) -> None:
    take = read_json(Path(f"{CAPTURE}/take.json"), "take/1")
    write_json(Path(f"{CAPTURE}/take.json"), "take/1", {**take, "kind": "take", "dry_sha256": "0" * 64})
    Path(REEL).unlink()
    fails("render_reel", "tiny-01 was recorded", "put it back")
    assert not Path(REEL).exists()


@pytest.mark.parametrize("stage", ["align_take", "cut_shard", "render_reel"])
def test_a_reel_missing_from_the_excitation_is_named(fails: Fails, stage: str) -> None:
    path = Path(f"{EXCITATION}/excitation.json")
    content = read_json(path, "excitation/1")
    write_json(path, "excitation/1", {**content, "reels": {"tiny-02": content["reels"]["tiny-01"]}})
    fails(stage, "tiny-01", "tiny-02")
