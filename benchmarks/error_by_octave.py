"""Error of a twin by octave.

Trains the default network, or one with other dilations, on a device of devices.py as quality.py does. Prints for each
split and octave the level of the wet signal, the error relative to the total energy (these add up to the ESR), and the
error relative to the octave's energy. A large error below 60 Hz calls for a longer receptive field, one near Nyquist
for a larger network or a higher sample rate.

    OMP_NUM_THREADS=1 python benchmarks/error_by_octave.py --klon FOLDER --devices klon075 clipper --budget 60
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from devices import COMPARED_FROM, RATE, ClipData, Clips, Device
from quality import add_device_options, choose_devices, render_clips

from twinlib.model import Architecture, Twin
from twinlib.training import Training, train

EDGES_HZ = (0.0, *(62.5 * 2**octave for octave in range(9)))
"""Lower band edges: below 62.5 Hz in one band, then octaves up to Nyquist."""

Real = npt.NDArray[np.float64]


def spectra(twin: Twin, clips: tuple[Clips, Clips]) -> tuple[Real, Real, Real]:
    """Return frequencies in Hz and Hann-windowed energies `(bins,)` of error and wet signal over all clips."""
    size = clips[0].shape[1] - COMPARED_FROM
    window, sums = np.hanning(size), np.zeros((2, size // 2 + 1))
    for found, wet in render_clips(twin, clips):
        sums += [np.abs(np.fft.rfft(part * window)) ** 2 for part in (found - wet, wet)]
    return np.fft.rfftfreq(size, 1 / RATE), sums[0], sums[1]


def table(twin: Twin, clips: tuple[Clips, Clips]) -> list[str]:
    """Return one line per octave."""
    frequency, error, wet = spectra(twin, clips)
    lines = []
    for low, high in zip(EDGES_HZ, (*EDGES_HZ[1:], np.inf), strict=True):
        bins = (frequency >= low) & (frequency < high)
        there, share = wet[bins].sum(), error[bins].sum() / wet.sum()
        level, own = 10 * np.log10(there / wet.sum()), error[bins].sum() / there
        lines.append(f"  from {low:7.1f} Hz: wet {level:6.1f} dB, error {share:9.5%} of all, {own:8.3%} of it")
    return [*lines, f"  all: {error.sum() / wet.sum():.4%}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_device_options(parser)
    parser.add_argument("--budget", type=float, default=60.0, metavar="CPU-SECONDS")
    parser.add_argument("--dilations", nargs="+", type=int, default=list(Architecture().dilations), metavar="SAMPLES")
    args = parser.parse_args()
    torch.set_num_threads(1)
    network, settings = Architecture(dilations=tuple(args.dilations)).network, Training(cpu_seconds=args.budget)
    for name, make in choose_devices(args).items():
        device: Device = make()
        with tempfile.TemporaryDirectory() as folder:
            data = ClipData(device, network.receptive_field, settings)
            trained = train(data, network, settings, Path(folder), "")
        for split in ("train", "valid", "test"):
            print(f"{name}, {args.budget:.0f} CPU-s ({trained.steps} steps), {split}", flush=True)
            print("\n".join(table(trained.twin, device.splits[split])), flush=True)


if __name__ == "__main__":
    main()
