"""A probe reel that is added after a complete run."""

import copy

import numpy as np
import pytest

from tests.workflow.project import TINY, Project, Run
from twinlib import audio
from twinlib.audit.pages import render_text
from twinlib.audit.results_folder import ResultsFolder
from twinlib.audit.trace import trace
from twinlib.files import read_json, sha256_file
from twinlib.listening.clips import CLIP_NAMES as NAMES

MEASURED = {
    "render_probe_reel",
    "simulate_take",
    "ingest_take",
    "align_take",
    "build_contact_sheet",
    "measure_device",
    "measure_twin",
    "render_probe_music",
}


@pytest.mark.slow
def test_an_added_probe_reel_is_measured_without_retraining(project: Project) -> None:
    content = copy.deepcopy(TINY)
    content["excitations"]["tiny"]["probe_reel"] = True
    before = {path: sha256_file(path) for path in (project.folder / "results").rglob("*.wav")}
    project.write(content)
    run = project.run()
    assert run.code == 0, run.text[-4000:]
    assert set(run.rules) == MEASURED | {
        "write_recording_guide",
        "evaluate_twin",
        "export_twin",
        "build_twin_page",
        "build_summary",
        "build_comparison",
        "log_run",
    }
    assert run.rules["evaluate_twin"] == 1, "the device of pairs has no probe reel"
    assert {path: sha256_file(path) for path in before} == before
    results = project.folder / "results"
    device = read_json(results / "devices/amp/tiny-probe/measurements.json", "measurements/1")["device"]
    beside = read_json(results / "twins/amp/tiny/evaluation/measurements.json", "measurements/1")
    metrics = read_json(results / "twins/amp/tiny/evaluation/metrics.json", "metrics/1")
    assert beside["device"] == device
    assert metrics["harmonics"]["compared"] > 20
    assert {name: take["verdict"] for name, take in metrics["takes"].items()} == {"tiny-01": "ok", "tiny-probe": "ok"}
    assert "2 of 2 ok" in (results / "summary.txt").read_text()
    assert 0 < metrics["esr_floor"] == device["esr_floor"] < metrics["esr"]
    assert "H3 of" in (results / "twins/amp/tiny/evaluation/index.html").read_text()
    assert "harmonics" not in read_json(results / "twins/box/tiny/evaluation/metrics.json", "metrics/1")
    listening = results / "twins/amp/tiny/evaluation/listening"
    told = read_json(listening / "music.json", "music/1")
    assert (told["seconds"], told["withdrawn"]) == (10.0, [])
    clips = {name: audio.read(listening / f"music-{name}.flac")[:, 0] for name in NAMES}
    take = read_json(results / "devices/amp/tiny-probe/truth.json", "simulated-take/1")
    assert take["lag_samples"] > 1000
    assert np.corrcoef(clips["dry"], clips["wet"])[0, 1] > 0.7, "the take is put on the clock of the reel"
    assert np.corrcoef(clips["linear"], clips["wet"])[0, 1] > 0.85
    assert clips["difference"] == pytest.approx(clips["twin"] - clips["wet"], abs=1e-6)
    assert not (results / "twins/box/tiny/evaluation/listening/music.json").exists()
    for name in ("listening.html", "index.html"):
        for twin, excerpts in (("amp", 2), ("box", 1)):
            page = (results / f"twins/{twin}/tiny/evaluation/{name}").read_text()
            assert page.count("data-tw-excerpt=") == excerpts
    answer = trace(ResultsFolder(results), str(listening / "music-twin.flac"), at=9.9)
    (source,) = answer["sources"]
    assert source["licence"] == "CC0-1.0"
    assert (project.folder / "corpus" / source["source"]).is_file()
    assert {"render_probe_reel", "align_take", "train_twin", "evaluate_twin", "render_probe_music"} <= {
        stage["stage"] for stage in answer["stages"]
    }
    assert source["track_id"] in render_text("trace", answer)
    assert "tiny-probe" in (results / "excitations/tiny/recording.md").read_text()
    segments = read_json(results / "devices/amp/dataset.json", "dataset/1")
    assert "tiny-probe" not in str(segments), "nothing is learnt from measuring signals"
    assert project.plan() == {}
    tracked = "results/twins/amp/tiny/run.json"
    assert project.declared(tracked) <= project.read(tracked)
    assert "results/devices/amp/tiny-probe/measurements.json.prov.json" in project.read(tracked)


def test_a_missing_probe_take_of_a_recorded_device_is_listed(first: tuple[Project, Run], tmp_path) -> None:
    project = first[0].copy(tmp_path / "project", metadata=True)
    content = copy.deepcopy(TINY)
    content["excitations"]["tiny"]["probe_reel"] = True
    content["devices"]["amp"] = {"excitation": "tiny", "takes": "takes/{reel}.wav"}
    project.write(content)
    shown = project.dry()
    assert shown.code == 0
    assert {"render_probe_reel", "write_recording_guide"} <= set(shown.rules)
    content["allow_missing_takes"] = True
    takes = project.folder / "takes"
    takes.mkdir()
    (takes / "tiny-01.wav").write_bytes((project.folder / "results/devices/amp/tiny-01/take.wav").read_bytes())
    project.write(content)
    planned = project.plan()
    assert "ingest_take" in planned
    assert "measure_device" not in planned, "what was not recorded is not measured"
    (takes / "tiny-probe.wav").write_bytes(b"RIFF")
    content["devices"]["amp"]["repair"] = ["gain"]
    with (project.folder / "excluded.tsv").open("a") as file:
        file.write("artist4/song\twithdrawn\t2026-01-01\n")
    project.write(content)
    words = [line.partition("stage ")[2] for line in project.dry("--printshellcmds").text.splitlines()]
    commands = {line.split()[0]: line for line in words if line}
    for stage in ("measure_device", "render_probe_music"):
        assert """--withdrawn '["artist4/song"]'""" in commands[stage]
    assert "align_take --name tiny-probe" in commands["align_take"]
    assert "--programme results/devices/amp/tiny-01/alignment.json" in commands["align_take"]
