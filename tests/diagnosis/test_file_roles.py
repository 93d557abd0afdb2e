"""A wet file that is the dry signal, a bypassed device and exchanged files are named; devices are not."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import butter, lfilter, sosfilt

from tests.alignment.conftest import RATE, Array, alignment, noise
from tests.diagnosis.test_diagnose import FRAMES, device, slices
from twinlib import audio
from twinlib.alignment import Alignment
from twinlib.alignment.result import Window
from twinlib.diagnosis import diagnose

ROLES = {"dry-copy", "device-bypassed", "exchanged-files"}


def tube(x: Array) -> Array:
    return np.asarray(lfilter([0.998, -0.998], [1, -0.996], x + 0.3 * x**2 - 0.1 * x**3))


def fuzz(x: Array) -> Array:
    return np.asarray(0.3 * np.clip(40 * x, -0.6, 1))


def treble_booster(x: Array) -> Array:
    return np.asarray(0.2 * (4 * x - 3 * lfilter([0.15], [1, -0.85], x)))


def compressor(x: Array) -> Array:
    envelope = lfilter([2e-4], [1, -(1 - 2e-4)], np.abs(x))
    return np.asarray(0.3 * x / (0.02 + envelope) ** 0.6)


def envelope_filter(x: Array) -> Array:
    """It opens for loud notes: their level grows by more than the input, and attacks become sharper."""
    opened = np.clip(8.0 * lfilter([0.002], [1, -0.998], np.abs(x)), 0.0, 1.0)
    low = lfilter([0.04], [1, -0.96], x)
    return np.asarray(low + opened * (x - low))


def interface(x: Array) -> Array:
    """The path of an interface: coupling capacitors and the filters of its converters."""
    high_pass = lfilter([0.9995, -0.9995], [1, -0.999], x)
    return np.asarray(sosfilt(butter(4, 19000, fs=RATE, output="sos"), high_pass))


DEVICES = {
    "drive": device,
    "tube": tube,
    "fuzz": fuzz,
    "treble booster": treble_booster,
    "compressor": compressor,
    "envelope filter": envelope_filter,
}


@pytest.fixture
def codes(tmp_path: Path) -> Callable[..., set[str]]:
    """The codes of `ROLES` that the diagnosis of two signals reports."""

    def run(dry: Array, wet: Array, dbfs: float = -90.0) -> set[str]:
        for name, signal in (("dry", dry), ("wet", wet)):
            audio.write(tmp_path / f"{name}.wav", signal.astype(np.float32), RATE, "FLOAT")
        ends = Window(0.0, 0.0, 100.0, 0.0), Window(float(FRAMES), 0.0, 100.0, 0.0)
        found: Alignment = diagnose(alignment(FRAMES, 0.0, track=ends), tmp_path / "dry.wav", tmp_path / "wet.wav")
        return {finding.code for finding in found.findings} & ROLES

    return run


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("gain", [1.0, -1.0, 0.1, -2.0])
def test_the_dry_signal_itself_is_named(codes: Callable[..., set[str]], gain: float, seed: int) -> None:
    dry = slices(seed)
    wet = np.round(gain * dry * 2**23) / 2**23
    assert codes(dry, wet) == {"dry-copy"}


@pytest.mark.parametrize("gain", [1.0, -0.5])
def test_a_bypassed_device_is_named(codes: Callable[..., set[str]], gain: float) -> None:
    assert codes(slices(), gain * interface(slices()) + noise(FRAMES, -90.0)) == {"device-bypassed"}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", DEVICES)
def test_devices_are_not_suspected(codes: Callable[..., set[str]], name: str, seed: int) -> None:
    dry = slices(seed)
    assert codes(dry, DEVICES[name](dry) + noise(FRAMES, -90.0)) == set()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", ["drive", "fuzz", "compressor"])
def test_exchanged_files_are_named(codes: Callable[..., set[str]], name: str, seed: int) -> None:
    dry = slices(seed)
    assert codes(DEVICES[name](dry) + noise(FRAMES, -90.0), dry) == {"exchanged-files"}
