"""Accuracy of the alignment against ground truth: takes of real music with known lag, drift and faults.

Each row of the table is a case: takes of one kind, each made from its own seed (see `alignment_truth.py`), aligned and
compared with the truth. Times are in samples at the dry rate, 44.1 kHz. The columns:

    lag        |error| of `lag_samples`, median and worst; for devices with a phase response relative to the median of
               the case; for clocks that wander the mean error of the applied lags
    drift      |error| of `drift_ppm`, median and worst
    residual   rms error of the applied lags over the programme, without a constant and without excluded ranges
    excl.      the largest excluded share of a programme, in percent
    pol.       takes with wrong polarity
    lost       takes whose dropout is reported with the exact number of samples and its middle within 50 ms
    false      takes with a dropout that does not exist, or with another verdict than `ok` without a fault
    verdicts   ok, suspect, refused, and exceptions
    noise      error of the warped wet signal against the device's output, in dB above the injected noise, the worst

A refused take has no lag, drift or residual. Without arguments, all cases run with 100 takes each, which takes hours:
--quick runs five, --cases 'lost*' selects cases, --jobs N uses N processes. The targets follow the table. A case and a
seed reproduce a take: --cases lag --first 17 --takes 1 --list --keep FOLDER. Run it with OMP_NUM_THREADS=1.
"""

import argparse
import json
import multiprocessing
import signal
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
from alignment_truth import (
    DEVICES,
    RATE,
    Array,
    Fault,
    Reel,
    Truth,
    Wander,
    audible_place,
    loudness,
    record,
    reel,
    steady,
    temperature,
    wow,
)

from twinlib import audio
from twinlib.alignment import Alignment, WarpedReader, align
from twinlib.capture import ingest_take

GRID = RATE // 100
"""Applied lags are compared every 10 ms."""

NEAR_SECONDS = 0.05
"""Tolerance of the middle of the span of a reported dropout."""


# The cases


@dataclass(frozen=True)
class Case:
    """One kind of take. None means random for each take: any device, -30 to 30 ppm, either polarity.

    `lag` is the range of the lag in seconds, `drift_ppm` has a random sign, `lost` < 0 repeats a buffer. `expect` is
    the right verdict, None for any. `share` scales the number of takes. A `digital` take has an integer lag, one clock
    and no noise.
    """

    name: str
    device: str | None = "tanh"
    seconds: float = 60.0
    pair: bool = False
    lag: tuple[float, float] = (0.0, 2.0)
    drift_ppm: float | None = None
    wander: Callable[[np.random.Generator], Wander] = steady
    polarity: int | None = None
    snr_db: float = 70.0
    rate: int = RATE
    lost: int = 0
    digital: bool = False
    against_noise: bool = False
    wrong: str | None = None
    expect: str | None = "ok"
    share: float = 1.0


