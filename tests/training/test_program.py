"""The training program on a dataset on disk: killed, stopped, with several processes, and its memory."""

import random
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from tests.dataset.factories import GUARD
from tests.training.dataset import training, write_dataset
from tests.workflow.project import REPOSITORY, Program
from twinlib import audio
from twinlib.cli import main as twin_command
from twinlib.dataset.settings import Dataset
from twinlib.files import read_table, sha256_file
from twinlib.model.twin import load_twin

pytestmark = pytest.mark.slow

SETTINGS = {"steps": 1500, "validate_every": 100, "checkpoint_seconds": 0.2, "average": 0.98}


def finish(process: Program | subprocess.Popen[str]) -> str:
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return err


def wait_for(path: Path, process: Program, written: int = 0) -> None:
    """Wait until the process has written a file later than `written`, in ns, or has ended."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if path.exists() and path.stat().st_mtime_ns > written:
            break
        time.sleep(0.02)


def test_killed_program_resumes_to_the_same_bytes(tmp_path):
    write_dataset(tmp_path / "data")
    whole, cut = tmp_path / "whole" / "twin.safetensors", tmp_path / "cut" / "twin.safetensors"
    finish(training(tmp_path / "data", whole, **SETTINGS))
    moments, checkpoint, kills = random.Random(), cut.parent / "checkpoints" / "seed-0" / "checkpoint.safetensors", 0
    for _ in range(3):
        written = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        process = training(tmp_path / "data", cut, **SETTINGS)
        wait_for(checkpoint, process, written)
        time.sleep(moments.uniform(0.0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += process.returncode == -signal.SIGKILL
    assert kills >= 1
    finish(training(tmp_path / "data", cut, **SETTINGS))
    assert sha256_file(cut) == sha256_file(whole)
    first, second = (read_table(path.parent / "training.parquet", "training/1") for path in (whole, cut))
    assert first.drop(columns="cpu_seconds").equals(second.drop(columns="cpu_seconds"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_stopped_training_leaves_a_playable_twin(tmp_path, number, code):
    write_dataset(tmp_path / "data")
    twin = tmp_path / "twin" / "twin.safetensors"
    settings = {**SETTINGS, "steps": 10**6, "validate_every": 10**6, "checkpoint_seconds": 0.5}
    process = training(tmp_path / "data", twin, **settings)
    wait_for(twin.parent / "checkpoints" / "seed-0" / "checkpoint.safetensors", process)
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == code, err
    assert "Traceback" not in err
    kept = load_twin(twin.parent / "checkpoints")
    assert f"validation ESR of {kept.metadata['valid_esr']:.3%}" in err
    assert f"twin render {twin.parent / 'checkpoints'}" in err
    audio.write(tmp_path / "in.wav", np.random.default_rng(1).uniform(-1, 1, 5000).astype(np.float32), 8000, "PCM_24")
    words = ["twin", "render", str(twin.parent / "checkpoints"), str(tmp_path / "in.wav"), str(tmp_path / "out.wav")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", words)
        with pytest.raises(SystemExit) as ended:
            twin_command()
    assert not ended.value.code
    assert len(audio.read(tmp_path / "out.wav")) == 5000


def test_program_starts_two_processes(tmp_path):
    write_dataset(tmp_path / "data")
    twin = tmp_path / "twin" / "twin.safetensors"
    settings = {"steps": 60, "validate_every": 30, "processes": 2, "seeds": 2}
    err = finish(training(tmp_path / "data", twin, **settings))
    assert err.count("validation ESR") >= 1
    curve = read_table(twin.parent / "training.parquet", "training/1")
    assert curve["seed"].tolist() == [0, 0, 1, 1]
    assert load_twin(twin).metadata["valid_esr"] == curve["valid_esr"].min()


def test_errors_of_several_processes_have_no_traceback(tmp_path):
    write_dataset(tmp_path / "data")
    twin = tmp_path / "twin" / "twin.safetensors"
    settings = {"steps": 60, "processes": 2, "warm_start": "nowhere"}
    _, err = (process := training(tmp_path / "data", twin, **settings)).communicate(timeout=300)
    assert process.returncode == 1
    assert "error: training.warm_start: nowhere/twin.safetensors does not exist" in err
    assert "Traceback" not in err


MEASURED = """
import runpy, sys
sys.argv = sys.argv[1:]
sys.path.insert(0, {root!r})
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    print("anonymous", lines["RssAnon"].split()[0], file=sys.stderr)
"""


def anonymous_memory(folder: Path, tmp_path: Path) -> int:
    """Return the anonymous memory at the end of a training, in KiB."""
    prefix = ("-c", MEASURED.format(root=str(REPOSITORY)))
    err = finish(training(folder, tmp_path / "twin.safetensors", prefix, steps=100, validate_every=100))
    return int(err.split("anonymous ")[1].split()[0])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_memory_does_not_grow_with_the_dataset(tmp_path):
    sizes = []
    for repeats in (1, 16):
        folder = tmp_path / f"{repeats}"
        write_dataset(folder, 400_000, repeats, Dataset(segment_samples=8192, guard_samples=GUARD))
        sizes.append(anonymous_memory(folder, folder / "out"))
    audio_kib = 15 * 2 * 4 * 400_000 / 1024
    # Only the table of segments grows, while it is read.
    assert sizes[1] - sizes[0] < 0.08 * audio_kib, sizes
