from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.corpus.factories import metadata, sound, track, write_metadata
from twinlib.corpus.medleydb import list_medleydb, parse_metadata, scan_medleydb
from twinlib.corpus.sources import Scan
from twinlib.errors import CorpusError

EVERYTHING = ("mix", "stems", "raw")


def found(root: Path, words: tuple[str, ...] = EVERYTHING, extra: Path | None = None) -> Scan:
    return scan_medleydb(root, words, extra)


def reasons(made: Scan) -> str:
    return "\n".join(f"{problem.file}: {problem.reason}" for problem in made.problems)


def test_a_track_has_its_mix_stems_and_raw_files_with_instruments(tmp_path: Path) -> None:
    track(tmp_path, "Anna_Song", 1)
    made = found(tmp_path)
    assert not made.problems
    assert [(source.kind, source.instrument) for source in made.sources] == [
        ("mix", ""),
        ("stem", "electric bass"),
        ("raw", "vocals; claps"),
    ]
    source = made.sources[0]
    assert (source.track_id, source.artist, source.title) == ("Anna_Song", "Anna the Artist", "Song")
    assert (source.genre, source.has_bleed) == ("Rock", False)


@pytest.mark.parametrize("words", [("mix",), ("stems",), ("raw",), ("raw", "mix")])
def test_only_requested_kinds_are_used_and_listed(tmp_path: Path, words: tuple[str, ...]) -> None:
    track(tmp_path, "Anna_Song", 1)
    made = found(tmp_path, words)
    assert {source.kind for source in made.sources} == {word.removesuffix("s") for word in words}
    watched = list_medleydb(tmp_path, words, None)
    assert {source.path for source in made.sources} <= set(watched)
    assert ("raw" in words) == any("_RAW_" in path.name for path in watched)


@pytest.mark.parametrize("place", ["beside", "Metadata", "extra"])
def test_metadata_is_found_in_each_folder(tmp_path: Path, place: str) -> None:
    extra = tmp_path / "package"
    root = tmp_path / "db"
    folder = {"beside": None, "Metadata": root / "Metadata", "extra": extra}[place]
    track(root, "Anna_Song", 1, place=folder)
    made = found(root, extra=extra)
    assert not made.problems
    assert made.sources[0].artist == "Anna the Artist"
    watched = list_medleydb(root, EVERYTHING, extra)
    assert sum(path.suffix == ".yaml" for path in watched) == 1
    assert watched == sorted(watched)


def test_metadata_in_the_track_folder_takes_precedence(tmp_path: Path) -> None:
    track(tmp_path, "Anna_Song", 1, artist="beside")
    write_metadata(tmp_path / "Metadata", "Anna_Song", metadata("Anna_Song", artist="elsewhere"))
    assert found(tmp_path).sources[0].artist == "beside"


def test_a_track_without_metadata_is_indexed_by_file_names_and_reported(tmp_path: Path) -> None:
    folder = track(tmp_path, "Anna_Song_Two", 1)
    (folder / "Anna_Song_Two_METADATA.yaml").unlink()
    made = found(tmp_path)
    assert {source.kind for source in made.sources} == {"mix", "stem", "raw"}
    assert {(source.artist, source.title, source.has_bleed) for source in made.sources} == {("Anna", "Song_Two", None)}
    assert "Audio/Anna_Song_Two: the track has no metadata" in reasons(made)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "not a mapping of keys to values"),
        ("[1, 2]", "not a mapping of keys to values"),
        ("a: [", "unusable"),
        ("!!python/object/apply:os.system ['true']", "unusable"),
        ("date: 2001-99-99", "unusable"),
        ("[" * 5000, "unusable"),
        (metadata("Anna_Song", artist=""), "no artist"),
        (metadata("Anna_Song", title=None), "no title"),
        (metadata("Anna_Song", artist=["a", "b"]), "artist is not text"),
        (metadata("Anna_Song", stems=["a"]), "stems are not named entries"),
        (metadata("Anna_Song", stems={"S01": "x"}), "stems are not named entries"),
        (metadata("Anna_Song", stems={"S01": {}}), "entry S01 has no filename"),
        (metadata("Anna_Song", stems={"S01": {"filename": "a.wav", "raw": {"R01": {}}}}), "entry R01 has no filename"),
        ("a: " + "x" * (1 << 20), "larger than 1 MiB"),
    ],
)
def test_unusable_metadata_is_reported_and_the_track_kept(tmp_path: Path, content: Any, reason: str) -> None:
    folder = track(tmp_path, "Anna_Song", 1)
    write_metadata(folder, "Anna_Song", content)
    made = found(tmp_path)
    assert made.sources[0].artist == "Anna"
    assert "unusable" in reasons(made)
    assert reason in reasons(made)


def test_metadata_that_is_not_text_is_reported(tmp_path: Path) -> None:
    folder = track(tmp_path, "Anna_Song", 1)
    (folder / "Anna_Song_METADATA.yaml").write_bytes(b"\xff\xfe\x00artist")
    assert "unusable" in reasons(found(tmp_path))


@pytest.mark.parametrize(
    ("written", "known"),
    [("yes", True), ("no", False), (True, True), (False, False), (" Yes ", True), ("perhaps", None), (None, None)],
)
def test_bleed(written: Any, known: bool | None) -> None:
    assert parse_metadata(metadata("A_B", has_bleed=written), Path("A_B")).has_bleed is known