CASES = [
    Case("ordinary", device=None),
    Case("pair", device=None, pair=True),
    Case("pair-digital", pair=True, digital=True),
    Case("lag", lag=(-0.5, 120.0)),
    Case("lag-pair", lag=(-0.5, 120.0), pair=True),
    Case("drift-0", drift_ppm=0.0),
    Case("drift-0.5", drift_ppm=0.5),
    Case("drift-7", drift_ppm=7.0),
    Case("drift-50", drift_ppm=50.0),
    Case("drift-300", drift_ppm=300.0),
    Case("drift-300-pair", drift_ppm=300.0, pair=True),
    Case("long", seconds=600.0, share=0.2),
    Case("long-diode-clipper", device="diode clipper", seconds=600.0, share=0.2),
    Case("temperature", seconds=120.0, wander=temperature),
    Case("wow", wander=wow, expect=None),
    Case("inverted", device="clean", polarity=-1),
    Case("inverted-hard-clipper", device="hard clipper", polarity=-1),
    Case("noise-60", snr_db=60.0, against_noise=True),
    Case("noise-40", snr_db=40.0, against_noise=True),
    Case("noise-20", snr_db=20.0, against_noise=True, expect=None),
    Case("clean", device="clean"),
    Case("hard-clipper", device="hard clipper"),
    Case("transformer", device="transformer"),
    Case("diode-clipper", device="diode clipper"),
    Case("tape", device="tape"),
    Case("breathing", device="breathing"),
    Case("48-kHz", rate=48000),
    Case("88.2-kHz", rate=88200),
    Case("96-kHz", rate=96000),
    Case("lost-1", device=None, lost=1, expect=None),
    Case("lost-7", device=None, lost=7, expect=None),
    Case("lost-64", device=None, lost=64, expect=None),
    Case("lost-4096", device=None, lost=4096, expect=None),
    Case("lost-64-pair", device=None, lost=64, pair=True, expect=None),
    Case("repeated-512", device=None, lost=-512, expect=None),
    Case("no-head", device=None, lag=(-1.0, -0.05)),
    Case("no-head-pair", device=None, lag=(-1.0, -0.05), pair=True, expect=None),
    Case("another-reel", wrong="another reel", expect="refused"),
    Case("another-pair", wrong="another reel", pair=True, expect="refused"),
    Case("silence", wrong="silence", expect="refused"),
    Case("hum", wrong="hum", expect="refused"),
    Case("hum-pair", wrong="hum", pair=True, expect="refused"),
    Case("half-speed", wrong="half speed", expect="refused"),
    Case("half-speed-pair", wrong="half speed", pair=True, expect="refused"),
    Case("clipped", wrong="clipped", expect="suspect"),  # by the interface: `ingest` reports it
]


@dataclass(frozen=True)
class Take:
    """A take: its reel, the device's output, the truth, and the wet samples at the rate of the case.

    Gain and noise are those of the wet samples.
    """

    reel: Reel
    device: str
    played: Array
    truth: Truth
    polarity: int
    gain: float
    noise_rms: float
    wet: Array


def make(case: Case, seed: int) -> Take:
    """Make the take of a case and seed, deterministically."""
    random = np.random.default_rng([zlib.crc32(case.name.encode()), seed])
    dry = reel(random, case.seconds, clicked=not case.pair)
    device = case.device or str(random.choice(list(DEVICES)))
    source = reel(random, case.seconds, clicked=not case.pair) if case.wrong == "another reel" else dry
    played = DEVICES[device].play(source.samples)
    polarity = case.polarity or int(random.choice((-1, 1)))
    drift = random.uniform(-30.0, 30.0) if case.drift_ppm is None else float(random.choice((-1, 1))) * case.drift_ppm
    lag = random.uniform(*case.lag) * RATE
    peak = 1.5 if case.wrong == "clipped" else 10.0 ** (random.uniform(-15.0, -3.0) / 20)
    gain = peak / float(np.abs(played).max())
    noise = gain * loudness(played[slice(*dry.programme)]) * 10.0 ** (-case.snr_db / 20)
    truth = Truth(lag, drift, case.wander(random))
    if case.digital:
        truth, noise = Truth(float(round(lag)), 0.0, steady(random)), 0.0
    if case.wrong == "half speed":
        truth = replace(truth, drift_ppm=1e6)
    if case.wrong == "silence":
        gain, noise = 0.0, float(random.choice((0.0, 1e-5, 1e-4)))
    if case.wrong == "hum":
        played = hum(len(played), random)
        gain = 1.0
    if case.lost:
        place = audible_place(played, dry.programme, random)
        truth = replace(truth, fault=Fault(int(truth.recorded(np.array([float(place)]))[0]), case.lost))
    wet = record(played, truth, random, gain=polarity * gain, noise_rms=noise, rate=case.rate)
    return Take(dry, device, played, truth, polarity, gain, noise, wet)


def hum(frames: int, random: np.random.Generator) -> Array:
    """Mains hum of 50 Hz and twenty harmonics, -30 to -6 dBFS at its peak."""
    turns = np.arange(frames) * (50.0 / RATE)
    out = sum((np.sin(2.0 * np.pi * (k * turns + random.uniform())) / k for k in range(1, 21)), np.zeros(frames))
    return np.asarray(out / np.abs(out).max() * 10.0 ** (random.uniform(-30.0, -6.0) / 20))


