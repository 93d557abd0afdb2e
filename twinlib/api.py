"""The names of `import twinlib`: align, train, play and judge twins from arrays or sound files.

A signal is a one-dimensional array with its `sample_rate` in Hz, or the path of a sound file, of which the first
channel counts.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from twinlib import alignment, dataset, evaluation, measurement, model, training
from twinlib.alignment import Alignment
from twinlib.audio import Signal, write
from twinlib.contracts import TWIN_FILE
from twinlib.errors import AudioError
from twinlib.kernels import is_enabled
from twinlib.version import library_version

__version__ = library_version()

Sound: TypeAlias = npt.ArrayLike | str | PathLike[str]
"""Samples `(n,)`, or the path of a sound file."""


@dataclass(frozen=True)
class Twin(model.Twin):
    """A trained model of one device at one setting, with its network, its weights and its origin.

    `load_twin` and `train` return twins; `save` writes one.
    """

    def render(self, dry: npt.ArrayLike, sample_rate: int) -> Signal:
        """Play samples `(n,)` or `(n, channels)` through the twin; return float32 of the same shape and timing.

        Channels are independent. A `sample_rate` other than the twin's is resampled. Raises `AudioError` if the array
        has another shape or holds NaN or Inf.

        >>> import numpy as np, twinlib
        >>> twin = twinlib.load_twin("results/twins/silk/small")
        >>> twin.render(np.zeros((48000, 2)), 48000).shape
        (48000, 2)
        """
        return model.render_array(self, dry, sample_rate)


def load_twin(path: str | PathLike[str]) -> Twin:
    """Read a twin from a `twin.safetensors` or its folder; nothing is unpickled. Raises `ModelError`.

    >>> import twinlib
    >>> twinlib.load_twin("results/twins/silk/small").sample_rate
    44100
    """
    return _playable(model.load_twin(Path(path)))


def export_twin(twin: model.Twin, path: str | PathLike[str]) -> None:
    """Write a twin as `.nam` (Neural Amp Modeler) or `.onnx` (ONNX Runtime; needs the extra `export`).

    Raises `ModelError` for another suffix or a missing package.

    >>> import twinlib
    >>> twinlib.export_twin(twinlib.load_twin("results/twins/silk/small"), "twin.nam")
    """
    model.check_export_path(Path(path))
    model.export_twin(twin, Path(path))


def align(dry: Sound, wet: Sound, sample_rate: int | None = None) -> Alignment:
    """Measure lag, drift, polarity, gain and faults of a wet signal against its dry signal.

    Returns an `Alignment` with a `verdict` (ok, suspect, refused), its `reasons` and the lag in samples at the dry
    rate. Raises `AudioError` for unreadable files and for arrays without a sample rate.

    >>> import numpy as np, twinlib
    >>> dry = 0.1 * np.random.default_rng(0).standard_normal(88200)
    >>> wet = np.tanh(3 * np.concatenate([np.zeros(100), dry]))
    >>> found = twinlib.align(dry, wet, 44100)
    >>> found.verdict, round(found.lag_samples)
    ('ok', 100)
    """
    with _files(sample_rate, dry=dry, wet=wet) as (dry_path, wet_path):
        return alignment.align(dry_path, wet_path)


def warp(wet: Sound, found: Alignment) -> Signal:
    """Return the wet signal on the clock of the dry signal, float32 `(dry frames,)`; zero where there is none.

    Samples of an array are at the rate of the aligned wet signal. Raises `AlignmentError` if the alignment is refused
    or belongs to another signal.

    >>> import numpy as np, twinlib
    >>> dry = 0.1 * np.random.default_rng(0).standard_normal(88200)
    >>> wet = np.tanh(3 * np.concatenate([np.zeros(100), dry]))
    >>> aligned = twinlib.warp(wet, twinlib.align(dry, wet, 44100))
    >>> bool(np.allclose(aligned, np.tanh(3 * dry), atol=1e-3))
    True
    """
    with (
        _files(found.wet_sample_rate, wet=wet) as (path,),
        alignment.WarpedReader(path, replace(found, guard_samples=0)) as reader,
    ):
        return reader.read(0, found.dry_frames)


def train(
    dry: Sound,
    wet: Sound,
    sample_rate: int | None = None,
    *,
    preset: str = "small",
    minutes: float = 5.0,
    steps: int | None = None,
    seed: int = 0,
    folder: str | PathLike[str] | None = None,
) -> Twin:
    """Train a twin on one pair of signals; return it, with its `valid_esr` in `metadata`.

    The signals are aligned, and divided into blocks for training (80 %), validation and test. The budget is `minutes`
    of CPU time, or `steps`, which give the same twin again. `preset` is one of `twinlib.model.PRESETS`. `folder` keeps
    `twin.safetensors`, the dataset (`load_dataset`) and checkpoints, from which the same call goes on; by default
    nothing is kept. For records of every step, evaluation and pages, use `twin train` on the command line.

    Raises `DatasetError` if the signals do not match or are too short, and `ConfigError` for an unknown preset.

    >>> import numpy as np, twinlib
    >>> dry = 0.1 * np.random.default_rng(0).standard_normal(441000)
    >>> twin = twinlib.train(dry, np.tanh(3 * dry), 44100, preset="nam-nano", steps=20)
    >>> twin.sample_rate, twin.metadata["step"]
    (44100, 20)
    """
    with TemporaryDirectory() as temporary, _files(sample_rate, dry=dry, wet=wet) as (dry_path, wet_path):
        kept = Path(temporary if folder is None else folder)
        recipe = {"steps": steps} if steps is not None else {"cpu_seconds": 60 * minutes}
        settings = training.Training.model_validate({"seed": seed, **recipe})
        architecture = model.Architecture.model_validate({"preset": preset})
        data = dataset.build_pair_dataset(dry_path, wet_path, kept / "dataset")
        found = training.run_training(
            training.TrainingRun(
                device="device",
                model=preset,
                architecture=architecture,
                settings=settings,
                warm_start=None,
                segments=data.folder / "segments.parquet",
                dataset=data.folder / "dataset.json",
                shards=[data.folder / "shards" / "pair.arrow"],
                checkpoints=kept / "checkpoints",
                identity=training.training_identity(f"twinlib-{__version__}", is_enabled()),
            )
        )
        if folder is not None:
            found.twin.save(kept / TWIN_FILE)
    return _playable(found.twin)


def evaluate(twin: model.Twin, dry: Sound, wet: Sound, sample_rate: int | None = None) -> dict[str, Any]:
    """Return the errors of a twin on a pair of signals, which are aligned first, and the verdict.

    `esr` is the error-to-signal ratio; `esr_dry`, `esr_gain` and `esr_linear` are those of the dry signal, of the best
    gain and of the best linear filter. Raises `AlignmentError`, `DatasetError` or `ModelError` if the signals do not
    match, are too short or have another sample rate.

    >>> import numpy as np, twinlib
    >>> twin = twinlib.load_twin("results/twins/silk/small")
    >>> dry = 0.1 * np.random.default_rng(1).standard_normal(132300)
    >>> metrics = twinlib.evaluate(twin, dry, twin.render(dry, 44100), 44100)
    >>> metrics["esr"] < 1e-6
    True
    """
    with _files(sample_rate, dry=dry, wet=wet) as (dry_path, wet_path):
        return evaluation.evaluate_files(twin, dry_path, wet_path)[0]


def harmonics(
    device: model.Twin | Callable[[Signal], Signal], sample_rate: int, hz: float = 1000.0, level_dbfs: float = -12.0
) -> measurement.SineResponse:
    """Measure the harmonics of a twin, or of any function from samples `(n,)` to as many, for a steady sine.

    `hz` is moved by at most two periods in 16,384 samples, so that no alias falls on a harmonic. `dbc` of the result
    holds the levels of harmonics 2, 3, ... in dB relative to the fundamental, `thd_db` their sum.

    >>> import numpy as np, twinlib
    >>> found = twinlib.harmonics(lambda x: x + 0.1 * x**2, 44100, level_dbfs=0)
    >>> round(found.dbc[0])  # 0.1 x^2 of a full-scale sine: a second harmonic of amplitude 0.05
    -26
    """
    if isinstance(device, model.Twin):
        twin = device
        return measurement.play_sine(
            lambda dry: model.render_array(twin, dry, sample_rate), sample_rate, hz, level_dbfs
        )
    return measurement.play_sine(device, sample_rate, hz, level_dbfs)


def load_dataset(folder: str | PathLike[str]) -> dataset.DatasetFolder:
    """Read the dataset of a device: `results/devices/DEVICE`, or `dataset` in the folder of `train`.

    Its `segments` are a table with the origin of each segment; `stretches`, `segment` and `crops` give the aligned
    audio, which is read on use. Raises `TwinError` if a file is missing.

    >>> import numpy as np, twinlib
    >>> dry = 0.1 * np.random.default_rng(0).standard_normal(441000)
    >>> twin = twinlib.train(dry, np.tanh(3 * dry), 44100, preset="nam-nano", steps=5, folder="mine")
    >>> data = twinlib.load_dataset("mine/dataset")
    >>> sorted(set(data.segments["split"]) - {""})
    ['test', 'train', 'valid']
    >>> dry, wet = next(data.stretches("test"))
    >>> dry.dtype, dry.shape == wet.shape
    (dtype('float32'), True)
    """
    return dataset.read_dataset(Path(folder))


def _playable(twin: model.Twin) -> Twin:
    return Twin(**vars(twin))


@contextmanager
def _files(sample_rate: int | None, **sounds: Sound) -> Iterator[list[Path]]:
    """Yield a path for each signal; arrays become temporary files."""
    with TemporaryDirectory() as temporary:
        yield [
            Path(sound) if isinstance(sound, str | PathLike) else _write(Path(temporary), name, sound, sample_rate)
            for name, sound in sounds.items()
        ]


def _write(folder: Path, name: str, sound: npt.ArrayLike, sample_rate: int | None) -> Path:
    samples = np.asarray(sound, dtype=np.float32)
    if sample_rate is None:
        raise AudioError(f"the {name} signal is an array: give its sample_rate in Hz")
    if samples.ndim != 1 or not len(samples):
        raise AudioError(f"the {name} signal has the shape {samples.shape}: give one channel, (n,)")
    path = folder / f"{name}.wav"
    write(path, samples, sample_rate, "FLOAT")
    return path
