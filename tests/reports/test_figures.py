import itertools
import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tests.evaluation.factories import RATE, device, music
from twinlib import plotting
from twinlib.evaluation.excerpts import ExcerptAudio
from twinlib.evaluation.statistics import TransferHistogram, WelchSpectrum
from twinlib.reports import figures


def spectra(*signals):
    found = []
    for signal in signals:
        spectrum = WelchSpectrum(1024, RATE)
        spectrum.add(signal)
        found.append(spectrum.density())
    return spectrum.frequencies, *found


def draw_all(folder):
    dry = music(20000)
    wet = device(dry)
    twin = (0.97 * wet).astype(np.float32)
    transfers = []
    for signal in (wet, twin):
        transfer = TransferHistogram(0.3, 0.5)
        transfer.add(dry, signal)
        transfers.append(transfer.quantiles())
    curve = pd.DataFrame(
        {
            "step": [0, 10, 20, 30],
            "cpu_seconds": [0.0, 1.0, 2.0, 3.0],
            "loss": [1.0, 0.1, np.nan, 0.01],
            "valid_esr": [np.nan, 0.2, np.nan, 0.02],
        }
    )
    excerpt = ExcerptAudio(dry[:160], wet[:160], twin[:160], dry[:160])
    figures.draw_waveform(folder / "waveform.svg", "silk, small", excerpt, RATE, 12.5)
    figures.draw_spectrum(folder / "spectrum.svg", "silk, small", *spectra(wet, twin, twin - wet))
    figures.draw_transfer(folder / "transfer.svg", "silk, small", *transfers)
    figures.draw_learning(folder / "learning.svg", "silk, small", curve)
    figures.draw_baselines(folder / "esr.svg", "silk, small", METRICS, floor=1e-4)
    figures.draw_over_time(folder / "esr_over_time.svg", "silk, small", METRICS, floor=1e-4)


