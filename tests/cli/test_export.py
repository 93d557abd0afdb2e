"""`twin export`: formats, metadata and errors."""

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.harness import Command, refused, strict_json
from twinlib.contracts import DEVICE_CARD, VERDICT
from twinlib.files import sha256_file, write_json
from twinlib.model.export import export_twin
from twinlib.model.twin import Twin


@pytest.mark.parametrize("ending", ["nam", "onnx"])
def test_export_equals_the_library_and_reports_the_latency(
    twin: Command, model: Twin, model_file: Path, tmp_path: Path, ending: str
) -> None:
    for place in (model_file, model_file.parent):
        code, out, err = twin("export", place, tmp_path / "new" / f"out.{ending}")
        assert (code, err) == (0, "")
        assert "latency 3 samples" in out
        export_twin(model, tmp_path / f"wanted.{ending}")
        assert (tmp_path / "new" / f"out.{ending}").read_bytes() == (tmp_path / f"wanted.{ending}").read_bytes()


def test_export_reads_the_date_from_the_training_record(twin: Command, model_file: Path, tmp_path: Path) -> None:
    record = model_file.with_name("twin.safetensors.prov.json")
    rest = {"program": "train_twin.py", "params": {}, "inputs": {}, "outputs": {}, "code": "0"}
    write_json(record, "record/1", {**rest, "started": "2026-03-04T05:06:07+00:00"})
    assert twin("export", model_file.parent, tmp_path / "out.nam")[0] == 0
    metadata = strict_json((tmp_path / "out.nam").read_text())["metadata"]
    assert metadata["date"] == {"year": 2026, "month": 3, "day": 4, "hour": 5, "minute": 6, "second": 7}
    write_json(record, "record/1", {**rest, "started": "last week"})
    refused(twin("export", model_file, tmp_path / "out.nam"), "twin.safetensors.prov.json")


def test_export_writes_the_device_card_of_the_results_and_the_version_on_request(
    twin: Command, model_file: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    home = results / "twins" / "box" / "small"
    home.mkdir(parents=True)
    shutil.copy(model_file, home / "twin.safetensors")
    verdict = {"verdict": "good", "reasons": ["the error is low"], "findings": [], "takes": {}}
    write_json(
        home / "evaluation" / "verdict.json",
        VERDICT,
        {"twin_sha256": sha256_file(home / "twin.safetensors"), **verdict},
    )
    write_json(
        results / "devices" / "box" / "device_card.json", DEVICE_CARD, {"device": "box", "card": {"make": "Klon"}}
    )
    assert twin("export", home, tmp_path / "out.nam", "--nam-version", "0.7")[0] == 0
    content = json.loads((tmp_path / "out.nam").read_text())
    assert (content["version"], content["metadata"]["gear_make"]) == ("0.7.0", "Klon")
    assert content["metadata"]["twin"]["verdict"] == verdict
    refused(twin("export", home, tmp_path / "out.onnx", "--nam-version", "0.7"), "only .nam files")
    write_json(home / "evaluation" / "verdict.json", VERDICT, {"twin_sha256": "0" * 64, **verdict})
    assert twin("export", home, tmp_path / "out.nam")[0] == 0
    content = json.loads((tmp_path / "out.nam").read_text())
    assert content["metadata"]["twin"]["verdict"] == {}, "the verdict on another twin"


def test_export_errors_leave_no_file(twin: Command, model_file: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    refused(twin("export", model_file, tmp_path / "out.vst3"), "out.vst3", ".nam or .onnx")
    refused(twin("export", tmp_path / "none", tmp_path / "out.nam"), "none does not exist")
    refused(twin("export", model_file, model_file / "out.nam"), "twin.safetensors")
    assert sorted(tmp_path.rglob("*")) == before
