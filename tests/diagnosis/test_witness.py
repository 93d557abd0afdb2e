"""The witness tells an unchanged device from a changed one, names the change and its place, and measures the noise."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.signal import firwin, lfilter

from tests.dataset.factories import alignment
from twinlib.alignment.result import Excluded
from twinlib.diagnosis.messages import MESSAGES
from twinlib.diagnosis.witness import WitnessReport, compare_witness
from twinlib.excitation import make_witness
from twinlib.resampling import TimeMap

RATE = 16000
GAP = 0.5
EXCERPT = make_witness(RATE).astype(np.float64)
PERIOD = len(EXCERPT) + round(3.5 * RATE)
FIRST = round(GAP * RATE)
STARTS = [FIRST + number * PERIOD for number in range(3)]
SPANS = [(start, start + len(EXCERPT)) for start in STARTS]

Device = Callable[[np.ndarray], np.ndarray]


def programme() -> np.ndarray:
    """Three repeats with noise of varying level between them, and silence around each."""
    random = np.random.default_rng(0)
    dry = np.zeros(STARTS[-1] + len(EXCERPT) + FIRST)
    for start in STARTS:
        dry[start : start + len(EXCERPT)] = EXCERPT
        first, last = start + len(EXCERPT) + FIRST, start + PERIOD - FIRST
        if last < len(dry):
            dry[first:last] = 0.1 * random.standard_normal(last - first)
    return dry


DRY = programme()
HALF = (STARTS[1] + len(EXCERPT) + STARTS[2]) // 2
SECONDS = np.arange(len(DRY)) / RATE


def clipper(drive: float = 4.0) -> Device:
    return lambda dry: 0.5 * (np.tanh(drive * lfilter([0.98, -0.98], [1, -0.96], dry) + 0.2) - np.tanh(0.2))


def fuzz(dry: np.ndarray) -> np.ndarray:
    return lfilter([0.5, 0.5], [1], np.clip(60 * lfilter([0.98, -0.98], [1, -0.96], dry), -0.4, 0.5))


def octave(dry: np.ndarray) -> np.ndarray:
    return lfilter([0.99, -0.99], [1, -0.98], np.abs(clipper()(dry)))


def gate(dry: np.ndarray) -> np.ndarray:
    level = lfilter([0.01], [1, -0.99], np.abs(dry))
    return 0.5 * dry * np.clip(level / 0.01, 0, 1) ** 2


def clean(dry: np.ndarray) -> np.ndarray:
    return 0.7 * lfilter([0.9], [1, -0.1], dry)


DEVICES = {"clipper": clipper(), "fuzz": fuzz, "octave": octave, "gate": gate, "clean": clean}


def low_pass(hertz: float) -> Device:
    pole = np.exp(-2 * np.pi * hertz / RATE)
    return lambda wet: lfilter([1 - pole], [1, -pole], wet)


def delayed(wet: np.ndarray, samples: np.ndarray) -> np.ndarray:
    return np.interp(np.arange(len(wet)) - samples, np.arange(len(wet)), wet)


def compare(
    wet: np.ndarray,
    noise: float = 1e-4,
    seed: int = 0,
    spans: list[tuple[int, int]] = SPANS,
    excluded: tuple[Excluded, ...] = (),
) -> WitnessReport:
    """Add white noise, and an error of the clock of 0.01 samples at each repeat as an alignment leaves it."""
    random = np.random.default_rng(seed)
    # The filter of a converter: without it, a fraction of a sample of delay spreads over seconds.
    wet = np.convolve(wet, firwin(101, 0.9), "same") + noise * random.standard_normal(len(wet))
    for start in STARTS:
        part = slice(start - FIRST // 2, start + len(EXCERPT) + FIRST // 2)
        size = part.stop - part.start
        phase = np.exp(-2j * np.pi * np.fft.rfftfreq(size) * random.normal(0, 0.01))
        wet[part] = np.fft.irfft(np.fft.rfft(wet[part]) * phase, size)
    found = alignment(
        len(wet), 0.0, sample_rate=RATE, wet_sample_rate=RATE, wet_frames=len(wet), guard_samples=0,
        pieces=TimeMap.straight(0.0, 0.0, 0, len(wet)).pieces, excluded=excluded,
    )  # fmt: skip
    return compare_witness(
        found, spans, lambda first, last: DRY[first:last].astype("f4"), lambda first, last: wet[first:last].astype("f4")
    )


@pytest.mark.parametrize("name", DEVICES)
@pytest.mark.parametrize(("noise", "hum"), [(1e-4, 0.0), (1e-4, 0.02), (0.1, 0.0)])
def test_an_unchanged_device_is_ok_and_its_noise_is_measured(name: str, noise: float, hum: float) -> None:
    wet = DEVICES[name](DRY)
    # A tenth of the level of the signal is 20 dB below it.
    noise = noise * float(np.sqrt(np.mean(np.square(wet)))) if noise > 0.01 else noise
    hums = hum * (np.sin(2 * np.pi * 50.02 * SECONDS) + 0.3 * np.sin(2 * np.pi * 150.06 * SECONDS + 1))
    report = compare(wet + hums, noise)
    assert report.findings == ()
    assert report.noise_floor_dbfs is not None
    power = noise**2 + np.mean(np.square(hums))
    assert report.noise_floor_dbfs == pytest.approx(10 * np.log10(power), abs=0.5)


def test_the_noise_floor_of_a_gate_is_that_of_its_pauses() -> None:
    """The gate is closed in the soft steps of all repeats, where the wet signal does not follow the dry signal."""
    open_noise = 2e-3 * np.random.default_rng(3).standard_normal(len(DRY))
    is_open = lfilter([0.01], [1, -0.99], np.abs(DRY)) > 0.005
    soft = tuple(Excluded(stop - 3000, stop - 1000, "disturbed") for _, stop in SPANS)
    report = compare((0.5 * DRY + open_noise) * is_open, noise=1e-5, excluded=soft)
    assert [(finding.code, finding.severity) for finding in report.findings] == [("gated-noise", "info")]
    assert report.noise_floor_dbfs == pytest.approx(-100.0, abs=1.0)
    assert "-100 dBFS in pauses" in MESSAGES.notes(report.findings)[0]


def test_the_same_take_gives_the_same_report() -> None:
    assert compare(clipper()(DRY)) == compare(clipper()(DRY))


CHANGES: dict[str, Callable[[Device, np.ndarray], np.ndarray]] = {
    "witness-level": lambda device, dry: device(dry) * 10 ** (-1 / 20),
    "witness-drive": lambda device, dry: device(1.2 * dry),
    "witness-tone": lambda device, dry: low_pass(1500)(device(dry)),
    "witness-bypassed": lambda device, dry: 0.4 * dry,
}


@pytest.mark.parametrize("code", CHANGES)
@pytest.mark.parametrize("noise", [1e-5, 3e-3])
def test_a_change_is_found_between_the_repeats_around_it(code: str, noise: float) -> None:
    device = clipper()
    changed = CHANGES[code](device, DRY)
    before = low_pass(3000)(device(DRY)) if code == "witness-tone" else device(DRY)
    report = compare(np.where(np.arange(len(DRY)) < HALF, before, changed), noise)
    (finding,) = report.findings
    likely = {code, "witness-level-or-drive"} if noise > 1e-3 else {code}
    assert finding.code in likely
    assert finding.severity == "suspect"
    assert finding.span is not None
    assert (finding.span.start, finding.span.stop) == (SPANS[1][1] / RATE, SPANS[2][0] / RATE)
    assert f"{SPANS[1][1] / RATE:.1f} s" in MESSAGES.sentence(finding)
    if code == "witness-level":
        assert finding.values["change_db"] == pytest.approx(-1.0, abs=0.1)
    if finding.code == "witness-drive":
        assert finding.values["change_db"] == pytest.approx(20 * np.log10(1.2), abs=0.2)
    assert report.noise_floor_dbfs == pytest.approx(20 * np.log10(noise), abs=1.0)


def changed(before: np.ndarray, after: np.ndarray, early: bool = False) -> np.ndarray:
    """A take that changes between its last two repeats, or between its first two."""
    return np.where(np.arange(len(DRY)) < (HALF - PERIOD if early else HALF), before, after)


def causes(report: WitnessReport) -> list[str]:
    return [finding.code.removeprefix("witness-") for finding in report.findings]


@pytest.mark.parametrize("name", ["clipper", "fuzz", "octave", "gate"])
@pytest.mark.parametrize("early", [False, True])
def test_a_change_of_any_device_is_named_rightly(name: str, early: bool) -> None:
    device = DEVICES[name]
    same = device(DRY)
    assert causes(compare(changed(same, 0.9 * same, early), 1e-5)) == ["level"]
    assert causes(compare(changed(same, device(1.2 * DRY), early), 1e-5)) == ["drive"]
    assert causes(compare(changed(low_pass(3000)(same), low_pass(1500)(same), early), 1e-5)) == ["tone"]
    if name != "gate":
        assert causes(compare(changed(same, 0.4 * DRY, early), 1e-5)) == ["bypassed"]


@pytest.mark.parametrize("name", ["clipper", "fuzz", "octave", "gate"])
@pytest.mark.parametrize("seed", range(3))
def test_in_noise_a_change_is_named_rightly_or_generally(name: str, seed: int) -> None:
    device, early = DEVICES[name], seed % 2 == 0
    same = device(DRY)
    assert causes(compare(changed(same, 0.8 * same, early), 3e-3, seed))[0] in {"level", "level-or-drive"}
    assert causes(compare(changed(same, device(1.5 * DRY), early), 3e-3, seed))[0] in {"drive", "level-or-drive"}
    other_tone = changed(low_pass(3000)(same), low_pass(1500)(same), early)
    assert causes(compare(other_tone, 3e-3, seed))[0] in {"tone", "changed"}


def test_level_and_drive_of_a_linear_device_are_one() -> None:
    assert causes(compare(changed(clean(DRY), clean(1.2 * DRY)))) == ["level-or-drive"]


@pytest.mark.parametrize("name", ["clipper", "fuzz", "octave"])
def test_a_tone_before_the_distortion_is_no_drive(name: str) -> None:
    device = DEVICES[name]
    (finding,) = compare(changed(device(low_pass(3000)(DRY)), device(low_pass(1500)(DRY)))).findings
    assert finding.code == "witness-changed"
    assert "drive or tone" in MESSAGES.sentence(finding)


def test_a_fuzz_that_hardly_changes_its_levels_is_driven_harder() -> None:
    (finding,) = compare(changed(fuzz(DRY), fuzz(2 * DRY)), 1e-5).findings
    assert finding.code == "witness-drive"
    assert abs(float(finding.values["change_db"])) < 1.0


@pytest.mark.parametrize("seconds", [0.3, 0.7, 1.0, 1.6])
@pytest.mark.parametrize("code", ["level", "drive"])
def test_a_change_within_a_repeat_is_no_modulation(code: str, seconds: float) -> None:
    device, place = clipper(), STARTS[1] + round(seconds * RATE)
    changed = 0.5 * device(DRY) if code == "level" else device(2 * DRY)
    (finding,) = compare(np.where(np.arange(len(DRY)) < place, device(DRY), changed)).findings
    assert finding.code == f"witness-{code}"
    assert finding.span is not None
    assert (finding.span.start, finding.span.stop) == (SPANS[0][1] / RATE, SPANS[2][0] / RATE)


def test_a_device_that_is_bypassed_for_a_while_is_named_once() -> None:
    middle = np.abs(np.arange(len(DRY)) - STARTS[1] - len(EXCERPT) / 2) < 1.2 * RATE
    (finding,) = compare(np.where(middle, 0.4 * DRY, clipper()(DRY))).findings
    assert finding.code == "witness-bypassed"
    assert finding.span is not None
    assert finding.span.start == SPANS[0][1] / RATE


@pytest.mark.parametrize("name", ["clipper", "clean", "octave"])
def test_a_device_that_changes_all_along_is_warming_up(name: str) -> None:
    device, share = DEVICES[name], SECONDS / SECONDS[-1]
    (finding,) = compare((1 - share) * device(0.6 * DRY) + share * device(1.2 * DRY)).findings
    assert finding.code == "witness-warm-up"


@pytest.mark.parametrize("name", ["clipper", "clean", "fuzz"])
@pytest.mark.parametrize("noise", [1e-5, 3e-3])
def test_effects_with_an_oscillator_are_modulation(name: str, noise: float) -> None:
    wet = DEVICES[name](DRY)

    def delay(milliseconds: float, depth: float, hertz: float) -> np.ndarray:
        return delayed(wet, RATE * 1e-3 * (milliseconds + depth * np.sin(2 * np.pi * hertz * SECONDS)))

    effects = {
        "chorus": 0.8 * wet + 0.2 * delay(12, 3, 0.83),
        "flanger": 0.6 * wet + 0.6 * delay(2, 1.8, 0.31),
        "tremolo": wet * (1 + 0.04 * np.sin(2 * np.pi * 5.3 * SECONDS)),
        "slow tremolo": wet * (1 + 0.04 * np.sin(2 * np.pi * 0.71 * SECONDS)),
    }
    for effect, sound in effects.items():
        assert [finding.code for finding in compare(sound, noise).findings] == ["witness-modulated"], effect


def test_damaged_repeats_do_not_count() -> None:
    wet = clipper()(DRY)
    wet[SPANS[1][0] + 4000 : SPANS[1][0] + 9000] = 0.0
    excluded = (Excluded(SPANS[1][0] + 4000, SPANS[1][0] + 9000, "disturbed"),)
    found = alignment(
        len(wet), 0.0, sample_rate=RATE, wet_sample_rate=RATE, wet_frames=len(wet), guard_samples=0,
        pieces=TimeMap.straight(0.0, 0.0, 0, len(wet)).pieces, excluded=excluded,
    )  # fmt: skip
    noisy = (wet + 1e-4 * np.random.default_rng(0).standard_normal(len(wet))).astype("f4")

    def report(spans: list[tuple[int, int]]) -> WitnessReport:
        return compare_witness(
            found, spans, lambda first, last: DRY[first:last].astype("f4"), lambda first, last: noisy[first:last]
        )

    assert report(SPANS).findings == ()
    assert report(SPANS).noise_floor_dbfs == pytest.approx(-80.0, abs=1.0)
    assert report(SPANS[:2]) == WitnessReport(), "one repeat has nothing to be compared with"
    outside = (SPANS[-1][0] + len(wet), SPANS[-1][1] + len(wet))
    assert report([SPANS[0], outside]) == WitnessReport()
    assert report([outside]) == WitnessReport()
