"""How often the diagnosis suspects takes of an unchanged device, and how often it finds a change or an effect.

    python benchmarks/diagnosis.py [--first 0] [--takes 20] [--seconds 24] [--sets held-out tuned]
                                   [--forms reel "old reel" pair witness]
    python benchmarks/diagnosis.py --files DRY.flac WET.flac ...

Simulates takes of reels with a witness (recorded on another clock), of reels without one, and pairs (on one clock). For
`witness`, the lag of the first is known, and only the repeats of the witness are compared, which takes a tenth of the
time. Prints, for every kind of take, the number of suspect takes by device and in all, and of those that name the
cause, that name it in general (level or drive, drive or tone), and that name another cause. Then prints the noise floor
from the witness relative to that from silence after the reel, as on a probe reel. `--files` prints the findings of
pairs of files that are known to be unchanged instead.
"""

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from diagnosis_takes import CAUSES, GENERAL, PROBE_SECONDS, RATE, SETS, Array, TakeSet, make_reel, wet_signals

from tests.dataset.factories import alignment
from twinlib import audio
from twinlib.alignment import Alignment, WarpedReader, align
from twinlib.db import db_to_amp
from twinlib.diagnosis import diagnose
from twinlib.diagnosis.witness import compare_witness
from twinlib.excitation.layout import Reel
from twinlib.measurement.noise import measure_noise
from twinlib.resampling import TimeMap
from twinlib.simulation.recorder import ground_truth, record
from twinlib.simulation.settings import Recorder

Form = Literal["reel", "old reel", "pair", "witness"]
NAMES = {
    *set().union(*CAUSES.values()),
    *GENERAL,
    "vibrato",
    "warm-up",
    "echo",
    "room",
    "direct-monitoring",
    "foreign-sound",
}
"""All causes that findings name."""

NOISE_DBFS = -90.0
"""Noise of all takes, by default of the simulated recorder."""

FORMS: tuple[Form, ...] = ("reel", "old reel", "pair", "witness")


@dataclass(frozen=True)
class Result:
    """The findings on one simulated take, and the noise in dBFS from the witness and from silence."""

    kind: str
    device: str
    codes: tuple[str, ...]
    is_suspect: bool
    floor: float | None
    silence: float

    @property
    def naming(self) -> Literal["right", "general", "wrong", "none"]:
        """Whether the findings name the cause and no other."""
        causes = {code.removeprefix("witness-").removesuffix("-changed") for code in self.codes} & NAMES
        if not causes:
            return "none"
        if causes <= CAUSES[self.kind]:
            return "right"
        return "general" if causes <= CAUSES[self.kind] | GENERAL else "wrong"


def simulate(takes: TakeSet, form: Form, number: int, seconds: float, folder: Path) -> Iterator[Result]:
    """Yield the result of every kind of take with one programme and device."""
    rng = np.random.default_rng([takes.seed, number, FORMS.index("reel" if form == "witness" else form)])
    name = list(takes.devices)[number % len(takes.devices)]
    device = takes.devices[name](rng)
    dry, wet = folder / "dry.wav", folder / "wet.wav"
    if form == "pair":
        x = takes.in_pairs(seconds, rng)
        audio.write(dry, x.astype(np.float32), RATE, "PCM_24")
        for kind, y in wet_signals(x, device, rng):
            write_wet(wet, y, Recorder(lag_fraction=0.0, offset_seconds=0.05, seed=number))
            yield result(kind, name, diagnose(align(dry, wet), dry, wet), wet, len(x))
        return
    x, reel = make_reel(seconds, takes.on_reels, rng, witness=form != "old reel")
    if form == "witness":
        for kind, y in wet_signals(x, device, rng):
            yield by_witness(kind, name, x, reel, y, number)
        return
    audio.write(dry, x.astype(np.float32), RATE, "PCM_24")
    for kind, y in wet_signals(x, device, rng):
        write_wet(wet, y, Recorder(drift_ppm=rng.uniform(-20, 20), seed=number))
        found = align(dry, wet, clicks=list(reel.clicks))
        yield result(kind, name, diagnose(found, dry, wet, witness=reel.witness), wet, reel.frames)


