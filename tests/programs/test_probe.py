"""Bad input to the programs that use a probe reel and to the page of a twin."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.cli_harness import EXCITATION, TWIN, Fails, Options, call, error_to_signal, failing_program, fails_on_damage
from tests.excitation.probing import probe_samples
from tests.workflow.project import REPOSITORY
from twinlib import audio
from twinlib.evaluation.settings import PROBE_FIGURES
from twinlib.excitation.probe_reel import probe_layout
from twinlib.files import read_json, write_json
from twinlib.model.architecture import Architecture
from twinlib.model.twin import Twin
from twinlib.model.wavenet import WaveNet
from twinlib.provenance.record import stage_record

PLAN = probe_layout(8000)
"""A low rate, because all files are hashed before and after every call."""

SECTION = PLAN.of("music")[0]
PROBE_CAPTURE = "results/devices/amp/tiny-probe"
EVALUATION = f"{TWIN}/evaluation"
SOUNDS = ("dry", "wet", "twin", "linear", "difference")


def probe_options() -> Options:
    """Return the options of the programs that use a probe reel and of the page."""
    reel, probe = f"{EXCITATION}/reels/tiny-probe.wav", f"{EXCITATION}/probe.json"
    take, alignment, twin = f"{PROBE_CAPTURE}/take.wav", f"{PROBE_CAPTURE}/alignment.json", f"{TWIN}/twin.safetensors"
    who, measured = {"device": "amp", "model": "tiny"}, f"{EVALUATION}/measurements.json"
    figures = [f"{EVALUATION}/probe/{name}.svg" for name in PROBE_FIGURES]
    music = [f"{EVALUATION}/listening/music-{name}.flac" for name in SOUNDS]
    return {
        "align_take": {
            "name": "tiny-probe", "guard": 12, "dry_range": "null", "known": "{}", "channel": 1, "reference_channel": 0,
            "repair": ["polarity"], "programme": [],
            "dry": reel, "wet": take, "excitation": probe, "alignment": alignment,
            "picture": f"{PROBE_CAPTURE}/alignment.svg",
        },
        "measure_device": {
            "device": "amp", "channel": 1, "withdrawn": "[]", "dry": reel, "wet": take, "alignment": alignment,
            "probe": probe, "measurements": f"{PROBE_CAPTURE}/measurements.json",
        },
        "measure_twin": {
            **who, "twin": twin, "reel": reel, "probe": probe, "measured": f"{PROBE_CAPTURE}/measurements.json",
            "outputs": [measured, *figures],
        },
        "render_probe_music": {
            **who, "channel": 1, "withdrawn": "[]", "twin": twin, "linear": f"{EVALUATION}/linear.json", "reel": reel,
            "take": take, "alignment": alignment, "probe": probe,
            "outputs": [f"{EVALUATION}/listening/music.json", *music],
        },
        "build_twin_page": {
            "knobs": "{}", "metrics": f"{EVALUATION}/metrics.json", "card": "results/devices/amp/device_card.json",
            "dataset": "results/devices/amp/dataset.json", "trained": f"{twin}.prov.json", "figures": figures,
            "clips": [f"{EVALUATION}/listening/{name}.flac" for name in SOUNDS], "music": music,
            "outputs": [f"{EVALUATION}/index.html", f"{EVALUATION}/listening.html"],
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Options]]:
    """A device and a twin with random weights, measured by a probe reel, and the page of the twin."""
    folder, here = tmp_path_factory.mktemp("measured") / "project", Path.cwd()
    folder.mkdir()
    os.chdir(folder)
    try:
        options = probe_options()
        reel = probe_samples(PLAN)
        audio.write(Path(options["measure_device"]["dry"]), reel, 8000, "PCM_24")
        silence, noise = np.zeros(500, np.float32), 1e-4 * np.random.default_rng(1).standard_normal(len(reel) + 1000)
        wet = np.concatenate([silence, -0.8 * np.tanh(2 * reel + 0.2), silence]) + noise.astype(np.float32)
        audio.write(Path(options["measure_device"]["wet"]), wet, 8000, "PCM_24")
        frames = SECTION.stop - SECTION.start
        rows = {"frames": PLAN.frames, "clicks": PLAN.clicks, "click_frames": PLAN.click_frames}
        content = {
            "name": "tiny-probe",
            "sample_rate": 8000,
            "reels": {"tiny-probe": {**rows, "programme": PLAN.programme, "blocks": []}},
            "sections": [section.to_dict() for section in PLAN.sections],
            "excerpt": [{"track_id": f"artist{k}/song", "frames": frames // 2} for k in range(2)],
        }
        write_json(Path(options["measure_device"]["probe"]), "probe/1", content)
        network = Architecture(channels=2, kernel_size=3, dilations=(1, 8)).network
        twin = Twin(network, WaveNet(network, 0).weights(), 8000, 12, 1.0, 1.0, "amp", "tiny", "digest")
        twin.save(Path(options["render_probe_music"]["twin"]))
        write_json(
            Path(options["render_probe_music"]["linear"]), "linear/1", {"sample_rate": 8000, "fir": [0.0] * 12 + [0.5]}
        )
        for stage in ("align_take", "measure_device", "measure_twin", "render_probe_music"):
            assert call(stage, options[stage]) == 0, stage
        beside = read_json(Path(f"{EVALUATION}/measurements.json"), "measurements/1")
        numbers = dict.fromkeys(("esr", "esr_dry", "esr_gain", "esr_linear", "esr_preemphasis"), 0.1)
        about = {"device": "amp", "model": "tiny", "esr_db": -10.0, "gain_over_linear_db": 0.0, "realtime_factor": 9.0}
        network = {"parameters": 10, "receptive_field": 20, "esr_floor": beside["device"]["esr_floor"]}
        metrics = {**about, **numbers, **network, "harmonics": beside["comparison"]}
        write_json(Path(options["build_twin_page"]["metrics"]), "metrics/1", metrics)
        write_json(Path(options["build_twin_page"]["card"]), "device-card/1", {"device": "amp", "card": {}})
        dataset = {
            "device": "amp",
            "digest": "digest",
            "sample_rate": 8000,
            "segment_samples": 4096,
            "guard_samples": 12,
        }
        write_json(Path(options["build_twin_page"]["dataset"]), "dataset/1", dataset)
        budget = {"settings": '{"steps": 1, "cpu_seconds": null, "seed": 0, "seeds": 1, "warm_start": null}'}
        twin_file = Path(options["render_probe_music"]["twin"])
        with stage_record(REPOSITORY / "scripts" / "train_twin.py", [], [twin_file], budget):
            pass
        for name, path in zip(SOUNDS, options["build_twin_page"]["clips"], strict=True):
            audio.write(Path(path), 0.1 * reel[20000 + len(name) :][:4000], 8000, "PCM_24")
        assert call("build_twin_page", options["build_twin_page"]) == 0
        yield folder, options
    finally:
        os.chdir(here)


@pytest.fixture
def probe_fails(
    measured: tuple[Path, Options],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Fails:
    """Like `fails`, in a project with a recorded probe reel."""
    shutil.copytree(measured[0], tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    # Otherwise the first check of every program would find that a file differs from its record.
    for record in Path("results").rglob("*.prov.json"):
        if record.name != "twin.safetensors.prov.json":
            record.unlink()
    return failing_program(measured[1], capsys)


def clips_of_music() -> dict[str, np.ndarray]:
    return {name: audio.read(Path(f"{EVALUATION}/listening/music-{name}.flac"))[:, 0] for name in SOUNDS}


def test_the_music_of_the_probe_reel_is_aligned(probe_fails: Fails) -> None:
    music, clips = read_json(Path(f"{EVALUATION}/listening/music.json"), "music/1"), clips_of_music()
    reel = audio.read(Path(f"{EXCITATION}/reels/tiny-probe.wav"), music["reel_start"], music["reel_stop"])[:, 0]
    assert (music["reel_start"], music["reel_stop"], music["withdrawn"]) == (SECTION.start, SECTION.stop, [])
    assert clips["dry"] == pytest.approx(music["gain"] * reel, abs=1e-6)
    assert clips["linear"] == pytest.approx(0.5 * clips["dry"], abs=1e-6), "the guard is taken off"
    wanted = music["gain"] * 0.8 * np.tanh(2 * reel + 0.2)
    assert error_to_signal(clips["wet"], wanted) < 1e-4, "on the clock of the reel, and the right way up"
    assert clips["difference"] == pytest.approx(clips["twin"] - clips["wet"], abs=1e-6)
    for name in ("index.html", "listening.html"):
        assert Path(f"{EVALUATION}/{name}").read_text().count("data-tw-excerpt=") == 2


def test_withdrawn_music_is_neither_rendered_nor_measured(
    probe_fails: Fails,
    measured: tuple[Path, Options],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("twinlib.reports.probe_figures.draw_probe", lambda *_: None)  # measuring takes seconds
    withdrawn = {"withdrawn": '["artist1/song", "artist7/song"]'}
    for stage in ("measure_device", "measure_twin", "render_probe_music"):
        assert call(stage, measured[1][stage] | (withdrawn if stage != "measure_twin" else {})) == 0
    for path in (f"{PROBE_CAPTURE}/measurements.json", f"{EVALUATION}/measurements.json"):
        device = read_json(Path(path), "measurements/1")["device"]
        assert (device["esr_floor"], device["music_withdrawn"]) == (None, ["artist1/song"])
        assert device["impulse_samples"] > 0
    assert read_json(Path(f"{EVALUATION}/listening/music.json"), "music/1")["withdrawn"] == ["artist1/song"]
    assert not any(clip.any() for clip in clips_of_music().values())
    metrics = read_json(Path(f"{EVALUATION}/metrics.json"), "metrics/1")
    write_json(Path(f"{EVALUATION}/metrics.json"), "metrics/1", {**metrics, "music_withdrawn": ["artist1/song"]})
    assert call("build_twin_page", measured[1]["build_twin_page"]) == 0
    index = Path(f"{EVALUATION}/index.html").read_text()
    assert index.count("data-tw-excerpt=") == 1
    assert "have been withdrawn: artist1/song" in index
    printed = capsys.readouterr()
    assert printed.out.count("artist1/song was withdrawn") == 2


PROBE_INPUTS = [
    (stage, name)
    for stage, names in {
        "measure_device": ["dry", "wet", "alignment", "probe"],
        "measure_twin": ["twin", "reel", "probe", "measured"],
        "render_probe_music": ["twin", "linear", "reel", "take", "alignment", "probe"],
        "build_twin_page": ["metrics", "card", "dataset", "trained", "figures", "clips", "music"],
    }.items()
    for name in names
]


@pytest.mark.parametrize(("stage", "name"), PROBE_INPUTS)
def test_a_missing_or_damaged_measurement_input_is_named(
    probe_fails: Fails, measured: tuple[Path, Options], stage: str, name: str
) -> None:
    given = measured[1][stage][name]
    fails_on_damage(probe_fails, stage, Path(given[1] if isinstance(given, list) else given))


def test_a_reel_take_or_twin_of_another_excitation_is_refused(probe_fails: Fails) -> None:
    for stage, name in (("measure_device", "dry"), ("measure_twin", "reel"), ("render_probe_music", "reel")):
        audio.write(Path("short.wav"), np.zeros(60000, np.float32), 8000, "PCM_16")
        probe_fails(stage, "short.wav", **{name: "short.wav"})
    for stage, name in (("measure_device", "wet"), ("render_probe_music", "take")):
        probe_fails(stage, "short.wav", "align it again", **{name: "short.wav"})
        probe_fails(stage, "take.wav", "no channel 2", channel=2)
        probe_fails(stage, "not readable JSON", withdrawn="{artist")
    network = Architecture(channels=2, kernel_size=3, dilations=(1, 8)).network
    twin = Twin(network, WaveNet(network, 0).weights(), 44100, 12, 1.0, 1.0, "amp", "tiny", "digest")
    twin.save(Path("other/twin.safetensors"))
    for stage in ("measure_twin", "render_probe_music"):
        probe_fails(stage, "44100 Hz", "8000 Hz", twin="other/twin.safetensors")
    path = Path(f"{PROBE_CAPTURE}/alignment.json")
    refused = {**read_json(path, "alignment/2"), "verdict": "refused", "reasons": ["3 samples were lost"]}
    write_json(path, "alignment/2", refused)
    for stage in ("measure_device", "render_probe_music"):
        probe_fails(stage, "take.wav", "3 samples were lost")


@pytest.mark.parametrize(
    ("stage", "name"),
    [("measure_device", "measurements"), ("measure_twin", "outputs"), ("render_probe_music", "outputs")],
)
def test_an_unwritable_measurement_is_named(probe_fails: Fails, stage: str, name: str) -> None:
    probe_fails(stage, "metrics.json", **{name: f"{EVALUATION}/metrics.json/below/a/file.json"})