METRICS = {
    "esr": 0.001,
    "esr_dry": 0.2,
    "esr_gain": 0.1,
    "esr_linear": 0.02,
    "esr_over_time": {"seconds": 2.0, "esr": [0.001, None, 0.0, 0.002], "esr_linear": [0.02, None, 0.01, 0.03]},
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folders = [tmp_path_factory.mktemp("figures") for _ in range(2)]
    for folder in folders:
        draw_all(folder)
    return folders


CLIP_NAMES = ["esr.svg", "esr_over_time.svg", "learning.svg", "spectrum.svg", "transfer.svg", "waveform.svg"]


def test_equal_numbers_give_equal_bytes(folders):
    assert sorted(path.name for path in folders[0].iterdir()) == CLIP_NAMES
    for name in CLIP_NAMES:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


@pytest.mark.parametrize("name", CLIP_NAMES)
def test_figures_are_valid_svg_without_a_date(folders, name):
    text = (folders[0] / name).read_text()
    assert ET.fromstring(text).tag.endswith("svg")
    assert "dc:date" not in text
    assert "<image" not in text
    assert len(text) < 300_000


@pytest.mark.parametrize("name", ["esr.svg", "spectrum.svg", "transfer.svg", "waveform.svg"])
def test_figures_use_the_colours_of_device_and_twin(folders, name):
    text = (folders[0] / name).read_text().lower()
    assert plotting.DEVICE.lower() in text
    assert plotting.TWIN.lower() in text


def test_learning_curve_without_validation(tmp_path):
    curve = pd.DataFrame({"step": [0], "cpu_seconds": [0.0], "loss": [0.5], "valid_esr": [np.nan]})
    figures.draw_learning(tmp_path / "learning.svg", "silk, small", curve)
    assert (tmp_path / "learning.svg").stat().st_size > 0


def test_figures_of_silence(tmp_path):
    silence = np.zeros(2048, np.float32)
    figures.draw_spectrum(tmp_path / "spectrum.svg", "nothing", *spectra(silence, silence, silence))
    quantiles = TransferHistogram(0.0, 0.0).quantiles()
    figures.draw_transfer(tmp_path / "transfer.svg", "nothing", quantiles, quantiles)
    excerpt = ExcerptAudio(silence, silence, silence, silence)
    figures.draw_waveform(tmp_path / "waveform.svg", "nothing", excerpt, RATE, 0.0)


def test_smoothing_keeps_a_flat_spectrum_flat():
    frequencies = np.arange(513) * (RATE / 1024)
    centres = figures._octave_centres(RATE / 2)
    assert centres[0] == 20.0
    assert figures._smooth(frequencies, np.full(513, 0.3), centres) == pytest.approx(
        np.full(len(centres), 0.3), rel=1e-6
    )


def test_known_noise_floor_is_drawn(tmp_path):
    for draw in (figures.draw_baselines, figures.draw_over_time):
        for name, floor in (("with", 1e-4), ("without", None)):
            draw(tmp_path / name, "silk, small", METRICS, floor)
        assert plotting.DEVICE.lower() in (tmp_path / "with").read_text().lower()
        assert plotting.DEVICE.lower() not in (tmp_path / "without").read_text().lower()
    twins = [("silk", "small", 0.001, 10.0), ("silk", "large", 0.0005, 5.0), ("klon", "small", 0.002, 10.0)]
    lines = [figures.draw_comparison(twins, floors).count("stroke-dasharray: 1,1.5") for floors in ({}, {"klon": 1e-6})]
    assert lines[1] > lines[0]


DEVICES = {"silk": 1.0, "klon": 1.1, "transformer": 1.5}
"""Devices with similar errors."""


@pytest.fixture
def drawn_figures(monkeypatch):
    """The figures that are drawn in a test."""
    figures_drawn = []
    save = plotting._save_svg
    monkeypatch.setattr(plotting, "_save_svg", lambda figure, path: [figures_drawn.append(figure), save(figure, path)])
    return figures_drawn


def texts_overlap(figure):
    """Whether two texts of a figure overlap: tick labels, labels of points and bars, and the legend."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    (axes,) = figure.axes
    shown = [axes.xaxis.label, axes.yaxis.label, *axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels()]
    boxes = [text.get_window_extent(renderer) for text in shown if text.get_text()]
    boxes += [legend.get_window_extent(renderer) for legend in figure.legends]
    return [(a, b) for a, b in itertools.combinations(boxes, 2) if a.overlaps(b)]


@pytest.mark.parametrize("floor", [3e-5, 1e-9, 1e-12])
def test_labels_do_not_overprint_with_any_floor(tmp_path, drawn_figures, floor):
    figures.draw_baselines(tmp_path / "esr.svg", "silk, small", METRICS, floor)
    figures.draw_over_time(tmp_path / "esr_over_time.svg", "silk, small", METRICS, floor)
    models = [("small", 0.001, 100.0), ("nam-standard", 0.00105, 99.0), ("large", 0.0005, 50.0)]
    twins = [(device, model, scale * esr, speed) for device, scale in DEVICES.items() for model, esr, speed in models]
    figures.draw_comparison(twins, {"silk": floor, "klon": 1.05 * floor})
    assert [texts_overlap(figure) for figure in drawn_figures] == [[], [], []]
    for figure in drawn_figures:
        axes = figure.axes[0]
        assert len(axes.get_xticks()) >= 2
        assert len(axes.get_yticks()) >= 2


def test_figures_of_a_perfect_twin(tmp_path):
    track = {"seconds": 1.0, "esr": [0.0], "esr_linear": [0.0]}
    perfect = {"esr": 0.0, "esr_dry": 0.0, "esr_gain": 0.0, "esr_linear": 0.0, "esr_over_time": track}
    figures.draw_baselines(tmp_path / "esr.svg", "wire", perfect, floor=0.0)
    figures.draw_over_time(tmp_path / "esr_over_time.svg", "wire", perfect, floor=0.0)
    assert "<svg" in figures.draw_comparison([("wire", "small", 0.0, 10.0)], {"wire": 0.0})


def test_devices_have_distinct_markers():
    twins = [(f"device {k}", "small", 0.001 * (k + 1), 10.0) for k in range(12)]
    text = figures.draw_comparison(twins)
    assert text == figures.draw_comparison(twins)
    assert len(text) < 300_000
    # Markers and colours combine to 77 styles.
    assert len({(figures._MARKERS[k % 11], plotting.PALETTE[k % 7]) for k in range(12)}) == 12
