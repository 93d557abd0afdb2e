"""CPU time and memory of planning: a dry run of projects of three sizes, and a plain Snakefile of the same shape.

The plain Snakefile (`planning_plain.smk`) has the same stages, inputs, main outputs and logs, but no parameter
functions, no stage records, and no checks of content. It is the least that Snakemake needs for so many jobs.
`--old CHECKOUT` adds another version of this project. All take turns in one run. Sizes in devices x reels x models:
1x 5 x 18 x 5, 4x 10 x 36 x 5, 16x 20 x 72 x 5.

Also printed: the CPU time in which a job on a cluster parses the workflow, by `snakemake --list-rules`.

usage: OMP_NUM_THREADS=1 python benchmarks/planning.py [--rounds 3] [--sizes 1x 4x 16x] [--old CHECKOUT]
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import yaml

ROOT = Path(__file__).resolve().parents[1]
SIZES = {"1x": (5, 18, 5), "4x": (10, 36, 5), "16x": (20, 72, 5)}
PRESETS = ["small", "nam-standard", "nam-lite", "nam-a2", "medium"]
SLICES_PER_REEL = 3650
"""Slices of a reel of 10 minutes, less than fit."""


def write_config(folder: Path, devices: int, reels: int, models: int) -> None:
    """Write the configuration of simulated devices, each with all reels and models."""
    excitation = {
        "seed": 1,
        "sample_rate": 44100,
        "slices": reels * SLICES_PER_REEL,
        "reel_minutes": 10,
        "split": {"train": 0.8, "valid": 0.1, "test": 0.1, "by": "artist", "salt": "demo-758"},
        "probe_reel": False,
    }
    content = {
        "results": "results",
        "corpus": {"root": str(ROOT / "config" / "demo_corpus"), "audio": ["mix"], "licence": "CC0-1.0"},
        "excitations": {"main": excitation},
        "devices": {
            f"device{number:02d}": {
                "excitation": "main",
                "simulate": {"circuit": "transformer", "drive": 0.1 + 0.01 * number, "recorder": {"seed": number}},
            }
            for number in range(devices)
        },
        "models": {f"m{number}": {"preset": preset} for number, preset in enumerate(PRESETS[:models])},
        "training": {"steps": 1000},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(content, sort_keys=False))


def snakemake(folder: Path, checkout: Path, *words: str) -> tuple[float, float, str]:
    """Run Snakemake; return the CPU time in seconds, the peak memory in MB, and the output."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(checkout)}
    command = ["/usr/bin/env", "python3", "-c", MEASURE, sys.executable, "-m", "snakemake", *words]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    memory = float(done.stderr.rsplit("peak-kb ", 1)[1]) / 1024
    return seconds, memory, done.stdout


MEASURE = (
    "import resource, subprocess, sys\n"
    "code = subprocess.run(sys.argv[1:]).returncode\n"
    "print('peak-kb', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)\n"
    "sys.exit(code)"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--old", type=Path, metavar="CHECKOUT", help="another version of this project")
    args = parser.parse_args()
    checkouts = {"new": ROOT} | ({"old": args.old.resolve()} if args.old else {})
    print(f"{'size':>4} {'who':>6} {'jobs':>6} {'CPU-s':>7} {'of plain':>8} {'MB':>5} {'parse CPU-s':>11}")
    for size in args.sizes:
        devices, reels, models = SIZES[size]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_config(folder, devices, reels, models)
            counts = [f"devices={devices}", f"reels={reels}", f"models={models}"]
            plain = ["--snakefile", str(Path(__file__).with_name("planning_plain.smk")), "--config", *counts]
            commands = {"plain": (ROOT, plain)}
            for who, checkout in checkouts.items():
                ours = ["--snakefile", str(checkout / "workflow" / "Snakefile"), "--configfile", "config.yaml"]
                commands[who] = (checkout, ours)
            times: dict[str, list[float]] = {who: [] for who in commands}
            parses: dict[str, list[float]] = {who: [] for who in commands}
            memory, jobs = dict.fromkeys(commands, 0.0), dict.fromkeys(commands, 0)
            for number in range(args.rounds + 1):
                for who, (checkout, words) in commands.items():
                    if number:
                        parses[who].append(snakemake(folder, checkout, *words, "--list-rules")[0])
                        seconds, peak, output = snakemake(
                            folder, checkout, *words, "-n", "--quiet", "all", "--cores", "2"
                        )
                        times[who].append(seconds)
                        memory[who] = max(memory[who], peak)
                        jobs[who] = int(re.findall(r"^total\s+(\d+)", output, re.MULTILINE)[-1])
                    else:  # fills the caches
                        snakemake(folder, checkout, *words, "--list-rules")
            for who in commands:
                ratio = median(own / base for own, base in zip(times[who], times["plain"], strict=True))
                row = f"{size:>4} {who:>6} {jobs[who]:6} {median(times[who]):7.1f} {ratio:8.2f} {memory[who]:5.0f}"
                print(f"{row} {median(parses[who]):11.2f}", flush=True)


if __name__ == "__main__":
    main()
