"""`twin record` through PortAudio and an audio server with a distortion effect as the device."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.alignment.audio_path import PACKAGES, AudioPath, Effect, missing
from tests.recording.conftest import RATE, SETTINGS, reel_samples
from twinlib.alignment import WarpedReader
from twinlib.audio import Signal
from twinlib.files import read_json
from twinlib.recording import align_take, read_layout

pytestmark = pytest.mark.slow

EFFECT = Effect("foldover_1213", "foldover", (0.5, 0.0))
REPOSITORY = Path(__file__).parents[2]
MOST_SESSIONS = 3
REEL, TAKE = "main-01", Path("recordings/fold/main-01.wav")


@pytest.fixture(autouse=True)
def _installed() -> None:
    absent = missing(EFFECT)
    try:
        import sounddevice  # noqa: F401
    except (ImportError, OSError) as error:
        absent.append(f"PortAudio ({error})")
    if absent:
        why = (
            f"no audio path: {', '.join(absent)} (Debian: apt-get install {PACKAGES} libportaudio2 libasound2-plugins)"
        )
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)


@pytest.fixture
def project(foreign: Path, tmp_path: Path) -> Path:
    """A project whose device waits for the take of one reel."""
    shutil.copytree(foreign.parents[1], tmp_path / "results")
    content = {
        "corpus": {"root": "music", "layout": "folder", "licence": "CC0-1.0"},
        "excitations": {"main": {**SETTINGS, "seed": 2, "slices": 20}},
        "devices": {"fold": {"excitation": "main", "takes": "recordings/fold/{reel}.wav"}},
    }
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.yaml").write_text(yaml.safe_dump(content))
    return tmp_path


def start(path: AudioPath, folder: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "twinlib.cli", "record", "--output", "twin_out", "--input", "twin_in"],
        cwd=folder,
        env=path.client_environment() | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def record(path: AudioPath, project: Path, expected: Signal) -> tuple[str, str]:
    """Record until a take equals the effect outside the excluded ranges; return the output and the verdict.

    The sound server has no real-time priority, so that the load of the machine may disturb a session. A disturbed one
    says so: it ends with an error, or the take is not ok.
    """
    for _ in range(MOST_SESSIONS):
        session = start(path, project)
        text, _ = session.communicate(timeout=400)
        verdict = "none"
        if session.returncode == 0:
            log = read_json(project / TAKE.parent / "fold.recording.json", "recording/1")
            verdict = log["takes"][REEL]["verdict"]
            error, excluded = largest_error(project, expected)
            assert verdict != "ok" or (error < 1e-5 and excluded == 0.0), text
            if error < 1e-5:
                assert excluded < 0.2, text
                return text, verdict
            (project / TAKE).unlink()
        assert any(word in text for word in ("samples lost", "samples repeated", "the stream", "interruptions")), text
    pytest.fail(f"no take of {MOST_SESSIONS} sessions equals the effect; the last: {text}")


def largest_error(project: Path, expected: Signal) -> tuple[float, float]:
    """Return the largest error of the aligned take outside its excluded ranges, and the share that is excluded."""
    reel = next((project / "results").rglob(f"reels/{REEL}.wav"))
    found = align_take(project / TAKE, reel, read_layout(reel)[0])
    assert found.warp == "shift", "a digital path has one clock and whole lags"
    with WarpedReader(project / TAKE, found) as warped:
        samples = warped.read(found.guard_samples, len(expected))
    keep = np.ones(len(samples), np.bool_)
    for each in found.excluded:
        keep[each.start : each.stop] = False
    return float(np.abs(samples - expected[: len(samples)])[keep].max()), 1.0 - float(keep.mean())


def test_a_killed_recording_resumes_and_the_take_equals_the_effect(project: Path, foreign: Path) -> None:
    takes = project / TAKE.parent
    with AudioPath(RATE, EFFECT) as path:
        # The effect folds over at full scale, which the level set-up would refuse.
        gain = path.attenuate(80)
        killed = start(path, project)
        deadline = time.monotonic() + 90
        while not list(takes.glob(".*.part")):
            assert killed.poll() is None, killed.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.2)
        time.sleep(2.0)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.communicate()
        assert not (project / TAKE).exists()
        expected = gain * EFFECT.apply(reel_samples(foreign, REEL), RATE)
        text, verdict = record(path, project, expected)
    assert "round trip" in text
    assert not list(takes.glob(".*"))
    log = read_json(takes / "fold.recording.json", "recording/1")["takes"][REEL]
    assert (log["output"], log["sample_rate"], log["verdict"]) == ("twin_out", RATE, verdict), text
