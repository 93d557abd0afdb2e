"""What musicians leave on or move during a take is named, and devices that stay the same are not suspected."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import fftconvolve, lfilter
from scipy.signal.windows import tukey

from tests.alignment.conftest import RATE, Array, alignment, noise
from tests.alignment.test_nonlinear import plucks
from tests.diagnosis.notes import draw_notes
from tests.diagnosis.speech import draw_speech
from twinlib import audio
from twinlib.alignment import Alignment
from twinlib.alignment.result import Dropout, Excluded, Window
from twinlib.diagnosis import describe_notes, diagnose
from twinlib.diagnosis.modulation import Modulation, ProductSpectra, find_delay_modulation
from twinlib.diagnosis.reflections import DelayedProducts
from twinlib.diagnosis.spectra import Complex, Grid
from twinlib.findings import Span, suspect
from twinlib.resampling import Piece

SECONDS = 20
FRAMES = SECONDS * RATE
HALF = FRAMES // 2
TIME = np.arange(FRAMES) / RATE


def slices(seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    starts = np.sort(rng.integers(0, FRAMES, FRAMES // 7000)).tolist()
    return np.asarray(0.4 * draw_notes(FRAMES, starts, 10000, -1.5, rng))


DRY = slices()


def device(x: Array, drive: float = 4.0) -> Array:
    y = lfilter([0.995, -0.995], [1, -0.99], x)
    return np.asarray(0.5 * lfilter([0.6], [1, -0.4], np.tanh(drive * y + 0.1) - np.tanh(0.1)))


WET = device(DRY)


def late(x: Array, seconds: float) -> Array:
    samples = round(seconds * RATE)
    return np.concatenate((np.zeros(samples), x))[:FRAMES]


def modulated(x: Array, milliseconds: float, depth: float, hertz: float) -> Array:
    lag = 1e-3 * RATE * (milliseconds + depth * np.sin(2 * np.pi * hertz * TIME))
    return np.interp(np.clip(np.arange(FRAMES) - lag, 0, None), np.arange(FRAMES), x)


def halves(first: Array, second: Array) -> Array:
    return np.concatenate((first[:HALF], second[HALF:]))


def aligned(**changes: object) -> Alignment:
    """The alignment of a take without a lag."""
    ends = Window(0.0, 0.0, 100.0, 0.0), Window(float(FRAMES), 0.0, 100.0, 0.0)
    return alignment(FRAMES, 0.0, **{"track": ends, **changes})


@pytest.fixture(scope="module")
def dry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("diagnosis") / "dry.wav"
    audio.write(path, DRY.astype(np.float32), RATE, "FLOAT")
    return path


@pytest.fixture
def check(dry: Path, tmp_path: Path) -> Callable[..., Alignment]:
    def run(wet: Array, found: Alignment | None = None, dbfs: float = -90.0) -> Alignment:
        path = tmp_path / "wet.wav"
        audio.write(path, (wet + noise(FRAMES, dbfs)).astype(np.float32), RATE, "FLOAT")
        return diagnose(found or aligned(), dry, path)

    return run


def codes(found: Alignment) -> list[str]:
    return [finding.code for finding in found.findings]


def gated() -> Array:
    level = lfilter([0.001], [1, -0.999], np.abs(WET))
    return np.asarray(WET * lfilter([0.002], [1, -0.998], (level > 0.03).astype(float)))


def compressed() -> Array:
    level = lfilter([0.0003], [1, -0.9997], np.abs(DRY))
    return np.asarray(np.tanh(2 * DRY) * 0.05 / (0.05 + level))


STEPS = {
    "level-changed": [halves(WET, 0.5 * WET), halves(WET, 0.05 * WET), halves(WET, 1.122 * WET)],
    "tone-changed": [halves(WET, lfilter([0.3], [1, -0.7], WET))],
    "bypassed": [halves(WET, DRY)],
}


@pytest.mark.parametrize("code", STEPS)
def test_a_change_is_named_with_its_place(check: Callable[..., Alignment], code: str) -> None:
    for wet in STEPS[code]:
        found = check(wet)
        assert (codes(found), found.verdict) == ([code], "suspect")
        span = found.findings[0].span
        assert span is not None
        assert span.start - 0.5 < SECONDS / 2 < span.stop + 0.5
        assert "record again" in found.reasons[0]


def test_the_diagnosis_starts_quickly() -> None:
    """`scipy.signal` would take longer to import than a take to diagnose."""
    code = "import sys, twinlib.diagnosis.pipeline; sys.exit('scipy.signal' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_drive_is_no_level(check: Callable[..., Alignment]) -> None:
    """Without a witness: the model of one section predicts the other only with a louder input."""
    found = check(halves(WET, device(DRY, 6.4)))
    assert codes(found) == ["drive-changed"]


def test_another_level_of_a_linear_device(dry: Path, tmp_path: Path) -> None:
    linear = lfilter([0.6], [1, -0.4], DRY)
    audio.write(tmp_path / "wet.wav", (halves(linear, 0.6 * linear) + noise(FRAMES, -90)).astype("f4"), RATE, "FLOAT")
    found = diagnose(aligned(), dry, tmp_path / "wet.wav")
    assert codes(found)[0] in {"level-changed", "level-or-drive-changed"}
    assert "by -4.4 dB" in found.reasons[0]


def test_another_drive_is_a_change(check: Callable[..., Alignment]) -> None:
    found = check(halves(WET, device(DRY, 8.0)))
    assert found.verdict == "suspect"
    assert codes(found)[0] in {"drive-changed", "level-changed"}


def test_an_unknown_noise_floor_has_its_reason(dry: Path) -> None:
    """A single repeat of the witness has nothing to be compared with."""
    found = diagnose(aligned(track=()), dry, dry, witness=[(RATE, 3 * RATE)])
    assert (found.noise_floor_dbfs, found.verdict) == (None, "ok")
    assert "noise floor was not measured" in describe_notes(found)[0]


def test_warming_up_is_gradual(check: Callable[..., Alignment]) -> None:
    rise = TIME / SECONDS
    assert codes(check((1 - rise) * device(DRY, 2.5) + rise * device(DRY, 5.0))) == ["warm-up"]


@pytest.mark.parametrize(("at", "seconds", "level_db"), [(3.1, 0.6, -14.0), (8.0, 4.5, -20.0), (14.2, 1.4, 0.0)])
def test_a_voice_over_the_take_is_excluded_whole(
    check: Callable[..., Alignment], at: float, seconds: float, level_db: float
) -> None:
    start, stop = round(at * RATE), round((at + seconds) * RATE)
    voice = draw_speech(stop - start, np.random.default_rng(round(10 * at)))
    wet = WET.copy()
    wet[start:stop] += 10 ** (level_db / 20) * np.sqrt(np.mean(np.square(WET))) * voice
    within = Span("wet", at + 0.1, at + 0.2)
    before = aligned(findings=(suspect("disturbed", within),), reasons=("elsewhere",), verdict="suspect")
    found = check(wet, before)
    assert (codes(found), len(found.reasons), found.verdict) == (["foreign-sound"], 1, "suspect")
    assert "a voice" in found.reasons[0]
    (place,) = found.excluded
    assert place.reason == "foreign-sound"
    assert start - RATE < place.start <= start < stop <= place.stop < stop + RATE


def test_a_change_at_the_end_is_no_foreign_sound(check: Callable[..., Alignment]) -> None:
    late = 4 * FRAMES // 5
    found = check(np.concatenate((WET[:late], device(DRY, 16.0)[late:])))
    assert "foreign-sound" not in codes(found)
    assert found.verdict == "suspect"


EFFECTS = {
    "modulated-delay": [
        0.6 * WET + 0.6 * modulated(WET, 12, 3, 0.8),
        0.8 * WET + 0.2 * modulated(WET, 10, 1, 2.1),
        0.6 * WET + 0.6 * modulated(WET, 2, 1.8, 0.3),
    ],
    "tremolo": [WET * (0.6 + 0.4 * np.sin(2 * np.pi * 5 * TIME)), WET * (1 + 0.06 * np.sin(2 * np.pi * 1.7 * TIME))],
    "echo": [WET + 0.4 * late(WET, 0.35), WET + 0.2 * late(WET, 0.11), WET + late(WET, 0.02)],
    "direct-monitoring": [late(WET, 0.1) + 0.2 * DRY, late(WET, 0.012) + 0.2 * DRY],
}


@pytest.mark.parametrize("code", EFFECTS)
def test_an_effect_is_named_in_one_sentence(check: Callable[..., Alignment], code: str) -> None:
    places = [suspect("disturbed", Span("wet", float(k), k + 0.1)) for k in range(5)]
    for wet in EFFECTS[code]:
        delay = {"direct-monitoring": [4410, 529]}.get(code, [0] * 9)[[w is wet for w in EFFECTS[code]].index(True)]
        line = Piece(0, FRAMES, (0.0, float(FRAMES)), (float(delay), float(delay)))
        before = aligned(findings=tuple(places), reasons=("elsewhere",) * 5, verdict="suspect", pieces=(line,))
        found = check(wet, before)
        assert (codes(found), len(found.reasons), found.verdict) == ([code], 1, "suspect")


def test_a_gate_on_single_notes_is_no_room(tmp_path: Path) -> None:
    """Its slow release follows the past of the notes as the tail of a room does."""
    notes = np.concatenate([plucks(seed) for seed in range(SECONDS // 5)])
    level = lfilter([0.0023], [1, -0.9977], np.abs(notes))
    opened = lfilter([1.5e-4], [1, -0.99985], np.clip(level / 0.01, 0, 1) ** 2)
    wet = np.tanh(3 * notes) * opened + noise(FRAMES, -90)
    assert "room" not in codes(diagnose(aligned(), *saved(tmp_path, notes, wet)))


def spectra(samples: Array, grid: Grid, taper: Array) -> Complex:
    windows = np.lib.stride_tricks.sliding_window_view(samples, grid.size)[:: grid.size // 2]
    return np.fft.rfft(windows * taper)[:, grid.bins].astype(np.complex64)


def test_an_error_of_shared_samples_is_no_echo_of_one_window() -> None:
    """In overlapping windows, half a millisecond earlier and a window later look alike."""
    grid = Grid.over(0, FRAMES, RATE)
    taper = np.hanning(grid.size)
    x = np.random.default_rng(0).standard_normal(FRAMES // 4)
    played = spectra(x, grid, taper)
    shared = spectra(0.2 * np.roll(x, -5), grid, np.where(np.arange(grid.size) < grid.size // 2, taper, 0.0))
    late = spectra(0.2 * np.roll(x, grid.size), grid, taper)
    for error, seconds in ((shared, None), (late, 4 * grid.size / RATE)):
        products = DelayedProducts(grid)
        products.add(error, played, played, played + error)
        found = products.find()
        assert (found.seconds if found is not None else None) == seconds


def test_the_mutes_of_a_tremolo_are_no_tempo(check: Callable[..., Alignment]) -> None:
    """The alignment excludes some troughs, which come at the rate of the tremolo."""
    troughs = np.arange(0.15, SECONDS - 0.3, 0.6)
    excluded = tuple(Excluded(round(t * RATE) - 200, round(t * RATE) + 200, "brief-faults") for t in troughs.tolist())
    found = check(WET * (0.5 + 0.5 * np.sin(2 * np.pi * 5 * TIME)), aligned(excluded=excluded))
    assert codes(found) == ["tremolo"]
    assert found.findings[0].values["rate_hz"] == pytest.approx(5.0, abs=0.05)


def saved(folder: Path, dry: Array, wet: Array) -> tuple[Path, Path]:
    for name, samples in (("dry.wav", dry), ("wet.wav", wet)):
        audio.write(folder / name, samples.astype(np.float32), RATE, "FLOAT")
    return folder / "dry.wav", folder / "wet.wav"


@pytest.mark.parametrize("depth", [0.3, 0.95])
def test_the_tremolo_of_notes_with_rests_is_named(tmp_path: Path, depth: float) -> None:
    """Rests spread its line, so that it stands out of its surroundings less than a modulation of 5 % on a reel does."""
    notes = np.concatenate([plucks(seed) for seed in range(SECONDS // 5)])
    wet = device(notes) * (1 + depth * np.sin(2 * np.pi * 5 * TIME)) + noise(FRAMES, -90)
    assert codes(diagnose(aligned(), *saved(tmp_path, notes, wet))) == ["tremolo"]


def test_lines_that_another_distortion_has_too_are_no_chorus() -> None:
    """The errors of repeated notes repeat at a constant rate, which is that of no oscillator."""
    grid = Grid.over(0, FRAMES, RATE)
    rng = np.random.default_rng(0)
    shape = grid.count, grid.bins.stop - grid.bins.start
    noisy, other = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape) for _ in range(2))
    bar = rng.standard_normal((16, shape[1])) + 1j * rng.standard_normal((16, shape[1]))
    repeated = np.tile(bar, (grid.count // 16 + 1, 1))[: grid.count]

    def products(error: Complex) -> ProductSpectra:
        found = ProductSpectra(grid)
        found.add(error.astype(np.complex64), np.ones(shape, np.complex64), np.ones(grid.count))
        return found

    def find(error: Complex, control: Complex, tempo: Sequence[float] = ()) -> Modulation | None:
        return find_delay_modulation(products(error), products(control), 1.0, SECONDS, np.array(tempo))

    hertz = 1.0 / (16 * grid.hop_seconds)
    # A tempo may hide the first lines of a chorus.
    for tempo in ([], [hertz], [hertz, 3.0 * hertz]):
        found = find(noisy + repeated, other, tempo)
        assert found is not None
        assert found.rate_hz == pytest.approx(hertz, abs=0.5 / SECONDS)
    assert find(noisy + repeated, other + repeated) is None
    assert find(noisy, other) is None


def test_what_a_device_makes_of_a_chord_is_recognised_and_another_sound_is_not(tmp_path: Path) -> None:
    """A loud chord through two hard stages has no lag, so that the alignment excludes it."""
    chord = sum(np.sin(2 * np.pi * f * TIME + f) for f in (82.4, 123.5, 164.8, 207.7, 246.9)) * 0.15
    place = slice(8 * RATE, 12 * RATE)
    dry = DRY.copy()
    dry[place] = chord[place]
    wet = np.clip(20 * lfilter([0.995, -0.995], [1, -0.99], np.clip(15 * dry, -0.6, 1.0)), -1.0, 0.7)
    other = wet.copy()
    other[place] = np.roll(wet, 5 * RATE)[place]
    part = wet.copy()
    part[10 * RATE : 11 * RATE] = np.roll(wet, 5 * RATE)[10 * RATE : 11 * RATE]
    finding = suspect("not-recognised", Span("wet", 8.0, 12.0))
    before = aligned(
        findings=(finding,), reasons=("place",), verdict="suspect",
        excluded=(Excluded(place.start, place.stop, "not-recognised"),),
    )  # fmt: skip
    found = diagnose(before, *saved(tmp_path, dry, wet))
    assert (codes(found), found.excluded, found.verdict) == ([], (), "ok")
    for sound in (other, part):
        found = diagnose(before, *saved(tmp_path, dry, sound))
        assert finding in found.findings
        assert found.excluded[0].reason == "not-recognised"


def test_what_a_rectifier_makes_of_music_is_recognised_by_its_time(check: Callable[..., Alignment]) -> None:
    """The model explains little of its output, but much more than that of any other time."""
    place = slice(8 * RATE, 9 * RATE)
    finding = suspect("not-recognised", Span("wet", 8.0, 9.0))
    before = aligned(
        findings=(finding,), reasons=("place",), verdict="suspect",
        excluded=(Excluded(place.start, place.stop, "not-recognised"),),
    )  # fmt: skip
    wet = np.abs(device(DRY, 30.0)) + 0.1 * np.abs(WET)
    wet = wet - np.mean(wet)
    found = check(wet, before)
    assert (found.findings, found.excluded, found.verdict) == ((), (), "ok")
    other = wet.copy()
    other[place] = np.roll(wet, 5 * RATE)[place]
    assert finding in check(other, before).findings


def test_there_is_nothing_to_recognise_below_the_noise(dry: Path, tmp_path: Path) -> None:
    place = slice(8 * RATE, 10 * RATE)
    finding = suspect("not-recognised", Span("wet", 8.2, 9.8))
    before = aligned(findings=(finding,), reasons=("place",), verdict="suspect")
    quiet = DRY.copy()
    quiet[place] *= 0.03
    hiss = noise(FRAMES, 20 * np.log10(np.sqrt(np.mean(np.square(WET)))) - 15)
    assert diagnose(before, *saved(tmp_path, quiet, device(quiet) + hiss)).verdict == "ok"
    muted = WET.copy()
    muted[place] = 0.0
    assert finding in diagnose(before, *saved(tmp_path, DRY, muted + hiss)).findings


def test_a_device_may_differ_after_a_rest(tmp_path: Path) -> None:
    """A gate that opens late leaves a note; elsewhere, the same place is a fault."""
    rest = DRY.copy()
    rest[8 * RATE : 10 * RATE] = 0.0
    late, fault = (suspect("disturbed", Span("wet", start, start + 0.03)) for start in (10.02, 14.0))
    before = aligned(findings=(late, fault), reasons=("late", "fault"), verdict="suspect")
    found = diagnose(before, *saved(tmp_path, rest, device(rest) + noise(FRAMES, -90)))
    assert found.findings == (replace(late, severity="info"), fault)
    assert found.reasons == ("fault",)


def test_a_room_is_named(check: Callable[..., Alignment]) -> None:
    t = np.arange(RATE) / RATE
    tail = 0.02 * np.random.default_rng(0).standard_normal(RATE) * np.exp(-t / 0.3)
    tail[0] = 1.0
    assert codes(check(0.5 * fftconvolve(WET, tail)[:FRAMES])) == ["room"]


def test_the_pitch_of_a_vibrato_is_not_a_wandering_clock(check: Callable[..., Alignment]) -> None:
    knots = np.arange(0.0, FRAMES, 0.1 * RATE)
    lags = 176.0 * np.sin(2 * np.pi * 0.5 * knots / RATE)
    curve = Piece(0, FRAMES, tuple(knots.tolist()), tuple(lags.tolist()))
    before = aligned(pieces=(curve,), findings=(suspect("unknown-lag", count=1, seconds=1.0),), reasons=("the clock",))
    assert codes(check(WET, before)) == ["vibrato"]


@pytest.mark.parametrize(
    "wet",
    [WET, WET + 0.01 * np.sin(2 * np.pi * 50.0 * TIME), compressed(), np.tanh(30 * DRY), np.abs(DRY)],
    ids=["clean", "hum", "compressor", "fuzz", "octave"],
)
def test_a_device_that_stays_the_same_is_not_suspected(check: Callable[..., Alignment], wet: Array) -> None:
    level = 20 * np.log10(np.sqrt(np.mean(np.square(wet))))
    for dbfs in (-90.0, level - 20.0):
        assert check(wet, dbfs=dbfs) == aligned()


def bass_notes(seed: int) -> Array:
    """Decaying notes of two pitches an octave apart, of random level and length."""
    rng = np.random.default_rng(seed)
    t, out, start = np.arange(2 * RATE) / RATE, np.zeros(FRAMES), 0
    while start < FRAMES - len(t):
        frames, pitch = int(rng.uniform(0.5, 1.9) * RATE), 65.4 * 2 ** rng.integers(0, 2)
        note = sum(np.sin(2 * np.pi * pitch * k * t) / k for k in range(1, 16)) * np.exp(-t * rng.uniform(0.5, 3))
        note = note + 0.3 * rng.standard_normal(len(t)) * np.exp(-t * 80)
        out[start : start + frames] += 10 ** rng.uniform(-0.6, 0) * note[:frames] * tukey(frames, 0.01)
        start += frames
    return np.asarray(0.5 * out / np.abs(out).max())


def test_the_decay_of_compressed_notes_is_no_echo(tmp_path: Path) -> None:
    """The gain rises while a note decays, and the note resembles itself one period before."""
    notes = bass_notes(2)
    level = lfilter([0.0006], [1, -0.9994], np.abs(notes))
    wet = np.tanh(1.5 * notes * (1 + level / 0.03) ** -0.7) + noise(FRAMES, -80)
    for name, samples in (("dry.wav", notes), ("wet.wav", wet)):
        audio.write(tmp_path / name, samples.astype(np.float32), RATE, "FLOAT")
    assert diagnose(aligned(), tmp_path / "dry.wav", tmp_path / "wet.wav") == aligned()


def test_quiet_music_is_no_bypass(tmp_path: Path) -> None:
    """A device copies quiet music nearly exactly; only its level is changed there."""
    quiet = halves(DRY, 0.05 * DRY)
    wet = np.tanh(4 * quiet) * np.where(np.arange(FRAMES) < HALF, 1.0, 0.7) + noise(FRAMES, -110)
    for name, samples in (("dry.wav", quiet), ("wet.wav", wet)):
        audio.write(tmp_path / name, samples.astype(np.float32), RATE, "FLOAT")
    found = diagnose(aligned(), tmp_path / "dry.wav", tmp_path / "wet.wav")
    assert found.verdict == "suspect"
    assert "bypassed" not in codes(found)


def test_the_tone_after_a_compressor_is_no_bypass(check: Callable[..., Alignment]) -> None:
    """A slow compressor copies the sound of every window, at a gain of its own."""
    level = lfilter([0.0003], [1, -0.9997], np.abs(DRY))
    wet = 0.3 * DRY * 0.05 / (0.05 + level)
    found = check(halves(wet, lfilter([0.3], [1, -0.7], wet)))
    assert codes(found) == ["tone-changed"]


def test_a_gate_explains_its_silence(check: Callable[..., Alignment]) -> None:
    before = aligned(
        findings=(suspect("disturbed", Span("wet", 1.0, 1.1)), suspect("noisy", share=0.2)),
        reasons=("elsewhere", "noise is louder"), verdict="suspect",
        excluded=(Excluded(RATE, 2 * RATE, "disturbed"),),
    )  # fmt: skip
    found = check(gated(), before)
    assert (codes(found), found.verdict, found.reasons, found.excluded) == (["gate"], "ok", (), ())


def test_a_tone_knob_loses_no_samples(check: Callable[..., Alignment]) -> None:
    """The phase of the device changes with its tone: the lag seems to change by a sample."""
    pieces = tuple(Piece(HALF * n, HALF * (n + 1), (0.0, float(FRAMES)), (float(n), float(n))) for n in (0, 1))
    place = SECONDS / 2 - 0.05, SECONDS / 2 + 0.05
    lost = Excluded(HALF - 500, HALF + 500, "repeated-samples")
    before = aligned(
        pieces=pieces,
        dropouts=(Dropout(*place, -1),),
        excluded=(lost,),
        findings=(suspect("repeated-samples", Span("wet", *place), samples=1),),
        reasons=("1 sample was repeated",),
        verdict="suspect",
    )
    found = check(halves(WET, lfilter([0.3], [1, -0.7], WET)), before)
    assert (codes(found), found.dropouts, found.excluded) == (["tone-changed"], (), ())
    assert len(found.pieces) == 1
    assert "repeated" not in found.reasons[0]


def test_refused_and_short_captures_are_left_alone(check: Callable[..., Alignment]) -> None:
    refused = aligned(verdict="refused")
    assert check(WET, refused) is refused
    short = aligned(track=(Window(0.0, 0.0, 1.0, 0.0), Window(2.0 * RATE, 0.0, 1.0, 0.0)))
    assert check(halves(WET, 0.5 * WET), short) == short
    assert replace(short, track=()) == check(WET, replace(short, track=()))


def closing(x: Array, seconds: float, opens: float, closes: float) -> Array:
    """A gate with hysteresis after a distortion."""
    share = 1.0 / (seconds * RATE)
    level = lfilter([share], [1, share - 1], np.abs(x))
    known = np.where(level > opens, 1.0, np.where(level < closes, 0.0, np.nan))
    last = np.maximum.accumulate(np.where(np.isnan(known), 0, np.arange(len(x))))
    return np.asarray(np.tanh(4 * x) * lfilter([0.005], [1, -0.995], np.nan_to_num(known[last])))


@pytest.mark.parametrize("thresholds", [(0.04, 0.02), (0.03, 0.03)])
def test_the_gate_of_single_notes_is_no_echo_and_no_change(tmp_path: Path, thresholds: tuple[float, float]) -> None:
    dry = np.concatenate([plucks(seed) for seed in range(3)])
    paths = tmp_path / "dry.wav", tmp_path / "wet.wav"
    for path, samples in zip(paths, (dry, closing(dry, 0.01, *thresholds)), strict=True):
        audio.write(path, (samples + noise(len(dry), -100)).astype(np.float32), RATE, "FLOAT")
    ends = Window(0.0, 0.0, 100.0, 0.0), Window(float(len(dry)), 0.0, 100.0, 0.0)
    found = diagnose(alignment(len(dry), 0.0, track=ends), *paths)
    assert (codes(found), found.verdict) == (["gate"], "ok")