# One take


@dataclass(frozen=True)
class Measured:
    """The errors of one take; NaN if undefined. Seconds of CPU time."""

    seed: int
    verdict: str
    reasons: tuple[str, ...]
    lag_error: float = np.nan
    drift_error: float = np.nan
    residual: float = np.nan
    excluded: float = np.nan
    above_noise_db: float = np.nan
    wrong_polarity: bool = False
    found: bool = False
    false_alarm: bool = False
    making: float = 0.0
    aligning: float = 0.0


def measure(name: str, seed: int, keep: Path | None = None) -> Measured:
    """Make one take, align it and compare it with the truth; removes its files unless `keep` is given."""
    case = next(case for case in CASES if case.name == name)
    begun = time.process_time()
    take = make(case, seed)
    with tempfile.TemporaryDirectory(prefix="alignment-") as folder:
        home = Path(folder) if keep is None else keep / f"{name}-{seed}"
        home.mkdir(parents=True, exist_ok=True)
        dry, wet = home / "dry.wav", home / "wet.wav"
        audio.write(dry, take.reel.samples.astype(np.float32), RATE, "PCM_16")
        audio.write(wet, take.wet.astype(np.float32), case.rate, "PCM_24")
        if keep is not None:
            said = {"lag": take.truth.lag, "drift_ppm": take.truth.drift_ppm, "fault": repr(take.truth.fault)}
            said |= {"device": take.device, "polarity": take.polarity, "gain": take.gain, "clicks": take.reel.clicks}
            (home / "truth.json").write_text(json.dumps(said, indent=2))
        making, begun = time.process_time() - begun, time.process_time()
        # An exception is a verdict too, so that the other takes go on.
        try:
            if case.wrong == "clipped":
                judged = ingest_take(wet, reel=dry)
                return Measured(seed, judged.verdict, judged.reasons, false_alarm=judged.verdict != case.expect)
            found = align(dry, wet, clicks=take.reel.clicks)
            aligning = time.process_time() - begun
            seen = compare(case, take, found, wet, Measured(seed, found.verdict, found.reasons))
        except Exception as error:
            return Measured(seed, "raised", (repr(error),), false_alarm=True, making=making)
    return replace(seen, making=making, aligning=aligning)


def compare(case: Case, take: Take, found: Alignment, wet: Path, blank: Measured) -> Measured:
    """Return the errors of an alignment against the truth."""
    truth, fault = take.truth, take.truth.fault
    hits = [
        fault is not None
        and dropout.lost_samples == fault.lost
        and abs(0.5 * (dropout.start + dropout.stop) - fault.place / RATE) <= NEAR_SECONDS
        for dropout in found.dropouts
    ]
    invented = case.wrong is None and len(hits) > (fault is not None)
    misjudged = case.expect is not None and found.verdict != case.expect
    seen = replace(blank, found=any(hits), false_alarm=invented or misjudged)
    if case.wrong is not None or found.verdict == "refused":
        return seen
    grid = np.arange(*take.reel.programme, GRID, dtype=np.float64)
    places = truth.wet(grid)
    excluded = inside(found, grid)
    known = truth.certain(grid) & (places >= 0) & (places < len(take.wet) * RATE / case.rate) & ~excluded
    if not known.any():
        return replace(seen, excluded=1.0)
    error = found.lags(grid[known]) - (places - grid)[known]
    straight = case.wander is steady
    constant = found.lag_samples - truth.lag if straight else float(error.mean())
    return replace(
        seen,
        # A random device has an unknown delay.
        lag_error=np.nan if case.device is None and DEVICES[take.device].own_phase else constant,
        drift_error=found.drift_ppm - truth.drift_ppm if straight else np.nan,
        residual=float(error.std()),
        excluded=float(excluded.mean()),
        above_noise_db=above_noise(take, found, wet) if case.against_noise else np.nan,
        wrong_polarity=found.polarity != take.polarity,
    )


