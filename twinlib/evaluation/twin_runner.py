"""A twin as a stream with known delay and history, and its output for reels and excerpts."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.signal import fftconvolve

from twinlib.audio import BLOCK, Signal
from twinlib.errors import ModelError
from twinlib.evaluation.excerpts import AlignedSpan, ExcerptAudio, ProcessBlock, ReadSamples, predict
from twinlib.evaluation.settings import Evaluation
from twinlib.model import Stream, Twin, load_twin
from twinlib.progress import Progress, no_progress


@dataclass(frozen=True)
class TwinRunner:
    """A twin as a factory of streams; an output sample depends on `receptive_field` input samples."""

    start: Callable[[], ProcessBlock]
    """Returns a new stream of one channel, from silence."""
    sample_rate: int
    guard: int
    """The delay of its output and of the wet signal in samples."""
    receptive_field: int

    def warm_up(self, settings: Evaluation) -> int:
        """Return the dry samples of history that every evaluated sample needs, for the twin and the linear filter."""
        return max(self.receptive_field, settings.taps) - 1


def create_runner(twin: Twin) -> TwinRunner:
    """Return a runner of a loaded twin."""
    return TwinRunner(
        start=lambda: Stream(twin, 1).process,
        sample_rate=twin.sample_rate,
        guard=twin.guard_samples,
        receptive_field=twin.network.receptive_field,
    )


def load_twin_at_rate(path: Path, sample_rate: int) -> Twin:
    """Load a twin of the given sample rate in Hz; raises `ModelError` if its own rate differs."""
    twin = load_twin(path)
    if twin.sample_rate != sample_rate:
        raise ModelError(
            f"{path} runs at {twin.sample_rate} Hz, but the reel has {sample_rate} Hz: use a matching twin"
        )
    return twin


def render_excerpt(
    runner: TwinRunner, fir: npt.NDArray[np.float64], span: AlignedSpan, start: int, stop: int
) -> ExcerptAudio:
    """Return wet samples [start, stop) of a span with their dry input and the outputs of twin and linear filter `fir`.

    The filter `(taps,)` includes the guard, as in `linear.json`.
    """
    dry = span.read_dry(start - len(fir) + 1, stop)
    return ExcerptAudio(
        dry=span.read_dry(start - runner.guard, stop - runner.guard),
        wet=span.read_wet(start, stop),
        twin=predict(span, runner.start(), runner.receptive_field - 1, start, stop),
        linear=fftconvolve(dry.astype(np.float64), fir, "valid").astype(np.float32),
        shard=span.shard,
        shard_start=start,
    )


def render_probe_music(
    twin: Twin, fir: npt.NDArray[np.float64], start: int, stop: int, read_dry: ReadSamples, read_wet: ReadSamples
) -> ExcerptAudio:
    """Return samples [start, stop) of a reel and the outputs of device, twin and linear filter `fir`.

    `read_dry` reads the reel, `read_wet` the aligned take, which is delayed by the guard of the twin. The reel must
    continue for the guard after `stop`, and extend before `start` by the receptive field.
    """
    first, last = start + twin.guard_samples, stop + twin.guard_samples
    span = AlignedSpan(read_dry, read_wet, first, last, first)
    return render_excerpt(create_runner(twin), fir, span, first, last)


def play_reel_through_twin(twin: Twin, read: ReadSamples, frames: int, progress: Progress = no_progress) -> Signal:
    """Return a twin's output `(frames,)` for a reel of `frames` samples, with its guard removed.

    Holds the whole output in memory, so the reel must not be longer than minutes. `progress` counts samples.
    """
    process, guard = create_runner(twin).start(), twin.guard_samples
    parts = []
    for start in range(0, frames, BLOCK):
        block = read(start, min(start + BLOCK, frames))
        parts.append(process(block))
        progress(len(block))
    parts.append(process(np.zeros(guard, np.float32)))
    return np.concatenate(parts)[guard:]
