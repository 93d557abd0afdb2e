from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from tests.corpus.factories import metadata, sound, track, write_metadata
from twinlib.contracts import INDEX, TRACKS
from twinlib.corpus import Corpus
from twinlib.corpus.index import (
    CorpusIndex,
    describe_corpus,
    describe_index,
    file_names_digest,
    index_corpus,
    source_files,
    summary,
    write_index,
)
from twinlib.corpus.passed_over import describe_passed_over
from twinlib.errors import CorpusError
from twinlib.files import read_json, read_table, sha256_file

COLUMNS = [
    "track_id",
    "artist",
    "artist_family",
    "title",
    "genre",
    "licence",
    "has_bleed",
    "kind",
    "instrument",
    "path",
]
COLUMNS += ["sample_rate", "channels", "frames", "sha256"]


def of_folder(root: Path, **settings: object) -> CorpusIndex:
    return index_corpus(Corpus.model_validate({"root": root, "layout": "folder", "licence": "CC0-1.0", **settings}))


def reasons(made: CorpusIndex) -> str:
    return "\n".join(f"{problem.file}: {problem.reason}" for problem in made.problems)


def test_the_table_has_one_sorted_row_per_source_with_its_digest(tmp_path: Path) -> None:
    track(tmp_path, "Bert_Song", 2, has_bleed="yes")
    track(tmp_path, "Anna_Song", 1)
    done: list[float] = []
    settings = Corpus(root=tmp_path, audio=("raw", "stems", "mix"))
    made = index_corpus(settings, lambda n, note="": done.append(n))
    tracks = made.tracks
    assert list(tracks.columns) == COLUMNS
    assert sum(done) == len(tracks) == 6
    assert tracks.kind.tolist() == ["mix", "raw", "stem"] * 2
    assert set(tracks.licence) == {"CC BY-NC-SA 4.0"}
    assert tracks.has_bleed.tolist() == [False] * 3 + [True] * 3
    assert tracks.path[0] == "Audio/Anna_Song/Anna_Song_MIX.wav"
    for row in tracks.itertuples():
        assert row.sha256 == sha256_file(tmp_path / row.path)
        assert (row.sample_rate, row.frames) == (44100, 8820)
    assert {tmp_path / path for path in tracks.path} <= set(source_files(settings))


def test_index_files_give_the_same_bytes_and_read_back(tmp_path: Path) -> None:
    root = tmp_path / "db"
    track(root, "Anna_Song", 1)
    folder = track(root, "Bert_Song", 2)
    (folder / "Bert_Song_METADATA.yaml").unlink()
    settings = Corpus(root=root, exclude_artists=("Bert", "Zoe"))
    for name in ("a", "b"):
        write_index(tmp_path / name, index_corpus(settings))
    for name in ("tracks.parquet", "index.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    made = index_corpus(settings)
    pd.testing.assert_frame_equal(read_table(tmp_path / "a/tracks.parquet", TRACKS), made.tracks)
    assert made.tracks.has_bleed.isna().tolist() == [False, True]
    assert "Bert_Song" in set(made.tracks.track_id)
    content = read_json(tmp_path / "a/index.json", INDEX)
    assert content == summary(made)
    assert (content["tracks"], content["artists"], content["sources"]) == (2, 2, 2)
    assert content["hours"] == pytest.approx(0.4 / 3600, abs=1e-6)
    assert content["excluded"] == [{"track_id": "Bert_Song", "reason": "the artist Bert is excluded"}]
    assert content["excluded_not_in_corpus"] == ["artist Zoe"]
    assert "no metadata" in content["problems"][0]["reason"]


def test_licences_are_overridden_track_by_track(tmp_path: Path) -> None:
    sound(tmp_path / "db/Anna/one.wav", 1)
    sound(tmp_path / "db/Bert/two.wav", 2)
    listed = tmp_path / "licences.tsv"
    listed.write_text("track_id\tlicence\nBert/two\tCC BY 4.0\nZoe/three\tCC BY 4.0\n")
    made = of_folder(tmp_path / "db", licences=listed)
    assert dict(zip(made.tracks.track_id, made.tracks.licence, strict=True)) == {
        "Anna/one": "CC0-1.0",
        "Bert/two": "CC BY 4.0",
    }
    assert "the track Zoe/three is not in the corpus" in reasons(made)
    assert listed in source_files(Corpus(root=tmp_path / "db", layout="folder", licence="x", licences=listed))
    listed.write_text("track_id\tlicence\nBert/two\t\n")
    with pytest.raises(CorpusError, match="no licence for Bert/two"):
        of_folder(tmp_path / "db", licences=listed)


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".aiff", ".ogg"])
def test_a_truncated_file_is_reported_and_skipped(tmp_path: Path, suffix: str) -> None:
    sound(tmp_path / "Anna/fine.wav", 1)
    path = sound(tmp_path / f"Bert/cut{suffix}", 2, seconds=2)
    assert len(of_folder(tmp_path).tracks) == 2
    cut(path)
    made = of_folder(tmp_path)
    assert made.tracks.track_id.tolist() == ["Anna/fine"]
    assert f"Bert/cut{suffix}: " in reasons(made)
    assert len(made.problems) == 1


