"""Wall time, CPU time and peak memory of each stage, from the corpus to a short training, at three sizes.

The corpus is a synthetic MedleyDB of up to 122 tracks (seeded notes and noise, stereo, 16 bit). The excitation has the
settings of the original project: 100,000 slices of 10,096 samples with crossfades of 3,000 at 44.1 kHz, 16 bit, on
reels of ten minutes. One simulated device plays it. The figures come from the benchmark files of Snakemake. Their
memory includes the interpreter and libraries, whose share is printed first. Everything is made in a temporary folder,
about 15 GB at full size, and removed.

usage: OMP_NUM_THREADS=1 python benchmarks/scale.py [--shares 0.01 0.1 1] [--cores 2] [--folder DIR]
"""

import argparse
import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile
import yaml

ROOT = Path(__file__).resolve().parents[1]
RATE = 44100
TRACKS, SLICES = 122, 100_000
MIN_TRACKS = 12
TRACK_SECONDS = 216
"""Mean duration of a track of MedleyDB: 122 tracks last 7.3 hours."""

METADATA = {"album": "", "excerpt": "no", "genre": "Synthetic", "has_bleed": "no", "instrumental": "yes", "stems": {}}


def write_track(folder: Path, number: int) -> None:
    """Write a track of MedleyDB's layout: random notes of eight harmonics, noise bursts, and pauses."""
    generator = np.random.default_rng([7, number])
    name = f"Artist{number:03d}_Song"
    (folder / name).mkdir(parents=True)
    instant = np.arange(RATE) / RATE
    notes = []
    for _ in range(24):
        frequency = 55.0 * 2.0 ** (generator.integers(0, 48) / 12)
        harmonics = [np.sin(2 * np.pi * frequency * order * instant) / order for order in range(1, 9)]
        decay = np.exp(-instant * generator.uniform(1.0, 6.0))
        notes.append((sum(harmonics) * decay * generator.uniform(0.05, 0.3)).astype(np.float32))
    burst = generator.standard_normal(RATE // 4) * np.exp(-np.arange(RATE // 4) / 2000)
    notes.append(np.pad(0.2 * burst, (0, RATE - len(burst))).astype(np.float32))
    path = folder / name / f"{name}_MIX.wav"
    seconds = int(generator.integers(TRACK_SECONDS * 2 // 3, TRACK_SECONDS * 4 // 3))
    with soundfile.SoundFile(path, "w", RATE, 2, "PCM_16") as sound:
        for _ in range(seconds):
            second = np.zeros((RATE, 2), np.float32)
            for _ in range(int(generator.integers(0, 9))):
                start = int(generator.integers(0, RATE))
                pan = generator.uniform(0.2, 0.8)
                second[start:, 0] += pan * notes[generator.integers(len(notes))][: RATE - start]
                second[start:, 1] += (1 - pan) * notes[generator.integers(len(notes))][: RATE - start]
            sound.write(np.clip(second, -1.0, 1.0))
    content = METADATA | {"artist": f"Artist {number}", "title": "Song", "mix_filename": path.name}
    (folder / name / f"{name}_METADATA.yaml").write_text(yaml.safe_dump(content))


def write_project(folder: Path, share: float) -> None:
    """Write the corpus and the configuration of a share of the full size."""
    tracks = max(MIN_TRACKS, round(share * TRACKS))
    for number in range(tracks):
        write_track(folder / "corpus" / "Audio", number)
    excitation = {
        "seed": 1,
        "sample_rate": RATE,
        "bit_depth": 16,
        "slices": round(share * SLICES),
        "slice_samples": 10096,
        "crossfade_samples": 3000,
        "reel_minutes": 10,
        "split": {"train": 0.8, "valid": 0.1, "test": 0.1, "by": "artist"},
        "probe_reel": False,
    }
    content = {
        "results": "results",
        "corpus": {"root": "corpus", "audio": ["mix"], "licence": "CC0-1.0"},
        "excitations": {"main": excitation},
        "devices": {"preamp": {"excitation": "main", "simulate": {"circuit": "transformer", "recorder": {"seed": 1}}}},
        "training": {"steps": 200},
        "tracking": {"enabled": False},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


IMPORTS = """
import resource
import numba, numpy, pandas, pyarrow, scipy.fft, scipy.signal, soundfile
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def idle_memory() -> float:
    """Return the peak memory in MB of a program that imports what a stage imports and does nothing."""
    done = subprocess.run([sys.executable, "-c", IMPORTS], check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout)


def run(folder: Path, cores: int) -> tuple[float, float]:
    """Run the workflow; return its wall time and CPU time in seconds."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "workflow" / "Snakefile")]
    command += ["--profile", str(ROOT / "workflow" / "profiles" / "default"), "--configfile", "config.yaml"]
    before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with (folder / "run.log").open("w") as log:
        done = subprocess.run([*command, "--cores", str(cores)], cwd=folder, env=environment, stdout=log, stderr=log)
    if done.returncode:
        sys.exit((folder / "run.log").read_text()[-4000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - clock, cpu


def stages(folder: Path) -> dict[str, tuple[int, float, float, float]]:
    """Return the number of jobs, the sums of wall and CPU seconds, and the peak memory in MB of each rule."""
    found: dict[str, list[dict[str, str]]] = defaultdict(list)
    benchmarks = folder / "results" / "benchmarks"
    for path in sorted(benchmarks.rglob("*.tsv")):
        with path.open() as file:
            rows = csv.DictReader(file, delimiter="\t")
            found[path.relative_to(benchmarks).parts[0].removesuffix(".tsv")] += rows

    def number(row: dict[str, str], column: str) -> float:
        return float(row[column]) if row[column] not in {"-", "NA"} else 0.0

    return {
        rule: (
            len(rows),
            sum(number(row, "s") for row in rows),
            sum(number(row, "cpu_time") for row in rows),
            max(number(row, "max_rss") for row in rows),
        )
        for rule, rows in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shares", nargs="+", type=float, default=[0.01, 0.1, 1.0])
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where the temporary folders are made")
    args = parser.parse_args()
    print(f"interpreter and libraries alone: {idle_memory():.0f} MB")
    for share in args.shares:
        with tempfile.TemporaryDirectory(dir=args.folder) as name:
            folder = Path(name)
            write_project(folder, share)
            wall, cpu = run(folder, args.cores)
            print(f"\nshare {share:g}: {wall:.0f} s, {cpu:.0f} CPU-s in all")
            print(f"{'rule':24} {'jobs':>5} {'wall s':>8} {'CPU-s':>8} {'MB':>6}")
            for rule, (jobs, seconds, cpu_seconds, memory) in stages(folder).items():
                print(f"{rule:24} {jobs:5} {seconds:8.1f} {cpu_seconds:8.1f} {memory:6.0f}", flush=True)


if __name__ == "__main__":
    main()
