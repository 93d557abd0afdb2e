"""Harmonics of a twin: where its error lies, by level and frequency, with and without tones among the training crops.

Trains on the clips of devices.py at equal CPU time, one process per training. Device and twin play the sines of the
probe reel (51 Hz to 5 kHz, -30 to -3 dBFS), which differ from the tones of the training, and `twinlib.measurement`
compares them: harmonics H2 to H5 above -70 dBc in the device within 1 dB, their phases within 10 degrees, and the worst
deviation. The aliasing-to-signal ratio is the largest over sines of 1 to 15 kHz at 0 and at -12 dBFS. The ESR is that
of the music of the test clips, beside that of the best causal filter of 1,024 taps. The last tables give the error of
the fundamental, of the harmonics, and of all between them, relative to the fundamental of the device, in dB.

    OMP_NUM_THREADS=1 python benchmarks/harmonics.py --klon FOLDER --budget 60 --seeds 2

`--rows 'tones*'` selects rows, `--parts` adds the last tables. Recorded devices have no tones: only their ESR is
measured.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from devices import COMPARED_FROM, RATE, ClipData, Device, Process
from quality import add_device_options, choose_devices, device_processes, error, run_process
from scipy.fft import next_fast_len
from scipy.linalg import solve_toeplitz
from scipy.signal import fftconvolve

from twinlib.db import amp_to_db
from twinlib.evaluation import play_reel_through_twin
from twinlib.excitation import probe_layout
from twinlib.excitation.probe_reel import synthesise
from twinlib.measurement import compare_harmonics, measure_aliasing
from twinlib.measurement.harmonics import MAX_ORDER, bin_amplitudes, measure_sine
from twinlib.model import Architecture, Twin
from twinlib.training import Training, train

Values = dict[str, Any]

FILTER_TAPS = 1024


@dataclass(frozen=True)
class Row:
    """A way to train: tones among the crops of a step, and changes of `training:`."""

    tones: int = 0
    training: Mapping[str, Any] = field(default_factory=dict)


ROWS = {
    "music": Row(),
    "tones": Row(1, {"harmonic_weight": 0.0}),
    **{f"tones, loss {weight:g}": Row(1, {"harmonic_weight": weight}) for weight in (3e-4, 1e-3, 1e-2)},
}


def probe_sines() -> tuple[Any, list[Any]]:
    """Return the sines of the probe reel on one signal, and their sections with windows on it."""
    layout = probe_layout(RATE)
    sections, parts, position = layout.of("sine"), [], 0
    windows = []
    for section in sections:
        parts.append(synthesise(section, RATE))
        assert section.window is not None
        windows.append(slice(*(position + edge - section.start for edge in section.window)))
        position += section.stop - section.start
    return np.concatenate(parts), list(zip(sections, windows, strict=True))


def measure(process: Process) -> Values:
    """Return the sines, the spectra at multiples of their fundamentals, the rest, and the aliases of a device."""
    dry, sections = probe_sines()
    wet = process(dry)
    sines, parts = [], []
    for section, window in sections:
        tone = section.tones[0]
        sines.append(asdict(measure_sine(wet[window], tone.cycles, RATE, tone.dbfs)))
        spectrum = bin_amplitudes(wet[window])
        bins = np.arange(tone.cycles, len(spectrum), tone.cycles)
        found = spectrum[bins[:MAX_ORDER]]
        power = float(np.square(np.abs(spectrum[1:])).sum() - np.square(np.abs(spectrum[bins])).sum())
        parts.append({"real": found.real.tolist(), "imag": found.imag.tolist(), "between": max(power, 0.0)})
    return {"sines": sines, "parts": parts, "aliasing": measure_aliasing(process, RATE)}


def error_parts(device: Values, twin: Values) -> list[Values]:
    """Return for each sine the errors of fundamental and harmonics, and all between them, in dB of the fundamental."""
    rows = []
    for sine, theirs, ours in zip(device["sines"], device["parts"], twin["parts"], strict=True):
        a, b = (np.array(part["real"]) + 1j * np.array(part["imag"]) for part in (theirs, ours))
        off, first = np.abs(b - a), abs(a[0])
        values = off[0], np.sqrt(np.square(off[1:]).sum()), np.sqrt(ours["between"])
        names = "linear", "harmonic", "between"
        decibel = {name: amp_to_db(float(value / first)) for name, value in zip(names, values, strict=True)}
        rows.append({"hz": sine["hz"], "level_dbfs": sine["level_dbfs"], **decibel})
    return rows


def worst_alias(measured: Values, dbfs: float) -> float:
    """Return the largest aliasing-to-signal ratio in dB of the sines of one level."""
    return max(row["alias_db"] for row in measured["aliasing"] if row["level_dbfs"] == dbfs)


def train_and_measure(row: Row, device: Device, probe: Values | None, budget: float, seed: int) -> Values:
    """Train with a row's changes; return ESR, steps, comparison and parts of the error."""
    torch.set_num_threads(1)
    network = Architecture().network
    settings = Training.model_validate({"cpu_seconds": budget, "seed": seed, **row.training})
    with tempfile.TemporaryDirectory() as folder:
        data = ClipData(device, network.receptive_field, settings, row.tones)
        trained = train(data, network, settings, Path(folder), "")
    twin = trained.twin
    result: Values = {"steps": trained.steps, **{split: error(twin, device, split) for split in ("valid", "test")}}
    if probe is not None:
        ours = measure(partial(_play, twin))
        compared = compare_harmonics(probe, ours)
        del compared["misses"]
        result |= {"harmonics": compared, "parts": error_parts(probe, ours)}
        result |= {"alias_0": worst_alias(ours, 0.0), "alias_12": worst_alias(ours, -12.0)}
    return result


