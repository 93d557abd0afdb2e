"""Where licences come from; signals of this program are no tracks; contexts reach as far as a twin looks."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.audit.factories import LICENCES, Made
from twinlib.audit import licence_claims as claims
from twinlib.audit import licences as audited
from twinlib.audit import lineage
from twinlib.audit.card import card
from twinlib.audit.licence_claims import licence_claims
from twinlib.audit.pages import render_text
from twinlib.audit.results_folder import ResultsFolder
from twinlib.audit.trace import trace, trace_segment
from twinlib.files import sha256_file, write_json
from twinlib.model import PRESETS
from twinlib.provenance.record import read_record, record_path


def with_settings(made: Made, folder: Path, table: Path | None = None, **settings: Any) -> ResultsFolder:
    """A copy of the results whose index has other settings and perhaps a table of licences."""
    results = Path(shutil.copytree(made.results, folder / "results"))
    record = record_path(results / "corpus" / "tracks.parquet")
    content = read_record(record)
    changed = {**json.loads(content["params"]["settings"]), **settings}
    inputs = dict(content["inputs"])
    if table is not None:
        changed["licences"] = str(table)
        inputs[str(table)] = sha256_file(folder / table)
    params = {**content["params"], "settings": json.dumps(changed)}
    write_json(record, "record/1", {**content, "params": params, "inputs": inputs})
    return ResultsFolder(results)


def test_a_licence_for_all_tracks_has_no_evidence_for_one(made: Made) -> None:
    found = licence_claims(ResultsFolder(made.results), made.tracks)
    assert {claim.origin for claim in found} == {"configuration"}
    assert sorted(claim.licence for claim in found) == sorted(set(LICENCES))
    assert sorted(track for claim in found for track in claim.tracks) == sorted(made.tracks)
    assert "no evidence for a single one" in found[0].evidence


def test_the_layout_the_table_and_what_is_unknown(made: Made, tmp_path: Path) -> None:
    listed, *others = made.tracks
    (tmp_path / "table.tsv").write_text(f"track_id\tlicence\n{listed}\tCC0-1.0\n")
    results = with_settings(made, tmp_path, Path("table.tsv"), layout="medleydb", licence=None)
    found = licence_claims(results, [*made.tracks, "sweeps", "nobody/knows"])
    origins = {track: claim for claim in found for track in claim.tracks}
    assert origins[listed].origin == "table"
    assert sha256_file(tmp_path / "table.tsv") in origins[listed].evidence
    assert {origins[track].origin for track in others} == {"layout"}
    assert (origins["sweeps"].origin, origins["nobody/knows"].origin) == ("generated", "unknown")
    (tmp_path / "table.tsv").write_text("track_id\tlicence\n")
    (changed,) = licence_claims(results, [listed])
    assert (changed.origin, "has changed since the index" in changed.evidence) == ("unknown", True)
    (tmp_path / "table.tsv").unlink()
    (absent,) = licence_claims(results, [listed])
    assert (absent.origin, "is not here" in absent.evidence) == ("unknown", True)


def test_generated_signals_are_no_tracks(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    before = audited.licences(ResultsFolder(made.results))["devices"]["box"]
    track = before["by_track"][0]
    for module in (audited, claims, lineage):
        monkeypatch.setattr(module, "SYNTHETIC", frozenset([track["track_id"]]))
    results = ResultsFolder(made.results)
    answer = audited.licences(results)
    after = answer["devices"]["box"]
    assert after["tracks"] == before["tracks"] - 1 == len(after["by_track"])
    assert after["generated"] == {
        track["track_id"]: {key: track[key] for key in ("segments", "hours", "hours_by_split")}
    }
    assert after["hours"] == before["hours"]
    counted = sum(amount["tracks"] for amount in after["by_licence"].values())
    assert counted == after["tracks"]
    assert [claim["tracks"] for claim in after["claims"] if claim["origin"] == "generated"] == [(track["track_id"],)]
    assert f", {track['track_id']} in " in render_text("licences", answer)
    assert track["track_id"] not in [one["track_id"] for one in lineage.used_tracks(results, "box")]


def test_the_counts_of_the_datasheet_agree(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tracks of the composition are those of the leak check, with and without generated signals."""
    for synthetic in (frozenset[str](), frozenset(made.tracks[:1])):
        monkeypatch.setattr(audited, "SYNTHETIC", synthetic)
        for device in card(ResultsFolder(made.results))["devices"].values():
            music, dataset = device["music"], device["dataset"]
            if device["leaks"] and music["tracks"]:
                assert device["leaks"]["checked"]["tracks"] == music["tracks"] == len(music["by_track"])
            assert sum(amount["segments"] for amount in dataset["splits"].values()) == music["segments"]


def test_the_context_ends_where_the_twin_stops_looking(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    results = ResultsFolder(made.results)
    reach = lineage.receptive_field(results, "box", "small") - 1
    segments = results.segments("box").to_pylist()
    row = max(segments, key=lambda one: one["context"])
    assert row["context"] > reach > 0
    found = trace_segment(results, row["segment_id"])
    assert found["context_samples"] == reach
    assert min(one["start"] for one in found["context"]) >= row["start"] - reach
    text = render_text("trace", trace(results, row["segment_id"]))
    assert f"sources of the left context (the {reach} samples that the twin looks back):" in text
    # A twin with a longer receptive field looks further back.
    longer = PRESETS["nam-standard"].receptive_field - 1
    monkeypatch.setattr(lineage, "receptive_field", lambda *_: longer + 1)
    assert trace_segment(results, row["segment_id"])["context_samples"] == min(longer, row["context"])
    monkeypatch.setattr(lineage, "twins_of_device", lambda *_: [])
    assert trace_segment(results, row["segment_id"])["context_samples"] == row["context"]
