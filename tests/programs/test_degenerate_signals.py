"""Signals that are no recording of a device: each is refused with a reason, or its numbers are finite."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.workflow.project import RATE, noise
from twinlib.alignment import align
from twinlib.capture import ingest_take
from twinlib.diagnosis import diagnose

FRAMES = 8 * RATE
TIME = np.arange(FRAMES) / RATE
MUSIC = noise(8.0, 5).astype(np.float64)


def impulse() -> np.ndarray:
    signal = np.zeros(FRAMES)
    signal[FRAMES // 2] = 1.0
    return signal


SIGNALS = {
    "silence": np.zeros(FRAMES),
    "DC": np.full(FRAMES, 0.5),
    "impulse": impulse(),
    "full-scale square": np.sign(np.sin(2 * np.pi * 100 * TIME)),
    "denormals": 1e-40 * MUSIC,
    "NaN": np.where(np.arange(FRAMES) == 1000, np.nan, MUSIC),
    "infinity": np.where(np.arange(FRAMES) == 1000, np.inf, MUSIC),
    "integer scale": 32768 * MUSIC,
    "one second": MUSIC[:RATE],
    "one sample": MUSIC[1000:1001],
    "muted": np.where(TIME < 7.5, 0.0, MUSIC),
}


def judge(folder: Path, dry: np.ndarray, wet: np.ndarray) -> tuple[str, list[str]]:
    """Ingest, align and diagnose a pair; return the worst verdict and all reasons, after a check of all numbers."""
    for name, signal in (("dry", dry), ("wet", wet)):
        soundfile.write(folder / f"{name}.wav", signal, RATE, "FLOAT")
    take = ingest_take(folder / "wet.wav", reel=folder / "dry.wav", is_pair=True)
    found = diagnose(align(folder / "dry.wav", folder / "wet.wav"), folder / "dry.wav", folder / "wet.wav")
    json.dumps([take.to_dict(), found.to_dict()], allow_nan=False)
    order = ["ok", "suspect", "refused"]
    return max(take.verdict, found.verdict, key=order.index), [*take.reasons, *found.reasons]


@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_a_degenerate_wet_file_is_refused_with_a_reason(tmp_path: Path, name: str) -> None:
    verdict, reasons = judge(tmp_path, MUSIC, SIGNALS[name])
    assert verdict == "refused", reasons
    assert all(reasons)
    expected = {"NaN": "NaN", "infinity": "infinite", "integer scale": "Divide them by 32768"}.get(name, "")
    assert expected in " ".join(reasons)


@pytest.mark.parametrize("name", [name for name in SIGNALS if name != "one second"])
def test_a_degenerate_dry_file_is_refused_with_a_reason(tmp_path: Path, name: str) -> None:
    verdict, reasons = judge(tmp_path, SIGNALS[name], np.tanh(3 * MUSIC))
    assert verdict == "refused", reasons
    assert all(reasons)


def test_a_capture_of_one_second_is_aligned(tmp_path: Path) -> None:
    verdict, reasons = judge(tmp_path, MUSIC[:RATE], np.tanh(3 * MUSIC[:RATE]))
    assert verdict == "ok", reasons