def test_damaged_files_are_reported_and_skipped(tmp_path: Path) -> None:
    sound(tmp_path / "Anna/fine.wav", 1)
    (tmp_path / "Bert").mkdir()
    (tmp_path / "Bert/empty.wav").write_bytes(b"")
    (tmp_path / "Bert/text.wav").write_text("no sound")
    soundfile.write(str(tmp_path / "Bert/none.wav"), np.zeros((0, 1)), 44100)
    sound(tmp_path / "Bert/wide.wav", 2, channels=6)
    samples = np.zeros(44100, np.float32)
    samples[4410] = np.nan
    soundfile.write(str(tmp_path / "Bert/nan.wav"), samples, 44100, subtype="FLOAT")
    made = of_folder(tmp_path)
    assert made.tracks.track_id.tolist() == ["Anna/fine"]
    found = reasons(made)
    assert "Bert/none.wav" in found
    assert "contains no samples" in found
    assert "6 channels; only one or two are supported" in found
    assert "sample 4410 (0.10 s) is NaN or Inf" in found
    assert len(made.problems) == 5


def test_a_header_of_unknown_length_is_accepted(tmp_path: Path) -> None:
    # As ffmpeg writes into a pipe.
    path = sound(tmp_path / "Anna/piped.wav", 1)
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[at : at + 4] = b"\xff\xff\xff\xff"
    content[4:8] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    made = of_folder(tmp_path)
    assert made.tracks.frames.tolist() == [8820]


def test_an_unfinished_header_is_used_and_reported(tmp_path: Path) -> None:
    path = sound(tmp_path / "Anna/take.wav", 1)
    content = path.read_bytes()
    at = content.index(b"data") + 4
    path.write_bytes(content[:4] + bytes(4) + content[8:at] + bytes(4) + content[at + 4 :])
    made = of_folder(tmp_path)
    assert made.tracks.frames.tolist() == [8820]
    assert "read to its end (0.20 s)" in reasons(made)


def test_files_of_other_formats_are_counted_by_kind(tmp_path: Path) -> None:
    for name in ("one.mp3", "two.MP3", "three.caf", "four.WAVE", "cover.jpg", "notes", ".hidden.mp3"):
        (tmp_path / "Anna").mkdir(exist_ok=True)
        (tmp_path / "Anna" / name).write_bytes(b"x")
    with pytest.raises(CorpusError, match=r"no WAV, FLAC, AIFF or OGG among 6 files: \.caf, \.jpg, \.mp3, \.wave"):
        of_folder(tmp_path)
    sound(tmp_path / "Anna/song.wav", 1)
    sound(tmp_path / "Bert/song.ogg", 2)
    content = summary(of_folder(tmp_path))
    assert content["passed_over"] == {".caf": 1, ".jpg": 1, ".mp3": 2, ".wave": 1, "no suffix": 1}
    assert content["lossy"] == {"Vorbis": 1}
    lines = describe_index(content)
    assert "4 files of the corpus are passed over (1 .caf, 2 .mp3, 1 .wave)" in lines[0]
    assert "1 source is lossy (Vorbis)" in lines[1]
    assert describe_passed_over({".jpg": 3}) is None


def test_files_that_appear_after_the_index_are_counted_too(tmp_path: Path) -> None:
    """Their suffixes change nothing in the index itself, so that it is not made again."""
    root = tmp_path / "music"
    sound(root / "Anna/song.ogg", 1)
    settings, index = Corpus(root=root, layout="folder", licence="CC0-1.0"), tmp_path / "corpus" / "index.json"
    assert describe_corpus(settings, index) == [], "no index yet"
    before = file_names_digest(settings)
    write_index(index.parent, index_corpus(settings))
    (lossy,) = describe_corpus(settings, index)
    (root / "Anna/live.m4a").touch()
    passed_over, again = describe_corpus(settings, index)
    assert again == lossy
    assert passed_over.startswith("1 file of the corpus is passed over (1 .m4a)")
    assert file_names_digest(settings) == before


