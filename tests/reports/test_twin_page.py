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
from twinlib.reports import probe_figures
from twinlib.reports.passport import Origin, passport_rows
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
ORIGIN = Origin(
    card={"make": "Acme & Sons", "serial": "0042", "date": "2026-05-01", "input_level_dbu": 4.0},
    knobs={"drive": 7},
    dataset={
        "digest": "8d2610303c7d3b39",
        "splits": {split: {"seconds": seconds} for split, seconds in (("train", 90.0), ("valid", 8.0), ("test", 7.0))},
        "excluded": {"all": {"seconds": 11.0}},
        "licences": {"CC0-1.0": {"seconds": 4000.0}, "": {"seconds": 5.0}},
    },
    trained={
        "params": {"settings": '{"steps": 60, "cpu_seconds": null, "seed": 3, "seeds": 1, "warm_start": null}'},
        "started": "2026-12-01T11:37:03+00:00",
        "git": {"commit": "dcf1002a9e3ffbb78b0b98df2cf3705eff420c30", "dirty": True},
        "link": "32d390346f9833c3",
    },
)


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
    page = render_twin_page(metrics, ORIGIN, figures, prepared())
    assert page == render_twin_page(metrics, ORIGIN, figures, prepared())
    headings = [
        "Passport",
        "Listening",
        "Device, twin",
        "Can you distinguish",
        "Harmonics",
        "Transfer curve",
        "Error and baselines",
        "Responses",
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
    page = render_twin_page({**metrics, "esr_floor": 2.6e-5}, ORIGIN, {}, prepared())
    for words in ("below -96 dBFS", "-12 to -6 dBFS", "0 and above dBFS", "the 10 worst of 12", "artist 9"):
        assert words in page
    assert "artist 10" not in page
    assert page.count("0.00260 %") == 4, "in the lead, beside the baselines, and in two breakdowns"
    assert "noise floor" not in render_twin_page(metrics, ORIGIN, {}, prepared())


def test_twin_page_without_a_probe_reel_explains_how_to_add_it() -> None:
    page = render_twin_page(METRICS, ORIGIN, {}, prepared())
    assert page.count("probe_reel: true") == 3
    assert "limits every twin" not in page


def test_passport_names_device_dataset_training_and_files() -> None:
    takes = {"one": {"verdict": "ok", "reasons": []}, "two": {"verdict": "suspect", "reasons": ["hum"]}}
    rows = dict(passport_rows({**METRICS, "sample_rate": 44100, "takes": takes}, ORIGIN))
    assert rows == {
        "device": "Acme & Sons, serial 0042",
        "settings": "drive 7",
        "recorded": "2026-05-01",
        "levels at 0 dBFS": "input +4 dBu",
        "dataset": "1.5 min training, 8.0 s validation, 7.0 s test, 11.0 s excluded; digest 8d2610303c7d",
        "licences of the music": "CC0-1.0 (1.11 h), not specified (5.0 s)",
        "takes": "two (suspect), one (ok)",
        "network": "small: 1000 parameters, receptive field 200 samples (5 ms)",
        "training": "60 steps, seed 3, 2026-12-01",
        "version": "commit dcf1002a9e3f with uncommitted changes, chain hash 32d390346f98",
    }
    many = {f"take-{k:02d}": {"verdict": "ok"} for k in range(20)} | {"last": {"verdict": "refused"}}
    named = dict(passport_rows({**METRICS, "takes": many}, ORIGIN))["takes"]
    assert named.startswith("last (refused), take-00 (ok)")
    assert named.endswith("9 more")
    page = render_twin_page({**METRICS, "device": "my amp #1"}, ORIGIN, {}, prepared())
    for address in ("../twin.nam", "../twin.onnx", "listening.html", "../../../../comparison.html"):
        assert f'<a href="{address}">' in page
    assert "../../../../devices/my%20amp%20%231/takes.html" in page
    assert "Acme &amp; Sons" in page


def test_verdict_is_at_the_top_of_the_twin_page() -> None:
    takes = {"one": {"verdict": "suspect", "reasons": ["<from 1.0 to 3.5 s>"]}}
    judged = {**METRICS, "verdict": "not usable", "reasons": ["the error is high"], "takes": takes}
    page = render_twin_page(judged, ORIGIN, {}, prepared())
    order = ("</h1>", "not usable", "the error is high", "take one (suspect)", "<h2>Passport")
    places = [page.index(words) for words in order]
    assert places == sorted(places)
    assert "&lt;from 1.0 to 3.5 s&gt;" in page
    assert "Verdict:" not in render_twin_page(METRICS, ORIGIN, {}, prepared()), "metrics of older versions"


def test_weak_and_noisy_harmonics_are_not_compared(measured: tuple[dict, dict]) -> None:
    device, twin = measured
    silent = [{**sine, "dbc": [-90.0] * len(sine["dbc"])} for sine in device["sines"]]
    none = compare_harmonics({**device, "sines": silent}, twin)
    assert (none["compared"], none["worst_db"]) == (0, None)
    noisy = [{**sine, "noise_dbc": sine["dbc"]} for sine in device["sines"]]
    assert compare_harmonics({**device, "sines": noisy}, twin)["compared"] == 0
    page = render_twin_page({**METRICS, "harmonics": none, "esr_floor": 1e-5}, ORIGIN, {}, prepared())
    assert "has no harmonic above" in page


def test_harmonics_that_are_too_weak_get_no_panel(measured: tuple[dict, dict], tmp_path: Path) -> None:
    device, twin = measured
    for weak in ((2, 4), (2, 3, 4, 5)):
        sines = [
            {**sine, "dbc": [-120.0 if order in weak else level for order, level in enumerate(sine["dbc"], 2)]}
            for sine in device["sines"]
        ]
        probe_figures._harmonics(tmp_path / "harmonics.svg", "amp", {**device, "sines": sines}, twin)
        text = (tmp_path / "harmonics.svg").read_text()
        assert f"too weak to measure: {', '.join(f'H{order}' for order in weak)})" in text
        assert ("<!-- H3 -->" in text) == (3 not in weak)
        assert ("<!-- H2 -->" in text) == (3 in weak), "one empty panel at least"
