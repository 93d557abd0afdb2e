from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinlib import audio
from twinlib.alignment.align import Alignment, align
from twinlib.alignment.clicks import ClickLine, anchored, click_line
from twinlib.alignment.line import Fit, Line, fit_line
from twinlib.alignment.signals import Channel
from twinlib.alignment.track import Measured, Track, agreeing
from twinlib.audio import Reader
from twinlib.capture.circuits import process_stream
from twinlib.capture.settings import DiodeClipper

from .conftest import CLICK, RATE, Array, Write, click, device, noise, reel, warped

SPAN = 5_000_000


def clipper(x: Array) -> Array:
    """A device whose phase changes with the programme: windows scatter by some hundredths of a sample."""
    return np.concatenate(list(process_stream(DiodeClipper(), RATE, [x.astype(np.float32)]))).astype(float)


def track(rng: np.random.Generator, line: Line, scatter: float, count: int = 120) -> Track:
    """A programme's track about its fitted line, the windows scattered about `line`."""
    position = np.linspace(0.02, 0.98, count) * SPAN
    lag = np.array([line.at(p) for p in position]) + scatter * rng.standard_normal(count)
    fit = fit_line(position, lag, np.ones(count))
    residual = lag - np.array([fit.line.at(p) for p in position])
    return Track(fit, Measured(position, residual, np.ones(count), np.ones(count)), 0.0, 1)


def test_reels_of_one_device_get_the_drift_and_one_constant(write: Write) -> None:
    biases = []
    for seed, lag in ((0, 5000.3), (1, 9000.8)):
        dry, clicks = reel(10.0, seed)
        wet = -warped(clipper(dry), lag, 12.0)
        wet += noise(len(wet), -80, seed)
        found = align(write("dry.wav", dry), write("wet.wav", wet), clicks=clicks)
        assert found.verdict == "ok", found.reasons
        assert found.drift_ppm == pytest.approx(12.0, abs=5e-4)
        assert found.drift_error_ppm is not None
        assert abs(found.drift_ppm - 12.0) < 4.0 * found.drift_error_ppm
        residual = np.array([window.residual for window in found.track if window.weight > 0])
        assert np.median(residual) == pytest.approx(0.0, abs=0.01)
        assert found.residual_rms_samples is not None
        assert found.residual_rms_samples > 0.005, "the device was to scatter"
        biases.append(found.lag_samples - lag)
    assert biases[0] == pytest.approx(biases[1], abs=1e-3)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Array, list[int]]:
    dry, clicks = reel(8.0, seed=2)
    path = tmp_path_factory.mktemp("dry") / "reel.wav"
    audio.write(path, dry.astype(np.float32), RATE, "FLOAT")
    return path, warped(device(dry), 3000.4, 7.0), clicks


