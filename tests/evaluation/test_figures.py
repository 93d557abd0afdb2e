import xml.etree.ElementTree as ET

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.material import RATE, device, music
from twinlib.evaluation import figures
from twinlib.evaluation.statistics import Spectrum, Transfer


def spectra(*signals):
    found = []
    for signal in signals:
        spectrum = Spectrum(1024, RATE)
        spectrum.add(signal)
        found.append(spectrum.density())
    return spectrum.frequencies, *found


def draw_all(folder):
    dry = music(20000)
    wet = device(dry)
    twin = (0.97 * wet).astype(np.float32)
    transfers = []
    for signal in (wet, twin):
        transfer = Transfer(0.3, 0.5)
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
    figures.draw_waveform(folder / "waveform.svg", "silk, small", dry[:160], wet[:160], twin[:160], RATE, 12.5)
    figures.draw_spectrum(folder / "spectrum.svg", "silk, small", *spectra(wet, twin, twin - wet))
    figures.draw_transfer(folder / "transfer.svg", "silk, small", *transfers)
    figures.draw_learning(folder / "learning.svg", "silk, small", curve)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folders = [tmp_path_factory.mktemp("figures") for _ in range(2)]
    for folder in folders:
        draw_all(folder)
    return folders


NAMES = ["learning.svg", "spectrum.svg", "transfer.svg", "waveform.svg"]


def test_equal_numbers_give_equal_bytes(folders):
    assert sorted(path.name for path in folders[0].iterdir()) == NAMES
    for name in NAMES:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_plain_and_without_a_date(folders, name):
    text = (folders[0] / name).read_text()
    assert ET.fromstring(text).tag.endswith("svg")
    assert "dc:date" not in text
    assert "<image" not in text
    assert len(text) < 300_000


@pytest.mark.parametrize("name", ["spectrum.svg", "transfer.svg", "waveform.svg"])
def test_device_and_twin_have_their_colours_everywhere(folders, name):
    text = (folders[0] / name).read_text().lower()
    assert figures.DEVICE.lower() in text
    assert figures.TWIN.lower() in text


def test_a_learning_curve_without_validation_can_be_drawn(tmp_path):
    curve = pd.DataFrame({"step": [0], "cpu_seconds": [0.0], "loss": [0.5], "valid_esr": [np.nan]})
    figures.draw_learning(tmp_path / "learning.svg", "silk, small", curve)
    assert (tmp_path / "learning.svg").stat().st_size > 0


def test_silence_can_be_drawn(tmp_path):
    silence = np.zeros(2048, np.float32)
    figures.draw_spectrum(tmp_path / "spectrum.svg", "nothing", *spectra(silence, silence, silence))
    quantiles = Transfer(0.0, 0.0).quantiles()
    figures.draw_transfer(tmp_path / "transfer.svg", "nothing", quantiles, quantiles)
    figures.draw_waveform(tmp_path / "waveform.svg", "nothing", silence, silence, silence, RATE, 0.0)


def test_smoothing_keeps_a_flat_spectrum_flat():
    frequencies = np.arange(513) * (RATE / 1024)
    centres = figures._sixths(RATE / 2)
    assert centres[0] == 20.0
    assert figures._smooth(frequencies, np.full(513, 0.3), centres) == pytest.approx(
        np.full(len(centres), 0.3), rel=1e-6
    )
