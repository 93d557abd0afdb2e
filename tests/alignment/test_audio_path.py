"""Alignment of takes recorded through an audio server and a distortion effect."""

import dataclasses
import os
import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from twinlib import audio
from twinlib.alignment.pipeline import Alignment, align
from twinlib.alignment.warp import WarpedReader
from twinlib.audio import Signal
from twinlib.excitation.sync_click import make_click

from .audio_path import PACKAGES, AudioPath, Effect, Recorder, Truth, busy, compare, missing

pytestmark = pytest.mark.slow

RATE = 44100
CORPUS = Path(__file__).parents[2] / "config" / "demo_corpus" / "Audio"
TRACKS = ("Garzul_LoopGarzul", "Godspine_LoopCompus", "HeighHoo_DrumRoll", "SubD_GuitarEFifths")
SECONDS_EACH = 2.0
SILENCE, GAP = round(1.3 * RATE), round(0.3 * RATE)

# Memoryless, odd and independent of the sample rate: 1.5 u - 0.5 u^3 with u = (1 + drive) x. The music reaches 0.91
# where a linear gain would reach 1.13; only the clicks fold over.
EFFECT = Effect("foldover_1213", "foldover", (0.5, 0.0))

WARP_KERNEL = 1e-5
LOW_LATENCY_MS = 20
MOST_PASSES = 3


@dataclass(frozen=True)
class Reel:
    """A reel with the positions of its clicks and programme, and the expected output of the effect."""

    path: Path
    clicks: tuple[int, int]
    programme: tuple[int, int]
    expected: Signal


@dataclass(frozen=True)
class Take:
    """A recording, and its true lags and faults, found without the aligner."""

    path: Path
    truth: Truth

    @property
    def lag(self) -> int:
        """The lag of the first matching block."""
        return int(self.truth.lags[0])


