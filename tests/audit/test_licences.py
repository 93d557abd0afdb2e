"""The music in datasets and twins, its permitted uses and its credits."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.audit.factories import Made, make_results
from twinlib.audit.aggregate import count_by_split, usable
from twinlib.audit.licences import licences, music_credits, require_permitted
from twinlib.audit.pages import render_text
from twinlib.audit.results_folder import ResultsFolder
from twinlib.contracts import DATASET, SEGMENTS, TRACKS
from twinlib.errors import AuditError, LicenceError, TwinError
from twinlib.files import read_json, read_table, write_table


def used_segments(folder: Path, device: str) -> pd.DataFrame:
    table = read_table(folder / "devices" / device / "segments.parquet", SEGMENTS)
    return table[table.split != ""]


def credits_text(folder: Path, device: str, model: str | None = None) -> str:
    return render_text("attribution", music_credits(ResultsFolder(folder), device, model))


def test_counts_match_a_plain_loop(made: Made) -> None:
    for device in made.devices:
        rows = used_segments(made.results, device)
        arrow = usable(ResultsFolder(made.results).segments(device))
        for column in ("track_ids", "licences", "flags"):
            expected: dict[str, dict[str, int]] = {}
            for split, values in zip(rows.split, rows[column], strict=True):
                for value in values if len(values) else [""]:
                    counts = expected.setdefault(value, {})
                    counts[split] = counts.get(split, 0) + 1
            assert count_by_split(arrow["split"], arrow[column]) == expected


def test_hours_match_the_dataset(made: Made) -> None:
    found = licences(ResultsFolder(made.results))
    for device in made.devices:
        music, dataset = (
            found["devices"][device],
            read_json(made.results / "devices" / device / "dataset.json", DATASET),
        )
        for split, amount in dataset["splits"].items():
            assert music["hours_by_split"][split] == pytest.approx(amount["hours"], abs=6e-5)
        named = {name: amount["segments"] for name, amount in music["by_licence"].items() if name}
        assert named == {name: amount["segments"] for name, amount in dataset["licences"].items()}
        assert not {track["track_id"] for track in music["by_track"]} & set(made.excluded)


def test_the_strictest_licence_applies(made: Made) -> None:
    found = licences(ResultsFolder(made.results), commercial=True)
    twin = found["twins"]["box/small"]
    assert (twin["share"], twin["commercial"], twin["fits"]) == (True, False, "CC-BY-NC-SA-4.0")
    assert twin["sources"] == ["box"]
    pedal = found["twins"]["pedal/small"]
    assert (pedal["share"], pedal["commercial"], pedal["fits"]) == (None, None, None)
    assert set(found["refused"]) == {"box/small", "fuzz/small", "pedal/small"}
    with pytest.raises(LicenceError, match=r"CC-BY-NC-SA-4\.0 forbids commercial use"):
        require_permitted(found)
    given = licences(ResultsFolder(made.results), commercial=False)
    assert set(given["refused"]) == {"pedal/small"}
    text = render_text("licences", found)
    assert "not legal advice" in text
    assert "refused, box/small: CC-BY-NC-SA-4.0 forbids commercial use" in text
    assert json.loads(json.dumps(found)) == json.loads(json.dumps(found, sort_keys=True))


def test_free_music_can_be_sold(tmp_path: Path) -> None:
    made = make_results(tmp_path, devices=1, licences=("CC0-1.0", "CC BY 4.0"))
    found = licences(ResultsFolder(made.results), commercial=True)
    assert found["refused"] == {}
    assert found["twins"]["box/small"]["attribution"]
    require_permitted(found)


def test_a_licence_that_changed_after_the_recording_applies_too(copied: Path) -> None:
    path = copied / "corpus" / "tracks.parquet"
    tracks = read_table(path, TRACKS)
    place = tracks.index[tracks.track_id == "Artist 002/Song 003"]
    tracks.loc[place, "licence"] = "CC BY-ND 4.0"
    write_table(path, TRACKS, tracks)
    found = licences(ResultsFolder(copied))
    assert len(found["changed"]) == 1
    assert "Artist 002/Song 003 had CC BY-NC-SA 4.0" in found["changed"][0]
    assert found["twins"]["box/small"]["share"] is False


def test_a_twin_trained_on_other_segments_has_unknown_terms(copied: Path) -> None:
    folder = copied / "twins" / "fuzz" / "small"
    record = folder / "twin.safetensors.prov.json"
    content = json.loads(record.read_text())
    content["inputs"]["results/devices/fuzz/segments.parquet"] = "0" * 64
    record.write_text(json.dumps(content))
    twin = licences(ResultsFolder(copied))["twins"]["fuzz/small"]
    assert (twin["share"], twin["commercial"], twin["fits"]) == (None, False, None)
    assert "other segments" in twin["questions"][0]
    record.unlink()
    assert "has no record" in licences(ResultsFolder(copied))["twins"]["fuzz/small"]["questions"][0]


def test_a_warm_start_adds_its_training_data(copied: Path) -> None:
    started = copied / "twins" / "box" / "small" / "twin.safetensors.prov.json"
    content = json.loads(started.read_text())
    donor = json.loads((copied / "twins" / "pedal" / "small" / "twin.safetensors.prov.json").read_text())
    content["params"]["warm_start"] = donor["outputs"]["results/twins/pedal/small/twin.safetensors"]
    started.write_text(json.dumps(content))
    twin = licences(ResultsFolder(copied))["twins"]["box/small"]
    assert twin["sources"] == ["box", "pedal"]
    assert (twin["share"], twin["commercial"]) == (None, False)
    assert "pairs/dry.wav" in credits_text(copied, "box", "small")
    content["params"]["warm_start"] = "f" * 64
    started.write_text(json.dumps(content))
    twin = licences(ResultsFolder(copied))["twins"]["box/small"]
    assert (twin["sources"], twin["share"]) == (["box"], None)
    assert "outside these results" in twin["questions"][0]
    assert "Warning: box/small started from a twin" in credits_text(copied, "box", "small")


def test_credits_name_every_track_once(made: Made) -> None:
    for device in ("box", "fuzz"):
        held = set(used_segments(made.results, device).track_ids.explode())
        for model in (None, "small"):
            text = credits_text(made.results, device, model)
            lines = [line for line in text.splitlines() if line.startswith('"')]
            titles = [line.split('"')[1] for line in lines]
            assert sorted(titles) == sorted(track.split("/")[1] for track in held)
            assert all(f"excerpts, mixed and played through {device}." in line for line in lines)
            assert "by Artist 002, CC BY" not in text
            assert text == credits_text(made.results, device, model)
    one = next(line for line in text.splitlines() if line.startswith('"Song 003"'))
    assert one.startswith(
        '"Song 003" by Artist 002, CC-BY-NC-SA-4.0 (https://creativecommons.org/licenses/by-nc-sa/4.0/). Changes: '
    )


def test_credits_report_unknown_music(made: Made, copied: Path) -> None:
    assert "pairs/dry.wav: title, artist and licence are unknown" in credits_text(made.results, "pedal")
    shutil.rmtree(copied / "corpus")
    text = credits_text(copied, "box")
    assert '"Artist 002/Song 003", no known licence. Changes: ' in text


def test_unknown_names_and_damaged_files_are_refused(made: Made, copied: Path) -> None:
    results = ResultsFolder(made.results)
    with pytest.raises(AuditError, match="no device drum; it has box, fuzz, pedal"):
        music_credits(results, "drum")
    with pytest.raises(AuditError, match="no twin box/large; models of box: small"):
        music_credits(results, "box", "large")
    damaged = copied / "devices" / "box" / "segments.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    with pytest.raises(AuditError, match="not a readable table"):
        licences(ResultsFolder(copied))
    (copied / "devices" / "box" / "dataset.json").unlink()
    with pytest.raises(TwinError, match="does not exist"):
        licences(ResultsFolder(copied))