class TestOneClickChanged:
    """The programme is a witness against clicks that do not tell the clock."""

    def aligned(self, both: tuple[Path, Array, list[int]], write: Write, wet: Array) -> Alignment:
        return align(both[0], write("wet.wav", wet + noise(len(wet), -75)), clicks=both[2])

    @pytest.mark.parametrize("late", [1, -1, 5])
    def test_moved(self, both, write: Write, late: int) -> None:
        wet = both[1].copy()
        around = slice(3000 + both[2][1] - 2000, 3000 + both[2][1] + 4000)
        wet[around] = np.roll(wet[around], late)
        assert self.aligned(both, write, wet).drift_ppm == pytest.approx(7.0, abs=0.02)

    def test_half_of_it_muted_or_loudly_disturbed(self, both, write: Write) -> None:
        start = 3000 + both[2][1]
        for part in (np.zeros(CLICK // 2), noise(CLICK // 2, -6)):
            wet = both[1].copy()
            wet[start : start + len(part)] = part
            found = self.aligned(both, write, wet)
            assert found.drift_ppm == pytest.approx(7.0, abs=0.02)


def test_the_claimed_error_is_that_of_the_noise(write: Write) -> None:
    gap = 20 * CLICK
    dry = np.zeros(gap + 3 * gap)
    places = (gap, 3 * gap)
    for place in places:
        dry[place : place + CLICK] = click()
    path, drifts, claims = write("dry.wav", dry), [], []
    for seed in range(40):
        wet = write("wet.wav", np.roll(dry, 3) + noise(len(dry), -25, seed))
        with Reader(path) as reader, Reader(wet) as other:
            channels = (Channel(one, 0, 0, len(dry)) for one in (reader, other))
            found = click_line(*channels, places, Line(3.3, 0.0), 1, RATE)
        assert found is not None
        drifts.append(found.line.drift_ppm)
        claims.append(found.drift_error_ppm)
    assert 0.7 < np.mean(claims) / np.sqrt(np.mean(np.square(drifts))) < 1.5


def test_a_click_that_is_not_there_gives_no_line(write: Write) -> None:
    dry = np.zeros(40 * CLICK)
    dry[10 * CLICK : 11 * CLICK] = click()
    path = write("dry.wav", dry)
    with Reader(path) as reader:
        channel = Channel(reader, 0, 0, len(dry))
        assert click_line(channel, channel, (10 * CLICK, 30 * CLICK), Line(0.0, 0.0), 1, RATE) is None
        assert click_line(channel, channel, (10 * CLICK, 10 * CLICK + 900_000), Line(0.0, 0.0), 1, RATE) is None


@settings(deadline=None, derandomize=True)
@given(
    lag=st.floats(-1e4, 1e4),
    drift=st.floats(-100, 100),
    bias=st.floats(-2, 2),
    scatter=st.floats(1e-4, 0.15),
    error=st.floats(1e-5, 0.015),
    seed=st.integers(0, 1000),
)
def test_the_surer_of_the_two_drifts_decides(lag, drift, bias, scatter, error, seed) -> None:
    rng = np.random.default_rng(seed)
    programme = track(rng, Line(lag, drift), scatter)
    click = Line(lag + bias, drift + error / SPAN * 1e6 * float(np.clip(rng.standard_normal(), -2, 2)))
    clicks = ClickLine(click, (0, SPAN), error)
    found = anchored(programme, clicks)
    assert found is not None
    errors = sorted((programme.fit.drift_error_ppm, clicks.drift_error_ppm))
    assert found.fit.drift_error_ppm <= errors[0]
    low, high = sorted((programme.fit.line.drift_ppm, click.drift_ppm))
    assert low - 1e-9 <= found.fit.line.drift_ppm <= high + 1e-9
    surer = programme.fit.line if errors[0] == programme.fit.drift_error_ppm else click
    assert abs(found.fit.line.drift_ppm - surer.drift_ppm) <= (high - low) / 2 + 1e-9
    # The constant is the clicks' and the windows lose theirs.
    assert found.fit.line.at(SPAN / 2) == pytest.approx(click.at(SPAN / 2), abs=1e-6)
    fits = agreeing(programme.measured)
    assert np.median(found.measured.residual[fits]) == pytest.approx(0.0, abs=1e-9)
    before = np.array([programme.fit.line.at(p) for p in programme.measured.position]) + programme.measured.residual
    after = np.array([found.fit.line.at(p) for p in found.measured.position]) + found.measured.residual
    assert np.ptp(before - after) < 1e-6


@settings(deadline=None, derandomize=True)
@given(scatter=st.floats(0, 0.15), seed=st.integers(0, 1000), sign=st.sampled_from([1, -1]))
def test_what_the_programme_denies_is_not_believed(scatter: float, seed: int, sign: int) -> None:
    programme = track(np.random.default_rng(seed), Line(100.0, 5.0), scatter)
    allowed = 6.0 * (programme.fit.drift_error_ppm + (scatter + 0.003) / SPAN * 1e6)
    wrong = ClickLine(Line(100.0, 5.0 + sign * (allowed + 1e-3) * 1.5), (0, SPAN), 1e-4)
    assert anchored(programme, wrong) is None
    assert anchored(programme, ClickLine(Line(120.0, 5.0), (0, SPAN), 1e-4)) is None
    assert anchored(programme, ClickLine(Line(100.0, 5.0), (0, SPAN), 3.0)) is None
    few = Track(Fit(Line(100.0, 5.0), np.inf), programme.measured, 0.0, 1)
    assert anchored(few, ClickLine(Line(100.0, 5.0), (0, SPAN), 1e-4)) is None
