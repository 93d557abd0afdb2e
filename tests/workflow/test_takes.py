"""Recorded takes: the workflow waits for them, keeps them, and never requires a second recording."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.workflow.project import RATE, Project, Run, make_project, noise, record, takes_config
from twinlib import audio
from twinlib.dataset.shards import Shard
from twinlib.files import read_json, read_table, sha256_file

pytestmark = pytest.mark.slow


def test_a_run_makes_the_reels_and_lists_the_recordings_to_make(waiting: tuple[Project, Run]) -> None:
    project, run = waiting
    reels = project.folder / "results" / "excitations" / "tiny" / "reels"
    assert run.code == 0, run.text[-4000:]
    assert sorted(path.name for path in reels.glob("*.wav")) == ["tiny-01.wav", "tiny-02.wav"]
    ending = run.text[run.text.rindex("silk waits for 2 recording(s)") :]
    for reel in ("tiny-01", "tiny-02"):
        assert f"reels/{reel}.wav, save the recording as my recordings/{reel}.wav" in ending
    assert "results/excitations/tiny/recording.md" in ending
    assert "Traceback" not in run.text
    assert "my recordings/tiny-02.wav" in (project.folder / "results/excitations/tiny/recording.md").read_text()


def test_reels_are_listed_only_when_they_exist(tmp_path: Path) -> None:
    project = make_project(tmp_path / "project")
    project.write(takes_config())
    run = project.dry()
    assert (run.code, run.rules["render_reel"]) == (0, 2)
    assert "waits for" not in run.text


def test_missing_takes_are_listed_and_fail_strict_runs(waiting: tuple[Project, Run], tmp_path: Path) -> None:
    project = waiting[0].copy(tmp_path / "project", metadata=True)
    (project.folder / "corpus" / "artist0" / "demo.m4a").touch()
    for run in (project.run(), project.dry()):
        assert (run.code, run.rules) == (0, {})
        assert "silk waits for 2 recording(s)" in run.text
        assert "corpus: 1 file of the corpus is passed over (1 .m4a)" in run.text
    run = project.run("--config", "strict_takes=true")
    assert run.code == 1
    assert "silk waits for 2 recording(s)" in run.text
    assert "Traceback" not in run.text
    (project.folder / "results/excitations/tiny/recording.md").unlink()
    run = project.run("--config", "strict_takes=true")
    assert (run.code, run.rules) == (1, {"write_recording_guide": 1})
    assert "silk waits for 2 recording(s)" in run.text


def test_a_take_is_judged_while_others_are_missing(waiting: tuple[Project, Run], tmp_path: Path) -> None:
    project = waiting[0].copy(tmp_path / "project", metadata=True)
    record(project, "tiny-01")
    run = project.run()
    assert run.rules == {"ingest_take": 1, "align_take": 1, "build_contact_sheet": 1}, run.text[-4000:]
    assert "silk waits for 1 recording(s)" in run.text
    sheet = project.folder / "results/devices/silk/takes.html"
    assert "1 not recorded yet: tiny-02" in sheet.read_text()
    record(project, "tiny-02")
    assert project.plan()["build_contact_sheet"] == 1


def test_a_run_is_complete_once_all_reels_are_recorded(recorded: Project) -> None:
    assert recorded.plan() == {}
    take = read_json(recorded.folder / "results/devices/silk/tiny-01/take.json", "take/1")
    assert take["simulated"] is False
    assert (recorded.folder / "results/twins/silk/tiny/evaluation/metrics.json").is_file()


def test_reels_recorded_without_a_witness_are_never_made_again(recorded: Project, tmp_path: Path) -> None:
    layout = read_json(recorded.folder / "results/excitations/tiny/excitation.json", "excitation/1")
    assert "witness" not in layout["settings"], "as in the records of older versions"
    project = recorded.copy(tmp_path / "project", metadata=True)
    content = takes_config()
    del content["excitations"]["tiny"]["witness"]
    project.write(content)
    assert project.plan() == {}
    (project.folder / "results/excitations/tiny/excitation.json").unlink()
    run = project.run("--until", "plan_excitation")
    assert (run.code, run.rules) == (0, {"plan_excitation": 1}), run.text[-4000:]
    assert read_json(project.folder / "results/excitations/tiny/excitation.json", "excitation/1") == layout


def test_a_recorded_reel_is_read_only(recorded: Project) -> None:
    reel = recorded.folder / "results/excitations/tiny/reels/tiny-01.wav"
    assert reel.stat().st_mode & 0o222 == 0


@pytest.mark.parametrize(("key", "value"), [("slices", 30)])
def test_a_recorded_excitation_cannot_change(recorded: Project, key: str, value: Any, tmp_path: Path) -> None:
    project = recorded.copy(tmp_path / "project", metadata=True)
    content = takes_config()
    content["excitations"]["tiny"][key] = value
    project.write(content)
    run = project.dry()
    assert run.code == 1
    assert f"excitations.tiny has been recorded and is immutable ({key}: " in run.text
    assert "tiny2" in run.text
    assert "Traceback" not in run.text


@pytest.mark.parametrize("device", [{"takes": "renamed/{reel}.wav"}, {"simulate": {"circuit": "transformer"}}])
def test_edits_of_the_device_do_not_unlock_a_recorded_excitation(
    recorded: Project, device: dict[str, Any], tmp_path: Path
) -> None:
    project = recorded.copy(tmp_path / "project", metadata=True)
    content = takes_config(devices={"silk": {"excitation": "tiny", **device}})
    content["excitations"]["tiny"]["seed"] = 2
    project.write(content)
    run = project.dry()
    assert run.code == 1
    assert "excitations.tiny has been recorded and is immutable (seed: 1 -> 2)" in run.text


def audit(project: Project, *words: str) -> dict[str, Any]:
    """Run `twin audit` in the project folder."""
    done = subprocess.run(
        [sys.executable, "-m", "twinlib.cli", "audit", *words, "--json"],
        cwd=project.folder,
        env={**os.environ, "PYTHONPATH": str(project.repository), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_withdrawn_track_is_removed_without_a_new_recording(recorded: Project, tmp_path: Path) -> None:
    project = recorded.copy(tmp_path / "project", metadata=True)
    results = project.folder / "results"
    recorded_files = sorted([*(results / "excitations").rglob("*"), *(project.folder / "my recordings").rglob("*")])
    before = {path: sha256_file(path) for path in recorded_files if path.is_file()}
    segments = read_table(results / "devices/silk/segments.parquet", "segments/1")
    used = segments[segments.split == "train"]
    track = used.explode("track_ids").track_ids.value_counts().index[0]
    held = segments[[track in list(ids) for ids in segments.track_ids]]
    assert len(held) >= 10
    twin = audit(project, "trace", "silk/tiny")
    assert twin["head_is_its_record"]
    assert track in {one["track_id"] for one in twin["tracks"]}

    answer = audit(project, "withdraw", track, "--reason", "the artist asks for it")
    assert answer["usable"] >= (held.split == "train").sum() > 0
    assert answer["twins"] == ["silk/tiny"]
    assert answer["command"] == "snakemake --configfile config.yaml --cores all"
    planned = set(project.plan())
    assert {"index_corpus", "cut_shard", "build_manifest", "check_leaks", "train_twin", "evaluate_twin"} <= planned
    assert planned.isdisjoint(
        {"plan_excitation", "render_reel", "fingerprint_reels", "write_recording_guide", "ingest_take", "align_take"}
    )
    run = project.run()
    assert run.code == 0, run.text[-4000:]

    assert {path: sha256_file(path) for path in before} == before
    segments = read_table(results / "devices/silk/segments.parquet", "segments/1")
    assert set(segments[[track in list(ids) for ids in segments.track_ids]].split) == {""}
    cues = read_table(results / "excitations/tiny/cues.parquet", "cues/1")
    for reel in ("tiny-01", "tiny-02"):
        withdrawn = cues[(cues.track_id == track) & (cues.reel == reel)]
        shard = Shard.open(results / f"devices/silk/shards/{reel}.arrow")
        for start, stop in zip(withdrawn.start, withdrawn.stop, strict=True):
            assert not np.any(shard.dry[start:stop])
            assert not np.any(shard.wet[start:stop])
    retrained = audit(project, "trace", "silk/tiny")
    assert retrained["head_is_its_record"]
    assert retrained["head"] != twin["head"], "its chain hash has changed"
    assert track in retrained["left_out"]["tracks"]
    assert track not in {one["track_id"] for one in retrained["tracks"]}
    clip = audit(project, "trace", "results/twins/silk/tiny/evaluation/listening/twin.flac")
    assert not any(track in one["track_ids"] for one in clip["segments"])
    assert audit(project, "withdraw", track, "--dry-run")["segments"] == 0
    assert audit(project, "verify")["differences"] == []
    assert project.plan() == {}


def test_a_lost_reel_is_made_again_only_with_the_same_bytes(recorded: Project, tmp_path: Path) -> None:
    project = recorded.copy(tmp_path / "project", metadata=True)
    reel = project.folder / "results/excitations/tiny/reels/tiny-01.wav"
    before = sha256_file(reel)
    reel.unlink()
    assert project.run("results/excitations/tiny/reels/tiny-01.wav").code == 0
    assert sha256_file(reel) == before
    reel.chmod(0o644)
    reel.unlink()
    take = project.folder / "results/devices/silk/tiny-01/take.json"
    take.write_text(take.read_text().replace(before, "0" * 64))
    run = project.run("results/excitations/tiny/reels/tiny-01.wav")
    assert run.code == 1
    assert "the reel tiny-01 was recorded (my recordings/tiny-01.wav)" in run.text
    assert not reel.exists()


def test_a_lost_cue_sheet_is_made_again_after_the_index_and_only_with_the_same_bytes(
    recorded: Project, tmp_path: Path
) -> None:
    project = recorded.copy(tmp_path / "project", metadata=True)
    cues = "results/excitations/tiny/cues.parquet"
    before = sha256_file(project.folder / cues)
    (project.folder / cues).unlink()
    shutil.copytree(project.folder / "corpus" / "artist0", project.folder / "corpus" / "artist0" / "z")
    assert project.plan(cues) == {"index_corpus": 1, "plan_excitation": 1}
    assert {"index_corpus", "plan_excitation", "render_reel", "align_take", "train_twin"} <= project.plan().keys()
    run = project.run(cues)
    assert run.code == 0, run.text[-4000:]
    assert sha256_file(project.folder / cues) == before, "the copy of a known file is no new source"
    (project.folder / cues).unlink()
    audio.write(project.folder / "corpus" / "artist0" / "new.wav", noise(3.0, 50), RATE, "PCM_16")
    run = project.run(cues)
    assert (run.code, run.rules) == (1, {"index_corpus": 1, "plan_excitation": 1})
    assert "was recorded, and the cue sheet made now is not the one" in run.text
    assert not (project.folder / cues).exists()
    kept = [project.folder / path for path in ("results/excitations/tiny/excitation.json", f"{cues}.prov.json")]
    assert [path.is_file() for path in kept] == [True, True], "a refusal costs no other file of the recorded excitation"


def test_a_run_can_continue_without_a_missing_take(waiting: tuple[Project, Run], tmp_path: Path) -> None:
    project = waiting[0].copy(tmp_path / "project", metadata=True)
    record(project, "tiny-02")
    project.write(takes_config(allow_missing_takes=True))
    run = project.run("dataset")
    assert run.code == 0, run.text[-4000:]
    dataset = read_json(project.folder / "results/devices/silk/dataset.json", "dataset/1")
    assert dataset["missing_captures"] == ["tiny-01"]
    assert list(dataset["captures"]) == ["tiny-02"]


def test_a_loop_back_channel_replaces_the_dry_signal(waiting: tuple[Project, Run], tmp_path: Path) -> None:
    project = waiting[0].copy(tmp_path / "project", metadata=True)
    reels = project.folder / "results/excitations/tiny/reels"
    for reel in ("tiny-01", "tiny-02"):
        looped = np.pad(0.5 * audio.read(reels / f"{reel}.wav")[:, 0], 4410)
        take = np.stack([looped, -np.tanh(2 * looped)], axis=1)
        audio.write(project.folder / "my recordings" / f"{reel}.wav", take, RATE, "PCM_24")
    content = takes_config()
    content["devices"]["silk"] |= {"channel": 2, "reference_channel": 1, "repair": []}
    project.write(content)
    run = project.run("dataset")
    assert run.code == 0, run.text[-4000:]
    for reel in ("tiny-01", "tiny-02"):
        found = read_json(project.folder / f"results/devices/silk/{reel}/alignment.json", "alignment/2")
        assert (found["reference"]["channel"], found["polarity"], found["applied_polarity"]) == (0, -1, 1)
        shard = Shard.open(project.folder / f"results/devices/silk/shards/{reel}.arrow")
        played = audio.read(reels / f"{reel}.wav")[:, 0]
        assert np.abs(shard.dry - played[: len(shard.dry)]).max() < 1e-4
        assert np.abs(shard.wet[12:] + np.tanh(shard.dry[:-12])).max() < 1e-3
        assert shard.metadata.sample_rate == RATE
    noted = read_json(project.folder / "results/devices/silk/tiny-01/alignment.json.prov.json", "record/1")["params"]
    assert (noted["channel"], noted["reference_channel"], noted["repair"]) == ("2", "1", "")


def test_a_take_of_another_reel_is_refused_with_the_reason(recorded: Project, tmp_path: Path) -> None:
    project = recorded.copy(tmp_path / "project", metadata=True)
    folder = project.folder / "my recordings"
    shutil.copy(folder / "tiny-02.wav", folder / "tiny-01.wav")
    # A simultaneous change must not hide the new take.
    (project.folder / "excluded.tsv").write_text("track_id\treason\tdate\nartist9/song\twithdrawn\t2026-01-01\n")
    run = project.run("dataset")
    assert run.code == 1
    assert "tiny-01" in run.text
    assert "RuleException" not in run.text
    assert "Traceback" not in run.text
    ending = run.text[run.text.rindex("Exiting because a job execution failed") :]
    assert "build_manifest: device silk has 1 of 2 captures" in ending
    assert (
        read_json(project.folder / "results/devices/silk/tiny-01/alignment.json", "alignment/2")["verdict"] == "refused"
    )


def test_takes_under_other_names_are_found_and_doubtful_ones_listed(
    waiting: tuple[Project, Run], tmp_path: Path
) -> None:
    project = waiting[0].copy(tmp_path / "project", metadata=True)
    folder = project.folder / "my recordings"
    for reel in ("tiny-01", "tiny-02"):
        record(project, reel)
    (folder / "tiny-01.wav").rename(folder / "tiny-01.WAV")
    (folder / "tiny-02.wav").rename(folder / "tiny-02_01.wav")
    planned = project.plan()
    assert planned["ingest_take"] == planned["align_take"] == 2
    shutil.copy(folder / "tiny-02_01.wav", folder / "tiny-02.aif")
    (folder / "Audio 3.wav").touch()
    run = project.dry()
    assert (run.code, run.rules.get("ingest_take")) == (0, 1)
    ending = run.text[run.text.index("This was a dry-run") :]
    assert "silk waits for 1 recording(s)" in ending
    assert "my recordings holds tiny-02.aif and tiny-02_01.wav for the reel tiny-02: leave only the right one" in ending
    assert "my recordings also holds Audio 3.wav" in ending
    content = takes_config()
    content["excitations"]["tiny"]["seed"] = 2
    project.write(content)
    assert "excitations.tiny has been recorded and is immutable" in project.dry().text