def by_witness(kind: str, device: str, x: Array, reel: Reel, y: Array, number: int) -> Result:
    y = y + db_to_amp(NOISE_DBFS) * np.random.default_rng(number).standard_normal(len(y))
    found = alignment(
        len(x), 0.0, sample_rate=RATE, wet_sample_rate=RATE, wet_frames=len(x), guard_samples=0,
        pieces=TimeMap.straight(0.0, 0.0, 0, len(x)).pieces,
    )  # fmt: skip
    report = compare_witness(
        found,
        reel.witness,
        lambda start, stop: x[start:stop].astype(np.float32),
        lambda start, stop: y[start:stop].astype(np.float32),
    )
    silence = measure_noise(y[reel.frames + RATE // 2 : len(y) - RATE // 10].astype(np.float32), RATE).rms_dbfs
    codes = tuple(finding.code for finding in report.findings if finding.severity != "info")
    return Result(kind, device, codes, bool(codes), report.noise_floor_dbfs, silence)


def write_wet(path: Path, y: Array, recorder: Recorder) -> None:
    truth = ground_truth(recorder, "take", RATE, len(y))
    blocks = record([y.astype(np.float32)[:, None]], recorder, truth, "take", RATE, 1)
    audio.write(path, np.concatenate(list(blocks)), RATE, "PCM_24")


def result(kind: str, device: str, found: Alignment, wet: Path, frames: int) -> Result:
    silence = -200.0
    if found.noise_floor_dbfs is not None:
        # The device has settled after half a second.
        first, last = frames + RATE // 2, frames + round(PROBE_SECONDS * RATE) - RATE // 10
        with WarpedReader(wet, found, 0) as warped:
            guard = found.guard_samples
            silence = measure_noise(warped.read(first + guard, last + guard), RATE).rms_dbfs
    codes = tuple(finding.code for finding in found.findings if finding.severity != "info")
    return Result(kind, device, codes, found.verdict != "ok", found.noise_floor_dbfs, silence)


def print_rates(results: list[Result], takes: TakeSet) -> None:
    print(f"| suspect takes | {' | '.join(takes.devices)} | all | named | in general | another cause |")
    print(f"|---|{'---|' * (len(takes.devices) + 4)}")
    for kind, causes in CAUSES.items():
        of_kind = [each for each in results if each.kind == kind]
        cells = [count([each.is_suspect for each in of_kind if each.device == name]) for name in takes.devices]
        all_of = count([each.is_suspect for each in of_kind])
        names = [str(sum(each.naming == naming for each in of_kind)) for naming in ("right", "general", "wrong")]
        named = " | ".join(names) if causes else f"{', '.join(false_codes(of_kind)) or '-'} | | "
        print(f"| {kind} | {' | '.join(cells)} | {all_of} | {named} |")


def count(flags: list[bool]) -> str:
    return f"{sum(flags)}/{len(flags)}"


def false_codes(results: list[Result]) -> list[str]:
    codes: dict[str, int] = defaultdict(int)
    for each in results:
        for code in sorted(set(each.codes)):
            codes[code] += 1
    return [f"{number} {code}" for code, number in codes.items()]


def print_floors(results: list[Result]) -> None:
    print("| floor from the witness - floor from silence | 5 % | median | 95 % | largest | within 1 dB | none |")
    print("|---|---|---|---|---|---|---|")
    for kind in CAUSES:
        if CAUSES[kind]:
            continue
        of_kind = [each for each in results if each.kind == kind]
        errors = np.array([each.floor - each.silence for each in of_kind if each.floor is not None])
        if not len(errors):
            continue
        low, middle, high = np.percentile(errors, (5, 50, 95))
        largest = errors[np.abs(errors).argmax()]
        within = count((np.abs(errors) <= 1.0).tolist())
        figures = " | ".join(f"{value:+.2f} dB" for value in (low, middle, high, largest))
        print(f"| {kind} | {figures} | {within} | {len(of_kind) - len(errors)} |")


def print_files(paths: list[Path]) -> None:
    for dry, wet in zip(paths[::2], paths[1::2], strict=True):
        found = diagnose(align(dry, wet), dry, wet)
        print(f"{wet}: {found.verdict}", *found.reasons, sep="\n  ")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", type=int, default=0, help="number of the first take: other programmes and settings")
    parser.add_argument("--takes", type=int, default=20, help="takes of each kind")
    parser.add_argument("--seconds", type=float, default=24.0, help="duration of the programme")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS)
    parser.add_argument("--files", nargs="+", type=Path, help="dry and wet files of unchanged devices, alternating")
    args = parser.parse_args()
    if args.files:
        print_files(args.files)
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in args.sets:
            for form in args.forms:
                numbers = range(args.first, args.first + args.takes)
                results = [
                    each
                    for number in numbers
                    for each in simulate(SETS[name], form, number, args.seconds, Path(folder))
                ]
                print(f"\n{name}, {form}: {args.takes} takes of {args.seconds:g} s of programme\n")
                print_rates(results, SETS[name])
                if form in ("reel", "witness"):
                    print()
                    print_floors(results)


if __name__ == "__main__":
    main()