def _play(twin: Twin, dry: Any) -> Any:
    return play_reel_through_twin(twin, lambda start, stop: dry[start:stop], len(dry))


def filter_error(device: Device) -> float:
    """Return the test ESR of the causal filter that fits the training clips best."""
    dry, wet = (clips.astype(np.float64) for clips in device.splits["train"])
    length = 2 * next_fast_len(dry.shape[1])
    x, y = np.fft.rfft(dry, length), np.fft.rfft(wet, length)
    auto = np.fft.irfft((np.abs(x) ** 2).sum(axis=0))[:FILTER_TAPS]
    cross = np.fft.irfft((x.conj() * y).sum(axis=0))[:FILTER_TAPS]
    auto[0] *= 1.0 + 1e-9
    kernel = solve_toeplitz(auto, cross)
    dry, wet = device.splits["test"]
    rest = wet - np.array([fftconvolve(clip, kernel)[: len(clip)] for clip in dry])
    left, energy = (float(np.square(part[:, COMPARED_FROM:], dtype=np.float64).sum()) for part in (rest, wet))
    return left / energy


def format_cells(name: str, cells: list[Values]) -> str:
    """Return the line of one row: means over the seeds, the ESR as a geometric mean."""
    esr = [float(np.exp(np.mean([np.log(cell[split]) for cell in cells]))) for split in ("valid", "test")]
    line = f"  {name:>20} {esr[0]:9.4%} {esr[1]:9.4%} {np.mean([cell['steps'] for cell in cells]):7.0f}"
    if "harmonics" in cells[0]:
        found = [cell["harmonics"] for cell in cells]
        shares = [float(np.mean([one[key] / one["compared"] for one in found])) for key in ("within", "within_degrees")]
        worst = [float(np.mean([one[key] for one in found])) for key in ("worst_db", "rms_db", "rms_degrees")]
        alias = [float(np.mean([cell[key] for cell in cells])) for key in ("alias_0", "alias_12")]
        line += f"{shares[0]:9.0%}{shares[1]:9.0%}{worst[0]:8.1f}{worst[1]:8.1f}{worst[2]:8.0f}"
        line += f"{alias[0]:9.1f}{alias[1]:9.1f}"
    return line


def format_parts(cells: list[Values]) -> Iterator[str]:
    """Yield the error by frequency and level: fundamental, harmonics, between, in dB, means over the seeds."""
    levels = sorted({part["level_dbfs"] for part in cells[0]["parts"]})
    yield " " * 12 + "".join(f"{level:12.0f} dBFS" for level in levels)
    for hz in sorted({part["hz"] for part in cells[0]["parts"]}):
        line = f"{hz:9.0f} Hz"
        for level in levels:
            here = [part for cell in cells for part in cell["parts"] if (part["hz"], part["level_dbfs"]) == (hz, level)]
            means = [np.mean([part[key] for part in here]) for key in ("linear", "harmonic", "between")]
            line += "  " + "".join(f"{mean:5.0f}" for mean in means)
        yield line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_device_options(parser)
    parser.add_argument("--budget", type=float, default=60.0, metavar="CPU-SECONDS")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rows", nargs="+", default=["*"], metavar="NAME")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--parts", action="store_true", help="also print the parts of the error")
    parser.add_argument("--cache", type=Path, help="folder that keeps clips and measurements of the devices")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        clips, name, seed = args.one
        probe = Path(clips).with_suffix(".json")
        measured = json.loads(probe.read_text()) if probe.exists() else None
        found = train_and_measure(ROWS[name], Device.load(Path(clips)), measured, args.budget, int(seed))
        print(json.dumps(found))
        return
    with tempfile.TemporaryDirectory() as folder:
        print_tables(args, args.cache or Path(folder))


def prepare(name: str, make: Callable[[], Device], clips: Path) -> Device:
    """Make a device and measure its sines, unless the files exist."""
    if not clips.exists():
        make().save(clips)
        if name in device_processes():
            clips.with_suffix(".json").write_text(json.dumps(measure(device_processes()[name])))
    return Device.load(clips)


def print_tables(args: argparse.Namespace, folder: Path) -> None:
    """Print each row as soon as it is finished."""
    rows = [name for name in ROWS if any(fnmatch(name, wanted) for wanted in args.rows)]
    for device, make in choose_devices(args).items():
        clips = folder / f"{device}.npz"
        linear = filter_error(prepare(device, make, clips))
        print(f"{device}, {args.budget:.0f} CPU-s; best filter: test ESR {linear:.3%}", flush=True)
        print(
            f"  {'':>20} {'valid':>9} {'test':>9} {'steps':>7}{'1 dB':>9}{'10 deg':>9}{'worst':>8}{'rms dB':>8}"
            f"{'rms deg':>8}{'alias 0':>9}{'-12 dBFS':>9}",
            flush=True,
        )

        def cell(row: str, seed: int, clips: Path = clips) -> Values:
            one = ["--one", str(clips), row, str(seed)]
            return run_process([sys.executable, __file__, "--budget", str(args.budget), *one])[0]

        with ThreadPoolExecutor(args.jobs) as pool:
            for row in rows:
                cells = list(pool.map(partial(cell, row), range(args.seeds)))
                print(format_cells(row, cells), flush=True)
                if args.parts and "parts" in cells[0]:
                    print("\n".join(format_parts(cells)), flush=True)


if __name__ == "__main__":
    main()