@pytest.mark.parametrize(
    ("written", "known"),
    [("bass", "bass"), (["a", "b"], "a; b"), ([], ""), (None, ""), (" ", ""), ([None, "a "], "a"), (7, "7")],
)
def test_instruments(written: Any, known: str) -> None:
    content = metadata("A_B", stems={"S01": {"filename": "x.wav", "instrument": written}})
    assert parse_metadata(content, Path("A_B")).files[1].instrument == known


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(scalars, inner, max_size=3)
)


@given(st.dictionaries(st.sampled_from(sorted(metadata("A_B"))), anything))
@settings(deadline=None)
def test_any_metadata_is_used_or_rejected_with_a_reason(changes: dict[str, Any]) -> None:
    try:
        made = parse_metadata({**metadata("A_B"), **changes}, Path("A_B"))
    except CorpusError:
        return
    assert made.artist
    assert made.title


def test_missing_and_unlisted_files_are_reported(tmp_path: Path) -> None:
    folder = track(tmp_path, "Anna_Song", 1)
    (folder / "Anna_Song_STEMS/Anna_Song_STEM_01.wav").unlink()
    sound(folder / "Anna_Song_RAW/Anna_Song_RAW_09_09.wav", 9)
    sound(folder / "Anna_Song_RAW/._Anna_Song_RAW_01_01.wav", 10)
    made = found(tmp_path)
    assert [source.kind for source in made.sources] == ["mix", "raw"]
    assert "Anna_Song_STEM_01.wav: the file does not exist" in reasons(made)
    assert "Anna_Song_RAW_09_09.wav: the metadata does not list this file" in reasons(made)
    assert len(made.problems) == 2


def test_a_file_listed_twice_is_used_once(tmp_path: Path) -> None:
    entry = {"filename": "Anna_Song_STEM_01.wav", "instrument": "bass"}
    track(tmp_path, "Anna_Song", 1, stems={"S01": entry, "S02": entry})
    made = found(tmp_path, ("stems",))
    assert len(made.sources) == 1
    assert "lists this file twice" in reasons(made)


@pytest.mark.parametrize("suffix", [".flac", ".WAV", ".aiff"])
def test_a_corpus_in_another_format_is_found(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "Audio/Anna_Song"
    mix = sound(folder / f"Anna_Song_MIX{suffix}", 1)
    made = found(tmp_path, ("mix",))
    assert [source.path for source in made.sources] == ([mix] if suffix != ".WAV" else [])
    write_metadata(folder, "Anna_Song", metadata("Anna_Song", mix_filename=mix.name))
    made = found(tmp_path, ("mix",))
    assert [source.path for source in made.sources] == [mix]
    write_metadata(folder, "Anna_Song", metadata("Anna_Song"))
    if suffix != ".WAV":
        assert [source.path for source in found(tmp_path, ("mix",)).sources] == [mix]


@pytest.mark.parametrize("name", ["../../../secret.wav", "../../Bert_Song/Bert_Song_MIX.wav", "/{outside}/secret.wav"])
def test_paths_out_of_the_root_are_skipped(tmp_path: Path, name: str) -> None:
    secret = sound(tmp_path / "secret.wav", 7)
    root = tmp_path / "db"
    track(root, "Bert_Song", 2)
    track(root, "Anna_Song", 1, mix_filename=name.format(outside=tmp_path))
    made = found(root, ("mix",))
    assert [source.track_id for source in made.sources] == ["Bert_Song"]
    assert "leaves the corpus root: skipped" in reasons(made)
    assert all(source.path.resolve() != secret for source in made.sources)


def test_stem_folders_out_of_the_root_are_skipped(tmp_path: Path) -> None:
    sound(tmp_path / "Anna_Song_STEM_01.wav", 7)
    root = tmp_path / "db"
    track(root, "Anna_Song", 1, stem_dir="../../..")
    made = found(root, ("stems",))
    assert not made.sources
    assert "leaves the corpus root: skipped" in reasons(made)


def test_links_out_of_the_root_are_followed(tmp_path: Path) -> None:
    elsewhere = sound(tmp_path / "elsewhere.wav", 7)
    root = tmp_path / "db"
    folder = track(root, "Anna_Song", 1)
    (folder / "Anna_Song_MIX.wav").unlink()
    (folder / "Anna_Song_MIX.wav").symlink_to(elsewhere)
    outside = track(tmp_path / "other", "Bert_Song", 2)
    (root / "Audio/Bert_Song").symlink_to(outside)
    made = found(root)
    assert not made.problems
    assert {source.track_id for source in made.sources} == {"Anna_Song", "Bert_Song"}
    assert all(source.path.is_relative_to(root) for source in made.sources)
    assert {source.path for source in made.sources} <= set(list_medleydb(root, EVERYTHING, None))


def test_links_inside_the_root_are_followed(tmp_path: Path) -> None:
    folder = track(tmp_path, "Anna_Song", 1)
    (folder / "Anna_Song_MIX.wav").rename(tmp_path / "kept.wav")
    (folder / "Anna_Song_MIX.wav").symlink_to(tmp_path / "kept.wav")
    assert len(found(tmp_path, ("mix",)).sources) == 1
