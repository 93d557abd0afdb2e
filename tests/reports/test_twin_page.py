import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.factories import RATE, music
from tests.excitation.probing import probe_samples
from twinlib.evaluation.settings import PROBE_FIGURES
from twinlib.excitation.probe_reel import probe_layout
from twinlib.listening.stimuli import ListeningExcerpt, PreparedExcerpt, prepare_excerpt
from twinlib.measurement.probe_measurements import compare_harmonics, measure_probe_reel
from twinlib.reports.probe_figures import draw_probe
from twinlib.reports.twin_page import render_twin_page

PLAN = probe_layout(16000)
METRICS = {
    "device": "amp <1>",
    "model": "small",
    "esr": 0.001,
    "esr_db": -30.0,
    "esr_dry": 0.5,
    "esr_gain": 0.4,
    "esr_linear": 0.2,
    "esr_preemphasis": 0.002,
    "mr_stft": 0.1,
    "realtime_factor": 20.0,
    "parameters": 1000,
    "receptive_field": 200,
}


@pytest.fixture(scope="module")
def measured() -> tuple[dict, dict]:
    reel = probe_samples(PLAN)
    noise = 1e-4 * np.random.default_rng(1).standard_normal(len(reel)).astype(np.float32)
    device, twin = np.tanh(2 * reel + 0.3) + noise, np.tanh(2.2 * reel + 0.3)

    def of(wet):
        return measure_probe_reel(PLAN, lambda start, stop: reel[start:stop], lambda start, stop: wet[start:stop])

    return of(device), of(twin)


@cache
def prepared() -> list[PreparedExcerpt]:
    dry = music(RATE // 2, 1)
    return [prepare_excerpt(ListeningExcerpt("half a second", RATE, dry, np.tanh(dry), np.tanh(1.01 * dry), 0.9 * dry))]


@pytest.fixture(scope="module")
def drawn(measured: tuple[dict, dict], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("probe")
    draw_probe(folder, "amp, small", *measured)
    return folder


def test_probe_figures_are_reproducible(measured: tuple[dict, dict], drawn: Path, tmp_path: Path) -> None:
    draw_probe(tmp_path, "amp, small", *measured)
    for name in PROBE_FIGURES:
        svg = (drawn / f"{name}.svg").read_bytes()
        assert svg == (tmp_path / f"{name}.svg").read_bytes()
        ET.fromstring(svg)
        assert b"#0072b2" in svg.lower(), name
        assert b"#d55e00" in svg.lower(), name
    assert {path.stem for path in drawn.iterdir()} == set(PROBE_FIGURES)


def test_twin_page_contains_all_sections_and_deviations(measured: tuple[dict, dict], drawn: Path) -> None:
    figures = {name: (drawn / f"{name}.svg").read_text() for name in PROBE_FIGURES}
    comparison = compare_harmonics(*measured)
    comparison["phase_misses"] = [{**comparison["misses"][0], "off_degrees": 33.0}]
    assert 0 < comparison["within"] < comparison["compared"]
    sines = {"sines": [{"hz": 4999.7, "level_dbfs": 0.0, "alias_db": -33.3}]}
    aliasing = {**sines, "probe": [{"hz": 4978.0, "level_dbfs": -12.0, "twin_db": -44.4, "device_db": -88.8}]}
    metrics = {**METRICS, "harmonics": comparison, "esr_floor": 1e-5, "aliasing": aliasing}
    page = render_twin_page(metrics, figures, prepared())
    assert page == render_twin_page(metrics, figures, prepared())
    headings = [
        "Harmonics",
        "Transfer curve",
        "Error and baselines",
        "Responses",
        "Null test",
        "Blind test",
        "Aliasing",
        "Speed",
    ]
    places = [page.index(f"<h2>{heading}") for heading in headings]
    assert places == sorted(places)
    assert "amp &lt;1&gt;, small" in page
    assert "amp <1>" not in page.replace("\\u003c", "")
    assert f"{comparison['within']} of {comparison['compared']} harmonics" in page
    worst = comparison["misses"][0]
    assert f"H{worst['harmonic']} of {worst['hz']:.0f} Hz at {worst['level_dbfs']:.0f} dBFS" in page
    assert "<td>+33 degrees</td>" in page
    for cell in ("5000 Hz at 0 dBFS", "-33.3 dB", "4978 Hz at -12 dBFS, probe reel", "-44.4 dB", "-88.8 dB"):
        assert f"<td>{cell}</td>" in page
    assert all(f'id="figure-{name}"' in page for name in PROBE_FIGURES)
    ids = [part.split('"')[0] for part in page.split(' id="')[1:]]
    assert len(ids) == len(set(ids)), "figures must not share ids"
    assert 'src="http' not in page
    assert "@import" not in page


def test_noise_floor_is_the_last_row_of_breakdowns() -> None:
    tracks = [{"name": f"artist {k}", "seconds": 2.0, "esr": 0.01, "esr_linear": None} for k in range(12)]
    level = {"seconds": 1.5, "esr": 0.02, "esr_linear": 0.3}
    levels = [
        {"from_dbfs": None, "to_dbfs": -96, **level, "esr": None},
        {"from_dbfs": -12, "to_dbfs": -6, **level},
        {"from_dbfs": 0, "to_dbfs": None, **level},
    ]
    metrics = {**METRICS, "by_track": tracks, "by_level": levels}
    page = render_twin_page({**metrics, "esr_floor": 2.6e-5}, {}, prepared())
    for words in ("below -96 dBFS", "-12 to -6 dBFS", "0 and above dBFS", "the 10 worst of 12", "artist 9"):
        assert words in page
    assert "artist 10" not in page
    assert page.count("0.00260 %") == 4, "in the lead, beside the baselines, and in two breakdowns"
    assert "noise floor" not in render_twin_page(metrics, {}, prepared())


def test_twin_page_without_a_probe_reel_explains_how_to_add_it() -> None:
    page = render_twin_page(METRICS, {}, prepared())
    assert page.count("probe_reel: true") == 3
    assert "limits every twin" not in page


def test_verdict_is_at_the_top_of_the_twin_page() -> None:
    takes = {"one": {"verdict": "suspect", "reasons": ["<from 1.0 to 3.5 s>"]}}
    judged = {**METRICS, "verdict": "not usable", "reasons": ["the error is high"], "takes": takes}
    page = render_twin_page(judged, {}, prepared())
    places = [page.index(words) for words in ("</h1>", "not usable", "the error is high", "take one (suspect)", "<h2>")]
    assert places == sorted(places)
    assert "&lt;from 1.0 to 3.5 s&gt;" in page
    assert "Verdict" not in render_twin_page(METRICS, {}, prepared()), "metrics of older versions"


def test_weak_and_noisy_harmonics_are_not_compared(measured: tuple[dict, dict]) -> None:
    device, twin = measured
    silent = [{**sine, "dbc": [-90.0] * len(sine["dbc"])} for sine in device["sines"]]
    none = compare_harmonics({**device, "sines": silent}, twin)
    assert (none["compared"], none["worst_db"]) == (0, None)
    noisy = [{**sine, "noise_dbc": sine["dbc"]} for sine in device["sines"]]
    assert compare_harmonics({**device, "sines": noisy}, twin)["compared"] == 0
    page = render_twin_page({**METRICS, "harmonics": none, "esr_floor": 1e-5}, {}, prepared())
    assert "has no harmonic above" in page
