"""Whose music is in what, and what may be done with it, from the results alone."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from tests.audit.factories import Made, make_results
from twinlib.audit.aggregate import counted, used
from twinlib.audit.licences import attribution, licences, licences_text, refuse_use
from twinlib.contracts import DATASET, SEGMENTS, TRACKS
from twinlib.errors import AuditError, LicenceError, TwinError
from twinlib.files import read_json, read_table, write_table
from twinlib.provenance.results import Results


def segments_of(folder: Path, device: str) -> pd.DataFrame:
    table = read_table(folder / "devices" / device / "segments.parquet", SEGMENTS)
    return table[table.split != ""]


def test_counts_are_those_of_a_plain_loop(made: Made) -> None:
    for device in made.devices:
        rows = segments_of(made.results, device)
        arrow = used(Results(made.results).segments(device))
        for column in ("track_ids", "licences", "flags"):
            expected: dict[str, dict[str, int]] = {}
            for split, values in zip(rows.split, rows[column], strict=True):
                for value in values if len(values) else [""]:
                    counts = expected.setdefault(value, {})
                    counts[split] = counts.get(split, 0) + 1
            assert counted(arrow["split"], arrow[column]) == expected


def test_hours_are_those_of_the_dataset(made: Made) -> None:
    found = licences(Results(made.results))
    for device in made.devices:
        told, dataset = found["devices"][device], read_json(made.results / "devices" / device / "dataset.json", DATASET)
        for split, amount in dataset["splits"].items():
            assert told["hours_by_split"][split] == pytest.approx(amount["hours"], abs=6e-5)
        named = {name: amount["segments"] for name, amount in told["by_licence"].items() if name}
        assert named == {name: amount["segments"] for name, amount in dataset["licences"].items()}
        assert not {track["track_id"] for track in told["by_track"]} & set(made.excluded)


def test_the_strictest_licence_decides(made: Made) -> None:
    found = licences(Results(made.results), commercial=True)
    twin = found["twins"]["box/small"]
    assert (twin["share"], twin["commercial"], twin["fits"]) == (True, False, "CC-BY-NC-SA-4.0")
    assert twin["sources"] == ["box"]
    pedal = found["twins"]["pedal/small"]
    assert (pedal["share"], pedal["commercial"], pedal["fits"]) == (None, None, None)
    assert set(found["refused"]) == {"box/small", "fuzz/small", "pedal/small"}
    with pytest.raises(LicenceError, match=r"CC-BY-NC-SA-4\.0 allows no commercial use"):
        refuse_use(found)
    given = licences(Results(made.results), commercial=False)
    assert set(given["refused"]) == {"pedal/small"}
    text = licences_text(found)
    assert "no legal advice" in text
    assert "refused, box/small: CC-BY-NC-SA-4.0 allows no commercial use" in text
    assert json.loads(json.dumps(found)) == json.loads(json.dumps(found, sort_keys=True))


def test_free_music_may_be_sold(tmp_path: Path) -> None:
    made = make_results(tmp_path, devices=1, licences=("CC0-1.0", "CC BY 4.0"))
    found = licences(Results(made.results), commercial=True)
    assert found["refused"] == {}
    assert found["twins"]["box/small"]["attribution"]
    refuse_use(found)


def test_a_licence_that_changed_after_the_recording_is_heeded_and_named(copied: Path) -> None:
    path = copied / "corpus" / "tracks.parquet"
    tracks = read_table(path, TRACKS)
    place = tracks.index[tracks.track_id == "Artist 002/Song 003"]
    tracks.loc[place, "licence"] = "CC BY-ND 4.0"
    write_table(path, TRACKS, tracks)
    found = licences(Results(copied))
    assert len(found["changed"]) == 1
    assert "Artist 002/Song 003 was under CC BY-NC-SA 4.0" in found["changed"][0]
    assert found["twins"]["box/small"]["share"] is False


def test_a_twin_of_other_segments_is_doubted(copied: Path) -> None:
    folder = copied / "twins" / "fuzz" / "small"
    record = folder / "twin.safetensors.prov.json"
    content = json.loads(record.read_text())
    content["inputs"]["results/devices/fuzz/segments.parquet"] = "0" * 64
    record.write_text(json.dumps(content))
    twin = licences(Results(copied))["twins"]["fuzz/small"]
    assert (twin["share"], twin["commercial"], twin["fits"]) == (None, False, None)
    assert "other segments" in twin["questions"][0]
    record.unlink()
    assert "no record" in licences(Results(copied))["twins"]["fuzz/small"]["questions"][0]


def test_a_warm_start_brings_its_music_along(copied: Path) -> None:
    started = copied / "twins" / "box" / "small" / "twin.safetensors.prov.json"
    content = json.loads(started.read_text())
    donor = json.loads((copied / "twins" / "pedal" / "small" / "twin.safetensors.prov.json").read_text())
    content["params"]["warm_start"] = donor["outputs"]["results/twins/pedal/small/twin.safetensors"]
    started.write_text(json.dumps(content))
    twin = licences(Results(copied))["twins"]["box/small"]
    assert twin["sources"] == ["box", "pedal"]
    assert (twin["share"], twin["commercial"]) == (None, False)
    assert "pairs/dry.wav" in attribution(Results(copied), "box", "small")
    content["params"]["warm_start"] = "f" * 64
    started.write_text(json.dumps(content))
    twin = licences(Results(copied))["twins"]["box/small"]
    assert (twin["sources"], twin["share"]) == (["box"], None)
    assert "not in these results" in twin["questions"][0]
    assert "Beware: box/small started from a twin" in attribution(Results(copied), "box", "small")


def test_attribution_names_every_track_once_and_no_other(made: Made) -> None:
    results = Results(made.results)
    for device in ("box", "fuzz"):
        held = set(segments_of(made.results, device).track_ids.explode())
        for model in (None, "small"):
            text = attribution(results, device, model)
            lines = [line for line in text.splitlines() if line.startswith('"')]
            titles = [line.split('"')[1] for line in lines]
            assert sorted(titles) == sorted(track.split("/")[1] for track in held)
            assert all(f"excerpts, mixed and played through {device}." in line for line in lines)
            assert "by Artist 002, CC BY" not in text
            assert text == attribution(Results(made.results), device, model)
    one = next(line for line in text.splitlines() if line.startswith('"Song 003"'))
    assert one.startswith(
        '"Song 003" by Artist 002, CC-BY-NC-SA-4.0 (https://creativecommons.org/licenses/by-nc-sa/4.0/). Changes: '
    )


def test_attribution_says_what_nobody_knows(made: Made, copied: Path) -> None:
    assert "pairs/dry.wav: no title, artist or licence is known" in attribution(Results(made.results), "pedal")
    shutil.rmtree(copied / "corpus")
    text = attribution(Results(copied), "box")
    assert '"Artist 002/Song 003", no licence is known. Changes: ' in text


def test_bad_questions_are_refused(made: Made, copied: Path) -> None:
    results = Results(made.results)
    with pytest.raises(AuditError, match="no device drum; it has box, fuzz, pedal"):
        attribution(results, "drum")
    with pytest.raises(AuditError, match="no twin box/large; models of box: small"):
        attribution(results, "box", "large")
    damaged = copied / "devices" / "box" / "segments.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    with pytest.raises(AuditError, match="not a readable table"):
        licences(Results(copied))
    (copied / "devices" / "box" / "dataset.json").unlink()
    with pytest.raises(TwinError, match="does not exist"):
        licences(Results(copied))