def inside(found: Alignment, positions: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return the mask of the excluded dry positions."""
    out = np.zeros(len(positions), bool)
    for part in found.excluded:
        out |= (positions >= part.start) & (positions < part.stop)
    return out


def above_noise(take: Take, found: Alignment, wet: Path) -> float:
    """Return the error of the warped wet signal against the device's output, in dB above the noise."""
    start, stop = take.reel.programme
    gain = take.polarity * take.gain * found.applied_polarity * found.applied_gain
    with WarpedReader(wet, replace(found, guard_samples=0)) as warped:
        placed = warped.read(start, stop).astype(np.float64) / gain
    kept = ~inside(found, np.arange(start, stop))
    error = loudness((placed - take.played[start:stop])[kept])
    return float(20.0 * np.log10(error / (take.noise_rms / take.gain)))


# The table

WIDTHS = (-21, 5, 7, 7, 7, 7, 7, 7, 5, 4, 7, 5, 12, 6)
HEADERS = (
    ("", "", "lag", "", "drift", "ppm", "", "", "excl.", "", "", "false", "verdicts", "noise"),
    ("case", "takes", "median", "worst", "median", "worst", "rms med", "worst", "%", "pol.", "lost", "alarm", "", "dB"),
)


def line(columns: Iterable[str]) -> str:
    """Format the columns; the first is left-aligned."""
    return " ".join(f"{text:{'<' if w < 0 else '>'}{abs(w)}}" for text, w in zip(columns, WIDTHS, strict=True))


def row(case: Case, takes: Sequence[Measured]) -> str:
    """Format the row of a case."""
    return line(
        (
            case.name,
            str(len(takes)),
            *pair(t.lag_error for t in takes),
            *pair(t.drift_error for t in takes),
            *pair(t.residual for t in takes),
            short(100.0 * max(known(t.excluded for t in takes), default=np.nan)),
            str(sum(t.wrong_polarity for t in takes)),
            f"{sum(t.found for t in takes)}/{len(takes)}" if case.lost else "-",
            str(sum(t.false_alarm for t in takes)),
            "/".join(str(sum(t.verdict == v for t in takes)) for v in ("ok", "suspect", "refused", "raised")),
            short(max(known(t.above_noise_db for t in takes), default=np.nan)),
        )
    )


def listed(take: Measured) -> str:
    """Format a line for one take."""
    flags = {"WRONG POLARITY": take.wrong_polarity, "found": take.found, "FALSE ALARM": take.false_alarm}
    errors = f"lag {short(take.lag_error)}, drift {short(take.drift_error)}, residual {short(take.residual)}"
    said = [take.verdict, *(flag for flag, true in flags.items() if true), *take.reasons]
    return f"    seed {take.seed}: {errors}, excluded {short(100.0 * take.excluded)} %: {'; '.join(said)}"


def known(values: Iterable[float]) -> list[float]:
    """Return the finite values."""
    return [value for value in values if np.isfinite(value)]


def pair(errors: Iterable[float]) -> tuple[str, str]:
    """Return median and maximum of the magnitudes of the finite errors."""
    sizes = np.abs(known(errors))
    return (short(float(np.median(sizes))), short(float(sizes.max()))) if len(sizes) else ("-", "-")


def short(value: float) -> str:
    """Format with two significant digits."""
    return "-" if not np.isfinite(value) else f"{value:.2g}"


def centred(case: Case, takes: list[Measured]) -> list[Measured]:
    """Subtract the median delay if the device has a phase response."""
    errors = known(t.lag_error for t in takes)
    if case.device is None or not DEVICES[case.device].own_phase or not errors:
        return takes
    delay = median(errors)
    return [replace(t, lag_error=t.lag_error - delay) for t in takes]


Results = dict[str, list[Measured]]


def targets(results: Results) -> list[str]:
    """Return a line for each target: PASS or FAIL, and the worst take."""
    cases = {case.name: case for case in CASES}
    right = {name: takes for name, takes in results.items() if cases[name].wrong is None}
    longs = {name: takes for name, takes in right.items() if cases[name].seconds >= 600.0}
    faulty = {name: takes for name, takes in right.items() if cases[name].lost}
    wrong = {name: takes for name, takes in results.items() if cases[name].wrong is not None}
    return [
        limited("lag error at most 0.01 samples", right, 0.01, lambda t: abs(t.lag_error)),
        limited("drift error at most 0.002 ppm in 600 s", longs, 0.002, lambda t: abs(t.drift_error)),
        limited("residual at most 0.02 samples rms", right, 0.02, lambda t: t.residual),
        limited("aligned within 1 dB of the noise", right, 1.0, lambda t: t.above_noise_db),
        never("the polarity is never wrong", right, lambda t: t.wrong_polarity),
        never("every lost or repeated sample is found", faulty, lambda t: not t.found),
        never("no false alarm", right, lambda t: t.false_alarm),
        never("every wrong take is refused, a clipped one seen", wrong, lambda t: t.false_alarm),
    ]


def limited(what: str, results: Results, limit: float, value: Callable[[Measured], float]) -> str:
    """Return the line of a target with a limit."""
    judged = [(value(t), name, t.seed) for name, takes in results.items() for t in takes if np.isfinite(value(t))]
    if not judged:
        return f"  --  {what}: no take"
    over = sum(one[0] > limit for one in judged)
    most, name, seed = max(judged)
    passed = "FAIL" if over else "PASS"
    return f"{passed}  {what}: worst {short(most)} ({name}, seed {seed}), {over} of {len(judged)} over"


def never(what: str, results: Results, failed: Callable[[Measured], bool]) -> str:
    """Return the line of a target without exceptions."""
    failures = [f"{name} {t.seed}" for name, takes in results.items() for t in takes if failed(t)]
    count = sum(len(takes) for takes in results.values())
    if not count:
        return f"  --  {what}: no take"
    which = f" ({', '.join(failures[:6])}{', ...' if len(failures) > 6 else ''})" if failures else ""
    return f"{'FAIL' if failures else 'PASS'}  {what}: {len(failures)} of {count} fail{which}"


def accuracy(arguments: argparse.Namespace) -> None:
    """Run the cases, print the table and the targets."""
    chosen = [case for case in CASES if any(fnmatch(case.name, pattern) for pattern in arguments.cases)]
    if not chosen:
        sys.exit(f"no such case; there are {', '.join(case.name for case in CASES)}")
    results: Results = {}
    print("\n".join(line(columns) for columns in HEADERS), flush=True)
    # Spawn: forked processes would inherit the threads of numba and torch in any state.
    with ProcessPoolExecutor(arguments.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for case in chosen:
            count = max(1, round(case.share * arguments.takes))
            seeds = range(arguments.first, arguments.first + count)
            run = pool.map if arguments.jobs > 1 else map
            takes = list(run(measure, [case.name] * count, seeds, [arguments.keep] * count))
            results[case.name] = centred(case, takes)
            print(row(case, results[case.name]), flush=True)
            if arguments.list:
                print("\n".join(listed(take) for take in results[case.name]), flush=True)
    every = [take for takes in results.values() for take in takes]
    print(f"\na take: {np.mean([t.making for t in every]):.1f} s of CPU to make, ", end="")
    print(f"{np.mean([t.aligning for t in every]):.1f} s to align, means of {len(every)}")
    print("\n".join(targets(results)))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--takes", type=int, default=100, help="takes of a case")
    parser.add_argument("--quick", dest="takes", action="store_const", const=5, help="five takes of a case")
    parser.add_argument(
        "--cases", nargs="+", default=["*"], metavar="NAME", help="only these cases; patterns such as 'lost*' work"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="the seed of the first take")
    parser.add_argument("--list", action="store_true", help="print every take")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the files of the takes there")
    arguments = parser.parse_args()
    # Removes temporary files after `timeout` and `kill`.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    accuracy(arguments)


if __name__ == "__main__":
    main()
