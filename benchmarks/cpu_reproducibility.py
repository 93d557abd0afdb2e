"""Reproducibility across CPU types: a small run of the pipeline per type, compared file by file.

Numerical libraries use the widest SIMD available, which changes the order of summation. Each type is this machine with
wider instructions hidden from NumPy, OpenBLAS, torch (ATen, oneDNN, MKL) and Numba:

    native     all instructions
    avx2       without AVX-512, as on desktop CPUs
    sse4       without AVX and FMA, as on the oldest CPUs that torch and NumPy support

The music is `config/demo_corpus`, the device the demo's simulated clipper, the network `small`.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from twinlib import audio
from twinlib.dataset import Shard
from twinlib.files import read_json, sha256_file
from twinlib.model import load_twin

REPOSITORY = Path(__file__).parents[1]
KINDS: dict[str, dict[str, str]] = {
    "native": {},
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_CBWR": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL",
        "NUMBA_CPU_NAME": "haswell",
    },
    "sse4": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_CBWR": "COMPATIBLE",
        "OPENBLAS_CORETYPE": "Nehalem",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 X86_V4 AVX512_ICL",
        "NUMBA_CPU_NAME": "nehalem",
    },
}


def configuration(steps: int) -> dict[str, Any]:
    demo: dict[str, Any] = yaml.safe_load((REPOSITORY / "config" / "demo.yaml").read_text())
    excitation = {**demo["excitations"]["demo"], "slices": 400, "probe_reel": False}
    return {
        "corpus": {**demo["corpus"], **{key: str(REPOSITORY / demo["corpus"][key]) for key in ("root", "exclude")}},
        "excitations": {"demo": excitation},
        "devices": {"clipper": demo["devices"]["clipper"]},
        "training": {"steps": steps},
        "tracking": {"enabled": False},
    }


def run(folder: Path, kind: str, steps: int) -> Path:
    """Run the pipeline as on a CPU type; return the results folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(configuration(steps)))
    snakefile = REPOSITORY / "workflow" / "Snakefile"
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), "--directory", str(folder)]
    command += ["--configfile", str(folder / "config.yaml"), "--cores", "2"]
    cache = {"NUMBA_CACHE_DIR": str(folder / "numba")}
    environment = {**os.environ, **cache, **KINDS[kind], "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return folder / "results"


def decibel(difference: np.ndarray, signal: np.ndarray) -> str:
    """Return the energy of a difference relative to the signal in dB."""
    energy = np.sum(np.square(difference, dtype=np.float64))
    return "equal" if energy == 0 else f"{10 * np.log10(energy / np.sum(np.square(signal, dtype=np.float64))):.0f} dB"


def weights(results: Path) -> np.ndarray:
    twin = load_twin(results / "twins/clipper/small")
    return np.concatenate([weight.ravel() for _, weight in sorted(twin.weights.items())])


def compare(one: Path, other: Path) -> dict[str, str]:
    """Return the differences between two results folders."""
    differences: dict[str, str] = {}
    for name in ("excitations/demo/cues.parquet", "devices/clipper/segments.parquet"):
        same = sha256_file(one / name) == sha256_file(other / name)
        differences[name] = "equal" if same else "differs"
    reels = sorted(path.relative_to(one) for path in one.glob("excitations/demo/reels/*.wav"))
    for title, paths in (("reels", reels), ("takes", [p.relative_to(one) for p in one.glob("devices/*/*/take.wav")])):
        sounds = [np.concatenate([audio.read(root / path).ravel() for path in sorted(paths)]) for root in (one, other)]
        differences[title] = decibel(sounds[1] - sounds[0], sounds[0])
    lags = []
    for path in sorted(one.glob("devices/*/*/alignment.json")):
        both = [read_json(root / path.relative_to(one), "alignment/2") for root in (one, other)]
        lags.append(abs(both[1]["lag_samples"] - both[0]["lag_samples"]))
    differences["lag"] = f"{max(lags):.1e} samples" if max(lags) else "equal"
    for part in ("dry", "wet"):
        shards = [
            np.concatenate([getattr(Shard.open(path), part) for path in sorted(root.glob("devices/*/shards/*.arrow"))])
            for root in (one, other)
        ]
        differences[f"shards, {part}"] = decibel(shards[1] - shards[0], shards[0])
    differences["weights"] = decibel(weights(other) - weights(one), weights(one))
    found = [
        read_json(root / "twins/clipper/small/evaluation/metrics.json", "metrics/1")["esr"] for root in (one, other)
    ]
    differences["test ESR"] = f"{found[0]:.3%} and {found[1]:.3%}"
    clips = [audio.read(root / "twins/clipper/small/evaluation/listening/twin.flac") for root in (one, other)]
    differences["twin output"] = decibel(clips[1] - clips[0], clips[0])
    return differences


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1000, help="optimiser steps (1000)")
    steps = parser.parse_args().steps
    with tempfile.TemporaryDirectory() as folder:
        native = run(Path(folder, "native"), "native", steps)
        others = [kind for kind in KINDS if kind != "native"]
        columns = {kind: compare(native, run(Path(folder, kind), kind, steps)) for kind in others}
    print(f"| {steps} steps, against native | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for row in columns[others[0]]:
        print(f"| {row} | {' | '.join(column[row] for column in columns.values())} |")


if __name__ == "__main__":
    main()
