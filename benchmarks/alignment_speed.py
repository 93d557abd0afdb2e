"""Align and warp an hour of music: CPU time and memory compared with other packages.

Each round runs in a fresh process, alternating with `scipy.signal.correlate` on the same hour. Two packages also
estimate the lag of the first minute. Time and peak memory are those of the whole process, imports included. Lag and
drift of the take are known. --hours 6 shows that memory stays constant (ours only; 8 GB of disk). Run it with
OMP_NUM_THREADS=1.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from twinlib import audio

RATE = 44_100

PEERS = {
    "audio-offset-finder": """
import sys, scipy.signal, soundfile
from audio_offset_finder.audio_offset_finder import find_offset_between_buffers
wet, dry = (scipy.signal.resample_poly(soundfile.read(path)[0], 80, 441) for path in (sys.argv[2], sys.argv[1]))
print(find_offset_between_buffers(wet, dry, 8000)["time_offset"] * 44100)
""",
    "audalign": """
import sys, audalign
recognizer = audalign.CorrelationRecognizer()
recognizer.config.multiprocessing = False
found = audalign.align_files(sys.argv[1], sys.argv[2], recognizer=recognizer)
dry, wet = (found[path.split("/")[-1]] for path in sys.argv[1:3])
print((dry - wet) * 44100)
""",
}
"""Each prints the lag in samples last. Both work at 8 kHz by default."""

STATUS = Path("/proc/self/status")
"""Printed by each process at its end. `ru_maxrss` is useless here: on Linux it includes that of the parent process."""


def make_hours(folder: Path, hours: float) -> dict[str, Any]:
    """Write the dry file, the wet file and the first minute of each."""
    from alignment_truth import write_long

    truth, clicks = write_long(folder / "dry.wav", folder / "wet.wav", hours)
    for name in ("dry", "wet"):
        audio.write(folder / f"{name}-minute.wav", audio.read(folder / f"{name}.wav", 0, 60 * RATE), RATE, "PCM_16")
    return {"lag": truth.lag, "drift": truth.drift_ppm, "clicks": clicks}


def ours(folder: Path, clicks: list[int]) -> dict[str, Any]:
    """Align, and write the warped wet file like `twin align --out`."""
    from twinlib.alignment import WarpedReader, align

    found = align(folder / "dry.wav", folder / "wet.wav", clicks=clicks)
    frames = audio.read_info(folder / "dry.wav").frames
    with (
        WarpedReader(folder / "wet.wav", found) as warped,
        audio.Writer(folder / "aligned.wav", RATE, 1, "FLOAT", frames) as writer,
    ):
        for start in range(0, frames, audio.BLOCK):
            writer.write(warped.read(start, min(start + audio.BLOCK, frames)))
    (folder / "aligned.wav").unlink()
    return {"lag": found.lag_samples, "drift": found.drift_ppm}


def plain(folder: Path) -> dict[str, Any]:
    """Return the highest peak of the plain cross-correlation."""
    from scipy.signal import correlate

    dry, wet = (audio.read(folder / f"{name}.wav")[:, 0] for name in ("dry", "wet"))
    correlation = correlate(wet, dry, mode="full", method="fft")
    return {"lag": float(np.argmax(np.abs(correlation))) - (len(dry) - 1)}


@dataclass(frozen=True)
class Run:
    """The last line that a process printed (empty if it failed), its CPU seconds and its peak memory in MiB."""

    answer: str
    seconds: float
    memory: float


def child(*command: str, errors: int | None = None) -> Run:
    """Run a process that prints its answer and `STATUS`; `errors` redirects its standard error."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    assert process.stdout is not None
    said, _, status = process.stdout.read().rpartition("Name:")
    _, code, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(code)
    peak = re.search(r"VmHWM:\s+(\d+) kB", status)
    if process.returncode != 0 or peak is None:
        return Run("", np.nan, np.nan)
    return Run(said.splitlines()[-1], usage.ru_utime + usage.ru_stime, int(peak[1]) / 1024)


def speed(arguments: argparse.Namespace) -> None:
    """Measure in fresh processes, alternating ours and the peer."""
    with tempfile.TemporaryDirectory(prefix="alignment-") as folder:
        me = (sys.executable, __file__, "--part")
        minutes = (f"{folder}/dry-minute.wav", f"{folder}/wet-minute.wav")
        made = child(*me, "make", folder, str(arguments.hours))
        truth = json.loads(made.answer)
        print(f"{arguments.hours:g} h of music and its take, made in {made.seconds:.0f} s of CPU", flush=True)
        names = ("ours", "correlate") if arguments.hours <= 1.0 else ("ours",)
        rounds = [
            {name: child(*me, name, folder, json.dumps(truth["clicks"])) for name in names}
            for _ in range(arguments.rounds)
        ]
        seconds = {name: median(one[name].seconds for one in rounds) for name in names}
        memory = {name: median(one[name].memory for one in rounds) for name in names}
        for name in names:
            answer = rounds[0][name].answer
            errors = {key: value - truth[key] for key, value in json.loads(answer or "{}").items()}
            says = ", ".join(f"{key} off by {error:.2g}" for key, error in errors.items()) or "failed"
            print(f"{name:>9}: {seconds[name]:.1f} CPU-s, peak {memory[name]:.0f} MiB, {says}")
        if len(names) > 1:
            times, less = seconds["correlate"] / seconds["ours"], memory["correlate"] / memory["ours"]
            print(f"correlate to ours: {times:.2f} times the CPU time, {less:.1f} times the memory")
        for name, script in PEERS.items():
            script += f"print(open('{STATUS}').read())"
            run = child(arguments.peers, "-c", script, *minutes, errors=subprocess.DEVNULL)
            says = f"not there. Make an environment of its own, pip install {name}, and name its python in --peers"
            if run.answer:
                off = float(run.answer) - truth["lag"]
                says = f"lag off by {off:.0f} samples, {run.seconds:.1f} CPU-s, peak {run.memory:.0f} MiB"
            print(f"one minute, {name}: {says}")


def part(name: str, folder: Path, argument: str) -> None:
    """Run one process of `speed`; prints its answer as JSON."""
    if name == "make":
        print(json.dumps(make_hours(folder, float(argument))))
    else:
        print(json.dumps(ours(folder, json.loads(argument)) if name == "ours" else plain(folder)))
    print(STATUS.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--hours", type=float, default=1.0, help="length of the take; above 1: ours only")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON", help="interpreter that has the packages")
    parser.add_argument("--part", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    # Removes temporary files after `timeout` and `kill`.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if arguments.part:
        part(arguments.part[0], Path(arguments.part[1]), arguments.part[2])
    else:
        speed(arguments)


if __name__ == "__main__":
    main()
