"""The names of `import twinlib`: the examples of their docstrings, arrays and files, errors."""

import doctest
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import twinlib
from tests.model.factories import make_twin
from tests.workflow.project import noise
from twinlib import api, audio, model
from twinlib.errors import AlignmentError, AudioError, DatasetError
from twinlib.model import PRESETS

RATE = 44100


@pytest.fixture
def twin_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A twin in the results below the working directory."""
    monkeypatch.chdir(tmp_path)
    path = Path("results", "twins", "silk", "small", "twin.safetensors")
    make_twin(PRESETS["small"]).save(path)
    return path


@pytest.mark.slow
def test_the_examples_of_the_docstrings(twin_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = doctest.testmod(api, optionflags=doctest.ELLIPSIS)
    assert found.failed == 0, capsys.readouterr().out
    documented = [name for name in twinlib.__all__ if name != "__version__" and ">>>" in getattr(twinlib, name).__doc__]
    assert set(documented) == set(twinlib.__all__) - {"__version__", "Twin"}
    assert ">>>" in (twinlib.Twin.render.__doc__ or "")


@pytest.mark.parametrize("rate", [RATE, 48000])
@pytest.mark.parametrize("shape", [(3000,), (70_001, 2)])
def test_arrays_are_rendered_like_files(twin_file: Path, rate: int, shape: tuple[int, ...]) -> None:
    samples = (0.2 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)
    twin = twinlib.load_twin(twin_file)
    audio.write(Path("dry.wav"), samples, rate, "FLOAT")
    model.render_file(twin, Path("dry.wav"), Path("wet.wav"))
    assert np.array_equal(twin.render(samples, rate), audio.read(Path("wet.wav")).reshape(shape))


def test_rendering_refuses_what_is_no_signal(twin_file: Path) -> None:
    twin = twinlib.load_twin(twin_file.parent)
    assert twin.render([], RATE).shape == (0,)
    for samples, message in (
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)"),
        (np.zeros((5, 0)), r"shape \(5, 0\)"),
        (0.0, r"shape \(\)"),
        ([0.0] * 44 + [np.nan], r"sample 44 \(0\.00 s\)"),
        (np.full(3, 1e300), "sample 0"),
    ):
        with pytest.raises(AudioError, match=message):
            twin.render(samples, RATE)
    with pytest.raises(AudioError, match="0 Hz"):
        twin.render(np.zeros(5), 0)


def test_files_and_arrays_align_alike(tmp_path: Path) -> None:
    dry = noise(2.0, 1)
    wet = np.tanh(2 * np.concatenate([np.zeros(50, np.float32), dry]))
    for name, samples in (("dry", dry), ("wet", wet)):
        audio.write(tmp_path / f"{name}.wav", samples, RATE, "FLOAT")
    found = twinlib.align(tmp_path / "dry.wav", str(tmp_path / "wet.wav"))
    assert found == twinlib.align(dry, wet, RATE) == twinlib.align(dry, tmp_path / "wet.wav", RATE)
    assert np.array_equal(twinlib.warp(tmp_path / "wet.wav", found), twinlib.warp(wet, found))


def test_signals_without_a_rate_or_with_channels_are_refused() -> None:
    with pytest.raises(AudioError, match="the dry signal is an array: give its sample_rate"):
        twinlib.align(np.zeros(10), np.zeros(10))
    with pytest.raises(AudioError, match=r"the wet signal has the shape \(10, 2\)"):
        twinlib.align(np.zeros(10), np.zeros((10, 2)), RATE)


def test_signals_that_do_not_match_are_refused() -> None:
    dry, wet = noise(2.0, 1), noise(2.0, 2)
    found = twinlib.align(dry, wet, RATE)
    assert found.verdict == "refused"
    with pytest.raises(AlignmentError, match="cannot be aligned"):
        twinlib.warp(wet, found)
    with pytest.raises(DatasetError, match="cannot be aligned"):
        twinlib.train(dry, wet, RATE, steps=1)


def test_harmonics_of_a_polynomial() -> None:
    """X + a x^2 + b x^3 of a sine of amplitude A: the levels of its harmonics, Chebyshev."""
    a, b, amplitude = 0.2, 0.1, 0.5
    found = twinlib.harmonics(lambda x: x + a * x**2 + b * x**3, RATE, hz=700, level_dbfs=20 * np.log10(amplitude))
    first = amplitude + 0.75 * b * amplitude**3
    expected = 20 * np.log10(np.array([a * amplitude**2 / 2, b * amplitude**3 / 4]) / first)
    np.testing.assert_allclose(found.dbc[:2], expected, atol=0.01)
    assert abs(found.hz - 700) <= 2 * RATE / 16384


REPOSITORY = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def notebook_cells(path: Path) -> list[str]:
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["nbformat"] == 4
    cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)
    return ["".join(cell["source"]) for cell in cells]


@pytest.mark.slow
def test_the_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for cell in notebook_cells(REPOSITORY / "docs" / "notebooks" / "two_arrays_to_a_twin.ipynb"):
        exec(cell, names)
    played, truth = names["played"], names["truth"]
    assert np.sum((played - truth) ** 2) / np.sum(truth**2) < 0.1 * names["metrics"]["esr_linear"]
    assert twinlib.load_twin("twin.safetensors").weights.keys() == names["twin"].weights.keys()
    assert Path("twin.nam").is_file()


@pytest.mark.slow
def test_the_how_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    dry = noise(6.0, 1)
    for name, samples in (("dry", dry), ("wet", np.tanh(2 * dry)), ("music", noise(1.0, 2))):
        audio.write(Path(f"{name}.wav"), samples, RATE, "FLOAT")
    text = (REPOSITORY / "docs" / "how-to" / "python.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for block in BLOCK.findall(text):
        exec(block.replace("minutes=5", "steps=5"), names)
    assert [array.shape for array in names["crops"].batch(0)] == [(4, 3071), (4, 1024)]
    assert set(re.findall(r"^\| `(?:Twin\.)?(\w+)", text, re.MULTILINE)) == {
        *(set(twinlib.__all__) - {"__version__", "Twin"}),
        "render",
    }
