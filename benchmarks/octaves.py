"""In which octaves a twin errs: what is left of each device, and by how much each octave makes the whole error.

Trains the default network, or one with other dilations, on a device of devices.py as quality.py does, and prints for
each split and octave the level of the wet signal, the error as a share of the energy of all that was compared (these
add up to the error-to-signal ratio), and as a share of the octave's own. Where most of it lies says what would help: a
longer reach where it lies below 60 Hz, a larger network or a higher sample rate near Nyquist.

    OMP_NUM_THREADS=1 python benchmarks/octaves.py --klon FOLDER --devices klon075 clipper --budget 60
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from devices import COMPARED_FROM, RATE, ClipData, Clips, Device
from quality import chosen, devices_options, played

from twinlib.model.architecture import Architecture
from twinlib.model.twin import Twin
from twinlib.training.loop import train
from twinlib.training.settings import Training

EDGES_HZ = (0.0, *(62.5 * 2**octave for octave in range(9)))
"""Below 62.5 Hz in one, then octaves; the last ends at Nyquist."""

Real = npt.NDArray[np.float64]


def spectra(twin: Twin, clips: tuple[Clips, Clips]) -> tuple[Real, Real, Real]:
    """Frequencies in Hz and the energies `(bins,)` of error and wet signal over all clips, through a Hann window."""
    size = clips[0].shape[1] - COMPARED_FROM
    window, sums = np.hanning(size), np.zeros((2, size // 2 + 1))
    for found, wet in played(twin, clips):
        sums += [np.abs(np.fft.rfft(part * window)) ** 2 for part in (found - wet, wet)]
    return np.fft.rfftfreq(size, 1 / RATE), sums[0], sums[1]


def table(twin: Twin, clips: tuple[Clips, Clips]) -> list[str]:
    """A line an octave."""
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
    devices_options(parser)
    parser.add_argument("--budget", type=float, default=60.0, metavar="CPU-SECONDS")
    parser.add_argument("--dilations", nargs="+", type=int, default=list(Architecture().dilations), metavar="SAMPLES")
    args = parser.parse_args()
    torch.set_num_threads(1)
    network, settings = Architecture(dilations=tuple(args.dilations)).network, Training(cpu_seconds=args.budget)
    for name, make in chosen(args).items():
        device: Device = make()
        with tempfile.TemporaryDirectory() as folder:
            data = ClipData(device, network.receptive_field, settings)
            trained = train(data, network, settings, Path(folder), "")
        for split in ("train", "valid", "test"):
            print(f"{name}, {args.budget:.0f} CPU-s ({trained.steps} steps), {split}", flush=True)
            print("\n".join(table(trained.twin, device.splits[split])), flush=True)


if __name__ == "__main__":
    main()
