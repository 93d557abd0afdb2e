"""Traces back to tracks, takes, settings and code, from the results folder alone."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.audit.factories import GUARD, REPOSITORY, Made
from twinlib import audio
from twinlib.audit.exports import export_segment
from twinlib.audit.pages import render_text
from twinlib.audit.results_folder import ResultsFolder
from twinlib.audit.trace import trace
from twinlib.contracts import CUES, SEGMENTS
from twinlib.errors import AuditError
from twinlib.files import read_table, sha256_file, write_json
from twinlib.provenance.record import stage_record


def rows(folder: Path, device: str) -> pd.DataFrame:
    return read_table(folder / "devices" / device / "segments.parquet", SEGMENTS)


def test_every_segment_has_its_sources_take_settings_and_stages(made: Made, copied: Path) -> None:
    results = ResultsFolder(copied)
    cues = read_table(made.results / "excitations" / "main" / "cues.parquet", CUES)
    for _, row in rows(made.results, "box").iloc[::7].iterrows():
        found = trace(results, row.segment_id)
        on_reel = cues[(cues.reel == row.capture) & (cues.start < row.stop) & (cues.stop > row.start)]
        assert sorted(one["track_id"] for one in found["sources"]) == sorted(on_reel.track_id)
        assert {one["licence"] for one in found["sources"]} == set(row.licences)
        for one in found["sources"]:
            cue = on_reel[on_reel.track_id == one["track_id"]].iloc[0]
            assert one["source_start"] - cue.source_start == one["start"] - cue.start
            assert one["source_stop"] - one["source_start"] == one["stop"] - one["start"]
            assert one["source_sha256"] == cue.source_sha256
            assert one["title"] == cue.track_id.split("/")[1]
        assert found["take"]["sha256"] == row.take_sha256
        assert found["take"]["settings"] == json.loads(row.settings)
        assert [one["stage"] for one in found["stages"]] == [
            "index_corpus",
            "plan_excitation",
            "render_reel",
            "align_take",
            "ingest_take",
            "cut_shard",
        ]
        assert all(one["code"] and one["link"] for one in found["stages"])
        assert row.segment_id in render_text("trace", found)


def test_the_left_context_of_a_segment_is_traced(made: Made) -> None:
    table = rows(made.results, "fuzz")
    row = table[table.context > 0].iloc[5]
    found = trace(ResultsFolder(made.results), row.segment_id)
    assert found["context"]
    assert {one["split"] for one in found["context"]} == {row.split}
    assert max(one["stop"] for one in found["context"]) <= row.start


def test_a_twin_is_traced_to_its_tracks_takes_and_exclusions(made: Made, copied: Path) -> None:
    found = trace(ResultsFolder(copied), "box/small")
    used = rows(made.results, "box")
    used = used[used.split != ""]
    assert [one["track_id"] for one in found["tracks"]] == sorted(set(used.track_ids.explode()))
    counts = used.explode("track_ids").groupby(["track_ids", "split"]).size()
    assert {(one["track_id"], split): one[split] for one in found["tracks"] for split in one.keys() & {"train"}} == {
        key: count for key, count in counts.items() if key[1] == "train"
    }
    assert made.excluded[0] in found["left_out"]["tracks"]
    assert made.excluded[0] not in {one["track_id"] for one in found["tracks"]}
    assert found["dataset_is_current"]
    assert set(found["takes"]) == set(made.captures)
    assert found["stages"][-1]["stage"] == "train_twin"
    assert made.excluded[0] in render_text("trace", found)
    by_file = trace(ResultsFolder(copied), str(copied / "twins" / "box" / "small" / "twin.safetensors"))
    assert by_file == trace(ResultsFolder(copied), str(copied / "twins" / "box" / "small")) == found


def test_a_segment_of_a_pair_names_its_dry_file(made: Made) -> None:
    segment = rows(made.results, "pedal").iloc[0].segment_id
    found = trace(ResultsFolder(made.results), segment)
    assert found["excitation"] is None
    assert "pairs/" in found["segment"]["sources"][0]
    assert found["segment"]["sources"][0] in render_text("trace", found)


def test_a_file_is_identified_by_its_path_or_its_content(made: Made, copied: Path, tmp_path: Path) -> None:
    results = ResultsFolder(copied)
    by_path = trace(results, str(copied / "devices" / "box" / "main-01" / "take.json"))
    assert by_path["made_by"]["stage"] == "ingest_take"
    assert "devices/box/shards/main-01.arrow" in by_path["dependants"]
    assert "twins/box/small/twin.safetensors" in by_path["dependants"]
    assert by_path["sources"] == sorted(
        [f"corpus/{track}.wav" for track in made.tracks] + ["recordings/box/main-01.wav"]
    )
    unnamed = Path(shutil.copy(made.folder / "recordings" / "box" / "main-02.wav", tmp_path / "what_is_this.wav"))
    found = trace(results, str(unnamed))
    assert (found["file"], found["made_by"]) == ("recordings/box/main-02.wav", None)
    assert found["sha256"] == [sha256_file(unnamed)]
    assert "devices/box/main-02/take.json" in render_text("trace", found)


def clips(made: Made, folder: Path) -> tuple[Path, list[dict[str, Any]]]:
    """A listening clip of two pieces of the test split, in a copy of the results."""
    table = rows(made.results, "box")
    table = table[(table.split == "test") & (table.row >= 0)]
    first, last = table.iloc[0], table.iloc[-1]
    size = int(first.stop - first.start)
    pieces = [
        {"start": 0, "stop": 100, "shard": first.shard, "shard_start": int(first.row) * size + 50},
        {"start": 900, "stop": 1000, "shard": last.shard, "shard_start": int(last.row) * size},
    ]
    listening = folder / "twins" / "box" / "small" / "evaluation" / "listening"
    write_json(listening / "clips.json", "clips/1", {"seconds": 0.125, "sample_rate": 8000, "pieces": pieces})
    audio.write(listening / "twin.flac", np.zeros(1000, np.float32), 8000, "PCM_24")
    return listening / "twin.flac", [first.to_dict(), last.to_dict()]


def test_a_time_in_a_clip_is_traced_to_its_segment(made: Made, copied: Path) -> None:
    clip, (first, last) = clips(made, copied)
    results = ResultsFolder(copied)
    whole = trace(results, str(clip))
    assert [one["segment_id"] for one in whole["segments"]] == [first["segment_id"], last["segment_id"]]
    assert [one["clip_start"] for one in whole["segments"]] == [0, 900 / 8000]
    assert first["segment_id"] in render_text("trace", whole)
    moment = trace(results, str(clip), at=950 / 8000)
    assert moment["origin"]["segment"]["segment_id"] == last["segment_id"]
    assert moment["origin"]["sources"]
    assert last["segment_id"] in render_text("trace", moment)
    with pytest.raises(AuditError, match=r"is silent at 0\.05 s"):
        trace(results, str(clip), at=0.05)


def music(folder: Path, withdrawn: list[str]) -> Path:
    """A clip of the music of a probe reel, in a copy of the results: a second of one track and half of another."""
    probe = folder / "excitations" / "main" / "probe.json"
    piece = {"licence": "CC BY 4.0", "source_sha256": 64 * "0", "source_start": 100}
    excerpt = [
        {"track_id": f"A/{k}", "artist": "A", "source": f"A/{k}.wav", "source_stop": 8100, "frames": frames, **piece}
        for k, frames in enumerate((8000, 4000))
    ]
    write_json(probe, "probe/1", {"sample_rate": 8000, "reels": {}, "sections": [], "excerpt": excerpt})
    listening = folder / "twins" / "box" / "small" / "evaluation" / "listening"
    clip, description = listening / "music-twin.flac", listening / "music.json"
    audio.write(clip, np.zeros(12000, np.float32), 8000, "PCM_24")
    content = {"seconds": 1.5, "sample_rate": 8000, "reel": "main-01", "reel_start": 500}
    write_json(description, "music/1", {**content, "reel_stop": 12500, "withdrawn": withdrawn})
    with stage_record(REPOSITORY / "scripts" / "render_probe_music.py", [probe], [description, clip], {}):
        pass
    return clip


def test_the_music_of_a_probe_reel_is_traced_to_its_tracks(made: Made, copied: Path) -> None:
    clip = music(copied, [])
    found = trace(ResultsFolder(copied), str(clip))
    assert [one["track_id"] for one in found["sources"]] == ["A/0", "A/1"]
    assert [(one["clip_start"], one["clip_stop"], one["reel_start"]) for one in found["sources"]] == [
        (0.0, 1.0, 500),
        (1.0, 1.5, 8500),
    ]
    assert found["excitation"] == "main"
    assert found["stages"][-1]["stage"] == "render_probe_music"
    assert "A/1.wav[100:8100]" in render_text("trace", found)
    assert "CC BY 4.0" in render_text("trace", found)
    (moment,) = trace(ResultsFolder(copied), str(clip), at=1.2)["sources"]
    assert moment["track_id"] == "A/1"
    with pytest.raises(AuditError, match=r"has no music at 1\.5 s"):
        trace(ResultsFolder(copied), str(clip), at=1.5)
    (copied / "twins/box/small/evaluation/listening/music.json.prov.json").unlink()
    with pytest.raises(AuditError, match="no record that names its probe reel"):
        trace(ResultsFolder(copied), str(clip))


def test_withdrawn_music_is_reported_as_silence(made: Made, copied: Path) -> None:
    clip = music(copied, ["A/1"])
    found = trace(ResultsFolder(copied), str(clip), at=0.5)
    assert (found["sources"], found["withdrawn"]) == ([], ["A/1"])
    assert "silence: its music is by A/1, withdrawn" in render_text("trace", found)


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("box/main-01/9999999999", "device box has no segment"),
        ("nobody/main-01/0000000000", "has no device nobody"),
        ("no/such/thing.wav", "is not a file, a segment"),
        (str(Path(__file__)), "no stage of .* read or wrote"),
    ],
)
def test_unknown_names_are_refused(made: Made, what: str, sentence: str) -> None:
    with pytest.raises(AuditError, match=sentence):
        trace(ResultsFolder(made.results), what)


def test_a_time_requires_a_clip(made: Made) -> None:
    with pytest.raises(AuditError, match="omit --at"):
        trace(ResultsFolder(made.results), "devices/box/dataset.json", at=1.0)


def test_an_exported_segment_equals_the_training_samples(made: Made, copied: Path, tmp_path: Path) -> None:
    table = rows(made.results, "fuzz")
    row = table[(table.context > 0) & (table.split == "train")].iloc[3]
    written = export_segment(ResultsFolder(copied), row.segment_id, tmp_path / "bug")
    names = {path.relative_to(tmp_path / "bug").as_posix() for path in written}
    assert names >= {"dry.wav", "wet.wav", "context.wav", "trace.json", "trace.txt", "take.json", "alignment.json"}
    assert "records/devices/fuzz/shards/main-01.arrow.prov.json" in names
    reel = audio.read(made.results / "excitations" / "main" / "reels" / f"{row.capture}.wav")[:, 0]
    assert np.array_equal(audio.read(tmp_path / "bug" / "dry.wav")[:, 0], reel[row.start : row.stop])
    context = audio.read(tmp_path / "bug" / "context.wav")[:, 0]
    assert np.array_equal(context, reel[row.start - row.context : row.start])
    wet = audio.read(tmp_path / "bug" / "wet.wav")[:, 0]
    assert np.corrcoef(wet[GUARD:], reel[row.start : row.stop - GUARD])[0, 1] > 0.9


def test_a_damaged_segment_is_not_exported(made: Made, copied: Path, tmp_path: Path) -> None:
    table = rows(made.results, "fuzz")
    row = table[table.split == "train"].iloc[3]
    shard = copied / "devices" / "fuzz" / "shards" / row.shard
    content = bytearray(shard.read_bytes())
    reel = audio.read(made.results / "excitations" / "main" / "reels" / f"{row.capture}.wav")[:, 0]
    place = content.find(reel[row.start : row.start + 64].astype("<f4").tobytes())
    content[place + 9] ^= 1
    shard.write_bytes(content)
    with pytest.raises(AuditError, match="do not match the manifest"):
        export_segment(ResultsFolder(copied), row.segment_id, tmp_path / "bug")


def test_a_folder_without_records_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="is not a folder"):
        ResultsFolder(tmp_path / "nowhere")
    with pytest.raises(AuditError, match="contains no stage record"):
        ResultsFolder(tmp_path)
