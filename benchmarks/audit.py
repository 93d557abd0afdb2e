"""Time of `twin audit` commands on 200 tracks, 100,000 slices and 3 devices; `verify` against `sha256sum`.

Each command runs in its own process, start-up included, with one thread. `verify` uses all cores, and `sha256sum` reads
the same files with as many processes. Both alternate; the results are medians of the rounds.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.audit.factories import MANY, make_results
from twinlib.provenance import Results

QUESTIONS = (
    ("trace", "{segment}"),
    ("trace", "{device}/small"),
    ("withdraw", "{track}", "--dry-run"),
    ("leaks",),
    ("licences",),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slices", type=int, default=100_000)
    parser.add_argument("--results", type=Path, help="folder of an earlier run, instead of a new one")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = args.results or Path(folder)
        if not (place / "results").is_dir():
            print(f"making 200 tracks, {args.slices} slices, 3 devices ...", flush=True)
            make_results(place, tracks=200, slices=args.slices, devices=3, **MANY)
        results = Results(place / "results")
        ask(place, results, args.rounds)
        check(place, results, args.rounds)


def ask(folder: Path, results: Results, rounds: int) -> None:
    device = results.devices[0]
    segments = results.segments(device, ["segment_id", "track_ids", "split"]).to_pylist()
    row = next(row for row in segments[len(segments) // 2 :] if row["split"])
    names = {"segment": row["segment_id"], "device": device, "track": row["track_ids"][0]}
    print(f"{len(segments)} segments a device")
    for question in QUESTIONS:
        words = [word.format(**names) for word in question]
        times = [run(folder, [sys.executable, "-m", "twinlib.cli", "audit", *words], threads=1) for _ in range(rounds)]
        wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"twin audit {' '.join(words):<48} {wall:6.2f} s wall {cpu:6.2f} s CPU", flush=True)


def check(folder: Path, results: Results, rounds: int) -> None:
    names = sorted({name for stage in results.stages for name in (*stage.outputs, *stage.inputs)})
    files = [str(results.path(name).absolute()) for name in names if results.path(name).is_file()]
    gigabytes = sum(Path(file).stat().st_size for file in files) / 1e9
    cores = str(os.cpu_count())
    peer = ["sh", "-c", 'printf "%s\\0" "$@" | xargs -0 -P ' + cores + " -n 8 sha256sum > /dev/null", "sh", *files]
    ours = [sys.executable, "-m", "twinlib.cli", "audit", "verify"]
    times: dict[str, list[float]] = {"sha256sum": [], "verify": []}
    for _ in range(rounds):
        times["sha256sum"].append(run(folder, peer, threads=None)[0])
        times["verify"].append(run(folder, ours, threads=None)[0])
    peer_wall, our_wall = (statistics.median(times[name]) for name in ("sha256sum", "verify"))
    print(f"verify, {len(files)} files, {gigabytes:.2f} GB: {gigabytes / our_wall:.2f} GB/s, start-up included")
    ratio = peer_wall / our_wall
    print(
        f"sha256sum, the same files, {cores} at once: {gigabytes / peer_wall:.2f} GB/s, verify is {ratio:.2f} times it"
    )


def run(folder: Path, command: Sequence[str], threads: int | None) -> tuple[float, float]:
    """Return wall and CPU seconds of a process."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    if threads:
        environment |= {"OMP_NUM_THREADS": str(threads)}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(command[:6])} failed: {done.stderr[-500:]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