def test_the_same_audio_of_two_artists_is_used_once(tmp_path: Path) -> None:
    first = sound(tmp_path / "Anna/one.wav", 1)
    (tmp_path / "Bert").mkdir()
    (tmp_path / "Bert/copy.wav").write_bytes(first.read_bytes())
    made = of_folder(tmp_path)
    assert made.tracks.track_id.tolist() == ["Anna/one"]
    assert "Bert/copy.wav: the same audio as Anna/one.wav of another track" in reasons(made)


def test_a_stem_identical_to_its_raw_file_is_kept(tmp_path: Path) -> None:
    folder = track(tmp_path, "Anna_Song", 1)
    raw = folder / "Anna_Song_RAW/Anna_Song_RAW_01_01.wav"
    (folder / "Anna_Song_STEMS/Anna_Song_STEM_01.wav").write_bytes(raw.read_bytes())
    assert len(index_corpus(Corpus(root=tmp_path, audio=("stems", "raw"))).tracks) == 2


def test_a_corpus_without_a_usable_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no usable sound file"):
        of_folder(tmp_path)
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(CorpusError, match=r"text\.wav"):
        of_folder(tmp_path)


def test_a_missing_root_is_refused_with_the_remedy(tmp_path: Path) -> None:
    settings = Corpus(root=tmp_path / "none")
    for asked in (index_corpus, source_files):
        with pytest.raises(CorpusError, match=r"set corpus\.root"):
            asked(settings)


def test_source_files_change_with_what_the_index_reads(tmp_path: Path) -> None:
    track(tmp_path, "Anna_Song", 1)
    before = source_files(Corpus(root=tmp_path))
    assert [path.name for path in before] == ["Anna_Song_METADATA.yaml", "Anna_Song_MIX.wav"]
    write_metadata(tmp_path / "Metadata", "Bert_Song", metadata("Bert_Song"))
    assert source_files(Corpus(root=tmp_path)) == before
    track(tmp_path, "Bert_Song", 2)
    assert set(before) < set(source_files(Corpus(root=tmp_path)))


def test_the_demo_corpus_has_no_problems() -> None:
    root = Path(__file__).parents[2] / "config/demo_corpus"
    made = index_corpus(Corpus(root=root, licence="CC0-1.0"))
    assert made.problems == []
    assert len(made.tracks) == 17
    assert made.tracks.artist.nunique() == 13
    page = (root / "LICENCE.md").read_text(encoding="utf-8")
    for row in made.tracks.itertuples():
        assert f"| {row.track_id} |" in page
        assert f"| {row.artist} |" in page


def test_the_index_lists_artists_that_are_joined_and_names_that_are_only_similar(tmp_path: Path) -> None:
    for number, (name, artist) in enumerate(
        {
            "MusicDelta_Rock": "Music Delta",
            "MusicDelta_Beatles": "Music Delta Multitracks",
            "Metallica_One": "Metallica",
            "Metalica_Two": "Metalica",
            "Zoe_Song": "Zoe",
        }.items()
    ):
        track(tmp_path, name, number, artist=artist)
    settings = Corpus(root=tmp_path, exclude_artists=("Metallica",), artists={"Zoe": ("Zoé", "Nobody")})
    made = index_corpus(settings)
    content = summary(made)
    assert (content["artists"], content["artist_families"]) == (5, 4)
    assert content["joined_artists"] == {"Music Delta": ["Music Delta", "Music Delta Multitracks"]}
    assert content["near_names"] == [{"names": ["Metalica", "Metallica"], "reason": "spelling"}]
    assert made.tracks.artist.nunique() == 5, "as written"
    assert "corpus.artists: no track is credited to Nobody" in reasons(made)
    lines = describe_index(content)
    assert len(lines) == 3
    assert "Music Delta (Music Delta, Music Delta Multitracks)" in lines[0]
    assert "Metalica and Metallica" in lines[1]
    assert "corpus.artists" in lines[1]
    assert "Metallica matches 1 tracks; 1 more (Metalica)" in lines[2]
    assert describe_index({"tracks": 1}) == [], "an index of an older version"
