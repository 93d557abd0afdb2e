"""Evaluated audio: aligned spans that are read as streams, and the loudest excerpts of them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twinlib.audio import BLOCK, Signal
from twinlib.errors import DatasetError

ReadSamples = Callable[[int, int], Signal]
"""Reads samples [start, stop) of one channel as float32 `(stop - start,)`."""

ProcessBlock = Callable[[Signal], Signal]
"""A running twin: maps the next `(frames,)` to as many output samples; has a state and starts from silence."""


@dataclass(frozen=True)
class SpanPart:
    """A part of a span, from the end of the part before it to `stop`, with its labels, such as track names."""

    stop: int
    labels: tuple[str, ...]


@dataclass(frozen=True)
class AlignedSpan:
    """Samples [start, stop) of aligned dry and wet audio; `history` dry samples can be read before `start`.

    The wet signal is delayed by the guard, like the output of a twin: `wet[n]` is the response to `dry[n - guard]`.
    `parts` tile the span in order, or are empty; `shard` names the file of the samples, if there is one.
    """

    read_dry: ReadSamples
    read_wet: ReadSamples
    start: int
    stop: int
    history: int
    parts: tuple[SpanPart, ...] = ()
    shard: str = ""

    @property
    def frames(self) -> int:
        """The number of evaluated samples."""
        return self.stop - self.start


@dataclass(frozen=True)
class Excerpt:
    """Samples [start, stop) of the span with index `span`."""

    span: int
    start: int
    stop: int


@dataclass(frozen=True)
class ExcerptAudio:
    """Aligned signals of one excerpt, float32 `(frames,)` each, without the guard.

    `linear` is the output of the best linear filter. The wet signal starts at sample `shard_start` of the file `shard`.
    """

    dry: Signal
    wet: Signal
    twin: Signal
    linear: Signal
    shard: str = ""
    shard_start: int = 0

    def signals(self) -> Iterator[tuple[str, Signal]]:
        """Yield name and samples of each signal, the twin minus the device as "difference" last."""
        yield from (("dry", self.dry), ("wet", self.wet), ("twin", self.twin), ("linear", self.linear))
        yield "difference", self.twin - self.wet


def iterate_blocks(span: AlignedSpan, history: int, frames: int = BLOCK) -> Iterator[tuple[Signal, Signal]]:
    """Yield pairs of dry `(history + n,)` and wet `(n,)`, n <= frames, that tile the span in order.

    The last n dry samples have the positions of the wet block.
    """
    for start in range(span.start, span.stop, frames):
        stop = min(start + frames, span.stop)
        yield span.read_dry(start - history, stop), span.read_wet(start, stop)


def predict(span: AlignedSpan, process: ProcessBlock, warm_up: int, start: int, stop: int) -> Signal:
    """Return a new twin's output for [start, stop), after `warm_up` samples of true history."""
    process(span.read_dry(start - warm_up, start))
    return process(span.read_dry(start, stop))


def total_seconds(spans: Sequence[AlignedSpan], sample_rate: int) -> float:
    """Return the total duration of all spans."""
    return sum(span.frames for span in spans) / sample_rate


def peak_magnitudes(spans: Sequence[AlignedSpan]) -> tuple[float, float]:
    """Return the peak magnitudes of the dry and of the wet signal."""
    dry_peak = wet_peak = 0.0
    for span in spans:
        for dry, wet in iterate_blocks(span, 0):
            dry_peak = max(dry_peak, float(np.max(np.abs(dry))))
            wet_peak = max(wet_peak, float(np.max(np.abs(wet))))
    return dry_peak, wet_peak


def find_loudest(spans: Sequence[AlignedSpan], frames: int) -> list[Excerpt]:
    """Return the wet excerpt of `frames` samples with the most energy, or the loudest spans if all are shorter.

    Short spans are taken by descending mean energy until their sum reaches `frames`, the last span truncated; the
    result is in the order of the spans. Raises `DatasetError` without spans.
    """
    if not spans:
        raise DatasetError("no span to choose an excerpt from: add audio to this split")
    if max(span.frames for span in spans) >= frames:
        return [_find_loudest_window(spans, frames)]
    energies = [float(np.sum(_hop_energies(span, span.frames))) / span.frames for span in spans]
    chosen: list[Excerpt] = []
    remaining = frames
    for index in sorted(range(len(spans)), key=lambda index: (-energies[index], index)):
        span = spans[index]
        if remaining <= 0:
            break
        chosen.append(Excerpt(index, span.start, min(span.stop, span.start + remaining)))
        remaining -= span.frames
    return sorted(chosen, key=lambda excerpt: excerpt.span)


def _find_loudest_window(spans: Sequence[AlignedSpan], frames: int) -> Excerpt:
    # A hop of a tenth of the window bounds the position error to 5 % of it.
    hop = max(frames // 10, 1)
    highest, loudest = -1.0, Excerpt(0, 0, 0)
    for index, span in enumerate(spans):
        if span.frames < frames:
            continue
        sums = np.concatenate([[0.0], np.cumsum(_hop_energies(span, hop))])
        width = frames // hop
        windows = sums[width:] - sums[:-width]
        # If `frames` is not a multiple of the hop, the last windows would exceed the span.
        windows = windows[: (span.frames - frames) // hop + 1]
        best = int(np.argmax(windows))
        if windows[best] > highest:
            start = span.start + best * hop
            highest, loudest = float(windows[best]), Excerpt(index, start, start + frames)
    return loudest


def _hop_energies(span: AlignedSpan, hop: int) -> npt.NDArray[np.float64]:
    """Return the wet energy of each complete hop of a span."""
    energies = []
    complete = span.start + span.frames // hop * hop
    # Read whole hops per block; sum a hop longer than a block from several reads.
    frames = hop * max(BLOCK // hop, 1)
    for start in range(span.start, complete, frames):
        stop = min(start + frames, complete)
        if hop > BLOCK:
            parts = (span.read_wet(at, min(at + BLOCK, stop)) for at in range(start, stop, BLOCK))
            energies.append(np.array([sum(float(np.sum(np.square(part, dtype=np.float64))) for part in parts)]))
        else:
            squares = np.square(span.read_wet(start, stop), dtype=np.float64)
            energies.append(squares.reshape(-1, hop).sum(axis=1))
    return np.concatenate(energies) if energies else np.zeros(0)