@dataclass(frozen=True)
class Takes:
    """The recordings of one pass, started before the player, shortly after it, and long after it."""

    whole: Take
    late: Take
    very_late: Take

    def clean(self) -> bool:
        """Whether only initial samples are missing, as many as the tests require."""
        if not (self.whole.truth.whole and self.late.truth.whole):
            return False
        rest = self.very_late.truth
        if rest.faults or rest.tail or not len(rest.lags):
            return False
        return (
            self.whole.lag > 0
            and 0.1 * RATE < -self.late.lag < SILENCE - 0.05 * RATE
            and 2.2 * RATE < -self.very_late.lag < 4.0 * RATE
        )


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    absent = missing(EFFECT)
    if not absent:
        return
    why = f"no audio path: {', '.join(absent)} not found (Debian: apt-get install {PACKAGES})"
    if os.environ.get("CI"):
        # CI must not skip these tests.
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="module")
def reel(_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Reel:
    pieces = []
    for track in TRACKS:
        # Skip the first half second, which may be silent.
        start = RATE // 2
        part = audio.read(CORPUS / track / f"{track}_MIX.flac", start, start + round(SECONDS_EACH * RATE)).mean(axis=1)
        pieces.append(0.5 * part / np.abs(part).max())
    music, marker = np.concatenate(pieces), make_click(RATE)
    silence, gap = np.zeros(SILENCE), np.zeros(GAP)
    samples = np.concatenate((silence, marker, gap, music, gap, marker, silence)).astype(np.float32)
    start = SILENCE + len(marker) + GAP
    stop = start + len(music)
    path = tmp_path_factory.mktemp("reel") / "reel.wav"
    audio.write(path, samples, RATE, "FLOAT")
    return Reel(path, (SILENCE, stop + GAP), (start, stop), EFFECT.apply(samples, RATE))


@pytest.fixture(scope="module")
def takes(reel: Reel, tmp_path_factory: pytest.TempPathFactory) -> Takes:
    """One pass with three recorders, repeated if the load of the machine disturbed it."""
    passes = []
    for _ in range(MOST_PASSES):
        folder = tmp_path_factory.mktemp("pass")
        recorders = [
            Recorder(folder / "whole.wav", -random.uniform(0.2, 1.5)),
            # A late stream joins at the server's next block, so up to half a second more is missing.
            Recorder(folder / "late.wav", random.uniform(0.45, 0.7)),
            Recorder(folder / "very-late.wav", random.uniform(2.9, 3.2)),
        ]
        with AudioPath(RATE, EFFECT) as path:
            path.play(reel.path, recorders)
        made = Takes(*(look(reel, recorder.take) for recorder in recorders))
        if made.clean():
            return made
        passes.append(made)
    pytest.fail(f"{MOST_PASSES} passes through the audio path were all disturbed: {passes}")


def look(reel: Reel, take: Path) -> Take:
    return Take(take, compare(reel.expected, audio.read(take)[:, 0]))


def errors(reel: Reel, take: Path, found: Alignment) -> Signal:
    """The error of the aligned wet signal over the programme; 0 where the take has no samples."""
    start, stop = reel.programme
    with WarpedReader(take, dataclasses.replace(found, guard_samples=0)) as wet:
        first, last = wet.valid_range()
        off: Signal = np.abs(wet.read(start, stop) - reel.expected[start:stop])
    off[: max(0, first - start)] = 0.0
    off[max(0, last - start) :] = 0.0
    return off


def test_a_take_through_an_audio_server_is_aligned_exactly(reel: Reel, takes: Takes) -> None:
    found = align(reel.path, takes.whole.path, clicks=reel.clicks)
    assert found.verdict == "ok", found.reasons
    assert found.polarity == 1
    assert not found.dropouts
    assert found.lag_samples == pytest.approx(takes.whole.lag, abs=0.02)
    assert found.drift_ppm == pytest.approx(0.0, abs=0.05)
    assert errors(reel, takes.whole.path, found).max() < WARP_KERNEL
    with WarpedReader(takes.whole.path, dataclasses.replace(found, guard_samples=0)) as wet:
        assert wet.valid_range() == (0, audio.read_info(reel.path).frames)


def test_missing_initial_silence_gives_a_negative_lag(reel: Reel, takes: Takes) -> None:
    found = align(reel.path, takes.late.path, clicks=reel.clicks)
    assert found.verdict in ("ok", "suspect"), found.reasons
    assert takes.late.lag < 0
    assert found.lag_samples == pytest.approx(takes.late.lag, abs=0.02)
    assert errors(reel, takes.late.path, found).max() < WARP_KERNEL
    with WarpedReader(takes.late.path, dataclasses.replace(found, guard_samples=0)) as wet:
        first, _ = wet.valid_range()
    assert first == pytest.approx(-takes.late.lag, abs=100)


def test_a_take_without_its_first_click_is_never_ok(reel: Reel, takes: Takes) -> None:
    take = takes.very_late
    assert reel.programme[0] < -take.lag < reel.programme[1]
    found = align(reel.path, take.path, clicks=reel.clicks)
    assert found.verdict != "ok"
    assert found.reasons
    assert found.lag_samples == pytest.approx(take.lag, abs=0.02)
    if found.verdict == "suspect":
        assert errors(reel, take.path, found).max() < WARP_KERNEL


@pytest.fixture(scope="module")
def disturbed(reel: Reel, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two takes of one pass on a busy machine: a process per core computes, and from the middle of the pass two."""
    folder = tmp_path_factory.mktemp("busy")
    paths, crowd = [folder / f"{number}.wav" for number in range(2)], min(16, len(os.sched_getaffinity(0)))
    half = audio.read_info(reel.path).seconds / 2
    with AudioPath(RATE, EFFECT) as server, busy(crowd), busy(crowd, half):
        server.play(reel.path, [Recorder(path, -random.uniform(0.2, 1.5)) for path in paths], LOW_LATENCY_MS)
    return paths


@pytest.mark.parametrize("number", [0, 1])
def test_a_take_on_a_busy_machine_is_ok_only_if_complete(reel: Reel, disturbed: list[Path], number: int) -> None:
    """Gaps occur at random, so the test compares the take with the expected output."""
    path = disturbed[number]
    truth = look(reel, path).truth
    found = align(reel.path, path, clicks=reel.clicks)
    if truth.whole:
        assert found.verdict == "ok", found.reasons
    if found.verdict == "ok":
        # Losses in a click or in silence may be unreported, but the programme must be complete.
        start, stop = reel.programme
        programme = compare(reel.expected[start:stop], audio.read(path)[:, 0])
        assert programme.whole, f"{programme.head}, {programme.tail} blocks missing at the ends, {programme.faults}"
        assert errors(reel, path, found).max() < WARP_KERNEL
    else:
        assert found.reasons


@pytest.mark.parametrize("lost", [64, -82], ids=["samples lost", "silence in between"])
def test_a_gap_in_a_take_is_detected(reel: Reel, takes: Takes, tmp_path: Path, lost: int) -> None:
    samples = audio.read(takes.whole.path)[:, 0]
    at = sum(reel.programme) // 2 + takes.whole.lag
    samples = np.concatenate((samples[:at], np.zeros(max(0, -lost), np.float32), samples[at + max(0, lost) :]))
    path = tmp_path / "take.wav"
    audio.write(path, samples, RATE, "FLOAT")
    (fault,) = look(reel, path).truth.faults
    assert fault.lost_samples == lost
    found = align(reel.path, path, clicks=reel.clicks)
    assert found.verdict != "ok"
    (dropout,) = found.dropouts
    assert dropout.lost_samples == lost
    assert dropout.start - 0.05 <= at / RATE <= dropout.stop + 0.05
    assert dropout.stop - dropout.start < 0.1
