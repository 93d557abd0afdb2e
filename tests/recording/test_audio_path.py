"""The whole way without hardware: `twin record` through PortAudio, a sound server and an effect, then the workflow."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.alignment.audio_path import PACKAGES, AudioPath, Effect, missing
from tests.workflow.conftest import waiting  # noqa: F401
from tests.workflow.project import RATE, REPOSITORY, Project, Run
from twinlib import audio
from twinlib.alignment import Alignment, WarpedReader
from twinlib.audio import Signal
from twinlib.audit.results_folder import ResultsFolder
from twinlib.audit.trace import trace
from twinlib.dataset.shards import Shard
from twinlib.files import read_json, read_table, sha256_file
from twinlib.recording import align_take, read_layout

pytestmark = pytest.mark.slow

EFFECT = Effect("foldover_1213", "foldover", (0.5, 0.0))
MOST_SESSIONS = 6
LARGEST_ERROR = 1e-5
REELS = ("tiny-01", "tiny-02")
DISTURBED = (
    "samples lost",
    "samples repeated",
    "the stream",
    "interruptions",
    "delivered nothing",
    "nothing was recorded",
)
"""Words of a session that the load of the machine disturbed: the sound server has no real-time priority."""


@pytest.fixture(scope="module", autouse=True)
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


@dataclass(frozen=True)
class Check:
    """A take as a session left it: its verdict, its largest error, and the share that the alignment excludes."""

    verdict: str
    error: float
    excluded: float


@dataclass(frozen=True)
class Recorded:
    """A project that records through the effect; `gain` is that of the path behind the effect.

    `texts` are the outputs of the sessions, `killed` the number of the one that was killed, and `sums` the sha256 of
    each take when it was first seen.
    """

    project: Project
    gain: float
    texts: list[str] = field(default_factory=list)
    killed: list[int] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    sums: dict[str, str] = field(default_factory=dict)

    @property
    def results(self) -> Path:
        return self.project.folder / "results"

    @property
    def takes(self) -> Path:
        return self.project.folder / "my recordings"

    def take(self, reel: str) -> Path:
        return self.takes / f"{reel}.wav"

    def reel(self, reel: str) -> Path:
        return self.results / "excitations" / "tiny" / "reels" / f"{reel}.wav"

    def log(self, reel: str) -> Any:
        return read_json(self.takes / "silk.recording.json", "recording/1")["takes"][reel]

    def expected(self, reel: str) -> Signal:
        """The effect on a reel, without the path."""
        return self.gain * EFFECT.apply(audio.read(self.reel(reel))[:, 0], RATE)


@pytest.fixture(scope="module")
def recorded(waiting: tuple[Project, Run], tmp_path_factory: pytest.TempPathFactory) -> Recorded:  # noqa: F811
    """All takes equal the effect. One session was killed in the second reel."""
    project = waiting[0].copy(tmp_path_factory.mktemp("path") / "project", metadata=True)
    with AudioPath(RATE, EFFECT) as path:
        # The effect folds over at full scale, which the level set-up would refuse.
        made = Recorded(project, path.attenuate(80))
        while not all(made.take(reel).is_file() for reel in REELS):
            if len(made.texts) == MOST_SESSIONS:
                pytest.fail("the machine disturbed every session:\n" + "\n".join(made.texts))
            session = start(path, project.folder)
            if not made.killed and kill_in(session, made.takes, REELS[1]):
                made.killed.append(len(made.texts))
            text, _ = session.communicate(timeout=400)
            made.texts.append(text)
            remove_disturbed(made)
    return made


def start(path: AudioPath, folder: Path) -> "subprocess.Popen[str]":
    words = ("record", "--config", "config.yaml", "--output", "twin_out", "--input", "twin_in")
    return subprocess.Popen(
        [sys.executable, "-m", "twinlib.cli", *words],
        cwd=folder,
        env=path.client_environment() | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def kill_in(session: "subprocess.Popen[str]", takes: Path, reel: str) -> bool:
    """Kill a session while it records a reel; return False if it ends before."""
    deadline = time.monotonic() + 400
    while session.poll() is None:
        assert time.monotonic() < deadline
        if list(takes.glob(f".*{reel}*.part")):
            time.sleep(1.0)
            os.killpg(session.pid, signal.SIGKILL)
            return True
        time.sleep(0.1)
    return False


def remove_disturbed(made: Recorded) -> None:
    """Check each new take; remove one that does not equal the effect, so that the next session records it again."""
    for reel in REELS:
        take = made.take(reel)
        if not take.is_file() or reel in made.sums:
            continue
        found = align_take(take, made.reel(reel), read_layout(made.reel(reel))[0])
        with WarpedReader(take, found) as warped:
            samples = warped.read(found.guard_samples, found.guard_samples + found.dry_frames)
        made.checks.append(Check(made.log(reel)["verdict"], *compare(samples, made.expected(reel), found)))
        if made.checks[-1].error < LARGEST_ERROR:
            made.sums[reel] = sha256_file(take)
        else:
            take.unlink()


def compare(samples: Signal, expected: Signal, found: Alignment) -> tuple[float, float]:
    """Return the largest error outside the excluded ranges of an alignment, and the share that they take."""
    keep = np.ones(len(samples), np.bool_)
    for each in found.excluded:
        keep[each.start : each.stop] = False
    return float(np.abs(samples - expected[: len(samples)])[keep].max()), 1.0 - float(keep.mean())


def test_a_killed_session_resumes_with_the_next_reel_until_all_takes_equal_the_effect(recorded: Recorded) -> None:
    (killed,) = recorded.killed
    for number, text in enumerate(recorded.texts):
        is_done = "every reel asked for is recorded" in text
        assert number == killed or is_done or any(word in text for word in DISTURBED), text
    for check in recorded.checks:
        assert check.verdict != "ok" or check == Check("ok", check.error, 0.0), recorded.texts
        assert check.verdict != "ok" or check.error < LARGEST_ERROR, recorded.texts
    assert "round trip" in recorded.texts[-1]
    assert f"reel 1 of 1: {REELS[1]}" in recorded.texts[killed + 1]
    assert recorded.sums == {reel: sha256_file(recorded.take(reel)) for reel in REELS}
    assert not list(recorded.takes.glob(".*"))
    for reel in REELS:
        log = recorded.log(reel)
        assert (log["take"], log["output"], log["sample_rate"]) == (f"my recordings/{reel}.wav", "twin_out", RATE)


def test_the_takes_become_a_twin_whose_segments_are_traced_to_them(recorded: Recorded) -> None:
    run = recorded.project.run("twins")
    assert run.code == 0, run.text[-4000:]
    results = ResultsFolder(recorded.results)
    table = read_table(recorded.results / "devices" / "silk" / "segments.parquet", "segments/1")
    for reel, expected_sum in recorded.sums.items():
        shard = Shard.open(recorded.results / "devices" / "silk" / "shards" / f"{reel}.arrow")
        folder = recorded.results / "devices" / "silk" / reel
        found = Alignment.from_dict(read_json(folder / "alignment.json", "alignment/2"))
        error, excluded = compare(shard.wet[found.guard_samples :], recorded.expected(reel), found)
        assert error < LARGEST_ERROR
        assert excluded < 0.2
        segment = table[(table.capture == reel) & (table.split == "train")].iloc[-1]
        traced = trace(results, segment.segment_id)
        assert traced["take"]["sha256"] == expected_sum == shard.metadata.take_sha256
        assert traced["take"]["path"] == f"my recordings/{reel}.wav"
        assert traced["take"]["simulated"] is False
        assert traced["sources"]
        by_take = trace(results, str(recorded.take(reel)))
        assert "twins/silk/tiny/twin.safetensors" in by_take["dependants"]
    twin = trace(results, "silk/tiny")
    assert {reel: take["sha256"] for reel, take in twin["takes"].items()} == recorded.sums
    assert twin["head_is_its_record"]
