"""Try inputs in a process of its own, so that a crash, a hang or excessive memory is one result among others."""

import argparse
import selectors
import subprocess
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from tests.hostile.doors import Door, open_doors
from twinlib.errors import TwinError

SECONDS = 10.0
"""A longer wait for one input is a hang."""

GIGABYTE = 1 << 30


@dataclass(frozen=True)
class Outcome:
    """The result of one input: accepted, sentence, traceback, crash, hang or memory."""

    seed: int
    door: str
    kind: str
    detail: str


def attempt(doors: list[Door], seed: int, folder: Path) -> Outcome:
    """Try the input of a seed: the doors take turns."""
    door = doors[seed % len(doors)]
    draw = np.random.default_rng([seed, 21])
    path = folder / f"input{door.suffix}"
    path.write_bytes(door.mutate(door.good, draw))
    before = _peak_memory(reset=True)
    kind, detail = "accepted", ""
    try:
        door.read(path)
    except (TwinError, ValidationError) as error:
        kind, detail = "sentence", str(error)
    except OSError as error:
        # Programs name the file of a system error.
        kind, detail = ("sentence" if error.filename else "traceback"), repr(error)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)
        where = next((one for one in reversed(last) if "twinlib" in one.filename), last[-1])
        kind, detail = "traceback", f"{type(error).__name__} at {Path(where.filename).name}:{where.lineno}: {error}"
    if _peak_memory() - before > GIGABYTE:
        kind = "memory"
    return Outcome(seed, door.name, kind, " ".join(detail.split())[:300])


def _peak_memory(reset: bool = False) -> int:
    """Return the largest resident memory in bytes since the last reset; 0 where the system does not tell."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def work(first: int, stop: int) -> None:
    """Try seeds [first, stop) and print an outcome a line."""
    with tempfile.TemporaryDirectory() as name:
        doors = open_doors(Path(name) / "good")
        print("ready", flush=True)
        for seed in range(first, stop):
            outcome = attempt(doors, seed, Path(name))
            print("\t".join((str(seed), outcome.door, outcome.kind, outcome.detail)), flush=True)


def supervise(first: int, stop: int) -> Iterator[Outcome]:
    """Yield the outcomes of seeds [first, stop); a process that crashes or hangs is started again behind its input."""
    seed = first
    while seed < stop:
        command = [sys.executable, "-m", "tests.hostile", "--work", str(seed), str(stop)]
        with (
            tempfile.TemporaryFile() as errors,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
        ):
            assert process.stdout is not None
            selector = selectors.DefaultSelector()
            selector.register(process.stdout, selectors.EVENT_READ)
            ready = False
            while seed < stop:
                if not selector.select(SECONDS if ready else 300):
                    process.kill()
                    yield Outcome(seed, "", "hang", "")
                    seed += 1
                    break
                line = process.stdout.readline()
                if not line:
                    process.wait()
                    errors.seek(0)
                    said = errors.read().decode(errors="replace").strip().splitlines()
                    if not ready:
                        raise RuntimeError(f"no worker: {said[-1:]}")
                    yield Outcome(seed, "", "crash", f"exit code {process.returncode}: {said[-1:]}")
                    seed += 1
                    break
                if line == "ready\n":
                    ready = True
                    continue
                number, door, kind, detail = line.rstrip("\n").split("\t", 3)
                yield Outcome(int(number), door, kind, detail)
                seed = int(number) + 1


def main() -> None:
    """Try many seeds, print every input that is neither accepted nor refused with a sentence, and the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--work", type=int, nargs=2, metavar=("FIRST", "STOP"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(*args.work)
        return
    counts, by_door = Counter[str](), Counter[tuple[str, str]]()
    for outcome in supervise(args.first, args.first + args.count):
        counts[outcome.kind] += 1
        by_door[outcome.door, outcome.kind] += 1
        if outcome.kind not in ("accepted", "sentence"):
            print(f"seed {outcome.seed}, {outcome.door}: {outcome.kind}: {outcome.detail}", flush=True)
    for (door, kind), count in sorted(by_door.items()):
        print(f"{door:25} {kind:10} {count}")
    print(f"{sum(counts.values())} inputs: {dict(counts)}")
    sys.exit(bool(set(counts) - {"accepted", "sentence"}))
