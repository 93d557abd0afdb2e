"""How often the diagnosis suspects takes of an unchanged device, and how often it finds a change or an effect.

    python benchmarks/diagnosis.py [--takes 20] [--seconds 25]

Prints, for every kind of take, the share of takes that are suspect. The programme is slices of synthetic notes.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.diagnosis.notes import RATE, draw_notes
from twinlib import audio
from twinlib.alignment import align
from twinlib.diagnosis import diagnose
from twinlib.simulation.circuits import process_stream
from twinlib.simulation.settings import DiodeClipper, Transformer

Array = npt.NDArray[np.float64]


def programme(seconds: float, rng: np.random.Generator) -> Array:
    frames = round(seconds * RATE)
    return 0.6 * draw_notes(frames, range(0, frames, 7096), 10096, -1.0, rng)


def low_pass(x: Array, hertz: float) -> Array:
    pole = np.exp(-2 * np.pi * hertz / RATE)
    return np.asarray(lfilter([1 - pole], [1, -pole], x))


def clipper(x: Array, drive: float = 1.0) -> Array:
    return np.concatenate(list(process_stream(DiodeClipper(drive=0.5), RATE, [(drive * x).astype(np.float32)]))).astype(
        float
    )


def transformer(x: Array, drive: float = 1.0) -> Array:
    return np.concatenate(list(process_stream(Transformer(drive=0.5), RATE, [(drive * x).astype(np.float32)]))).astype(
        float
    )


def fuzz(x: Array, drive: float = 1.0) -> Array:
    y = np.tanh(30 * drive * (x - low_pass(x, 100.0)))
    return 0.5 * low_pass(np.tanh(20 * (y + 0.2 * y * y - low_pass(y + 0.2 * y * y, 200.0))), 5000.0)


def gate(x: Array, drive: float = 1.0) -> Array:
    y = np.tanh(4 * drive * x)
    level = lfilter([0.001], [1, -0.999], np.abs(y))
    return np.asarray(0.5 * y * lfilter([0.002], [1, -0.998], (level > 0.02).astype(float)))


DEVICES = {"clipper": clipper, "transformer": transformer, "fuzz": fuzz, "gate": gate}


def modulated(y: Array, milliseconds: float, depth: float, hertz: float) -> Array:
    i = np.arange(len(y))
    return np.interp(
        np.clip(i - 1e-3 * RATE * (milliseconds + depth * np.sin(2 * np.pi * hertz * i / RATE)), 0, None), i, y
    )


def takes(name: str, x: Array, rng: np.random.Generator) -> dict[str, Array]:
    device = DEVICES[name]
    y, place = device(x), int(rng.uniform(0.2, 0.8) * len(x))
    hertz, t = float(np.exp(rng.uniform(np.log(0.2), np.log(8.0)))), np.arange(len(x)) / RATE

    def step(before: Array, after: Array) -> Array:
        return np.concatenate((before[:place], after[place:]))

    rms = float(np.sqrt(np.mean(np.square(y))))
    return {
        "unchanged": y,
        "unchanged, 20 dB of noise": y + 0.1 * rms * rng.standard_normal(len(y)),
        "unchanged, hum": y + 0.05 * rms * np.sin(2 * np.pi * 50.02 * t),
        "level +1 dB": step(y, 1.122 * y),
        "level -1 dB": step(y, y / 1.122),
        "drive x1.2": step(y, device(x, 1.2)),
        "tone by an octave": step(low_pass(y, 3000.0), low_pass(y, 6000.0)),
        "bypass": step(y, x),
        "chorus of 20 %": 0.8 * y + 0.2 * modulated(y, 12, min(3.0, 2.4 / hertz), hertz),
        "tremolo of 4 %": y * (1 + 0.04 * np.sin(2 * np.pi * hertz * t)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--takes", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=25.0)
    args = parser.parse_args()
    found: dict[str, dict[str, list[bool]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        dry, wet = Path(folder) / "dry.wav", Path(folder) / "wet.wav"
        for number in range(args.takes):
            rng = np.random.default_rng(number)
            name = list(DEVICES)[number % len(DEVICES)]
            x = programme(args.seconds, rng)
            audio.write(dry, x.astype(np.float32), RATE, "FLOAT")
            for kind, y in takes(name, x, rng).items():
                late = np.concatenate((np.zeros(2205), y, np.zeros(2205))) + 3e-5 * rng.standard_normal(len(y) + 4410)
                audio.write(wet, late.astype(np.float32), RATE, "FLOAT")
                verdict = diagnose(align(dry, wet), dry, wet).verdict
                found.setdefault(kind, {}).setdefault(name, []).append(verdict != "ok")
    print(f"| {'suspect takes':<26} | {' | '.join(DEVICES)} | all |")
    for kind, devices in found.items():
        cells = [f"{sum(devices.get(name, []))}/{len(devices.get(name, []))}" for name in DEVICES]
        everything = [each for part in devices.values() for each in part]
        print(f"| {kind:<26} | {' | '.join(cells)} | {sum(everything)}/{len(everything)} |")


if __name__ == "__main__":
    main()
