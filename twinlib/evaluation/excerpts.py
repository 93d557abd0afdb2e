"""What is judged: spans of aligned dry and wet audio, read as streams, and the places where they are loudest."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from twinlib.audio import BLOCK, Signal
from twinlib.errors import DatasetError

Read = Callable[[int, int], Signal]
"""Reads samples [start, stop) of one channel as float32 `(stop - start,)`."""

Process = Callable[[Signal], Signal]
"""A running twin: the next `(frames,)` in, as many out. It remembers what it has heard and starts from silence."""


@dataclass(frozen=True)
class Part:
    """A part of a span: it begins where the one before it ends, and holds what has these names, such as tracks."""

    stop: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class Span:
    """Samples [start, stop) that are judged; `history` samples of dry can be read before `start`.

    The wet signal is late by the guard, as the output of a twin is: `wet[n]` answers `dry[n - guard]`.
    `parts` tile the span in order, or there are none; `shard` names the file that holds the samples, if one does.
    """

    read_dry: Read
    read_wet: Read
    start: int
    stop: int
    history: int
    parts: tuple[Part, ...] = ()
    shard: str = ""

    @property
    def frames(self) -> int:
        """The number of judged samples."""
        return self.stop - self.start


@dataclass(frozen=True)
class Excerpt:
    """Samples [start, stop) of the span of that index."""

    span: int
    start: int
    stop: int


def blocks(span: Span, history: int, frames: int = BLOCK) -> Iterator[tuple[Signal, Signal]]:
    """Pairs of dry `(history + n,)` and wet `(n,)`, n <= frames, which tile the span in order.

    The last n dry samples are those of the wet block, the others stand directly before them.
    """
    for start in range(span.start, span.stop, frames):
        stop = min(start + frames, span.stop)
        yield span.read_dry(start - history, stop), span.read_wet(start, stop)


def predict(span: Span, process: Process, warm_up: int, start: int, stop: int) -> Signal:
    """What a fresh twin makes of [start, stop), after `warm_up` samples of true history that are thrown away."""
    process(span.read_dry(start - warm_up, start))
    return process(span.read_dry(start, stop))


def total_seconds(spans: Sequence[Span], sample_rate: int) -> float:
    """The duration of all spans together."""
    return sum(span.frames for span in spans) / sample_rate


def peaks(spans: Sequence[Span]) -> tuple[float, float]:
    """The largest magnitudes of the dry and of the wet signal."""
    dry_peak = wet_peak = 0.0
    for span in spans:
        for dry, wet in blocks(span, 0):
            dry_peak = max(dry_peak, float(np.max(np.abs(dry))))
            wet_peak = max(wet_peak, float(np.max(np.abs(wet))))
    return dry_peak, wet_peak


def loudest(spans: Sequence[Span], frames: int) -> list[Excerpt]:
    """The most energetic wet excerpt of `frames` samples, or, where no span is that long, the loudest spans.

    Short spans are taken by mean energy until `frames` are together, the last one cut; they come back in order.
    """
    if not spans:
        raise DatasetError("there is nothing to choose an excerpt from: no span was given")
    if max(span.frames for span in spans) >= frames:
        return [_loudest_window(spans, frames)]
    energies = [float(np.sum(_energies(span, span.frames))) / span.frames for span in spans]
    chosen: list[Excerpt] = []
    left = frames
    for index in sorted(range(len(spans)), key=lambda index: (-energies[index], index)):
        span = spans[index]
        if left <= 0:
            break
        chosen.append(Excerpt(index, span.start, min(span.stop, span.start + left)))
        left -= span.frames
    return sorted(chosen, key=lambda excerpt: excerpt.span)


def _loudest_window(spans: Sequence[Span], frames: int) -> Excerpt:
    # A hop of a tenth keeps the list of energies short and misses the true place by 5 % of the window at most.
    hop = max(frames // 10, 1)
    best, place = -1.0, Excerpt(0, 0, 0)
    for index, span in enumerate(spans):
        if span.frames < frames:
            continue
        sums = np.concatenate([[0.0], np.cumsum(_energies(span, hop))])
        width = frames // hop
        windows = sums[width:] - sums[:-width]
        # A window of `frames` that is no whole number of hops may end beyond the last whole hop.
        windows = windows[: (span.frames - frames) // hop + 1]
        found = int(np.argmax(windows))
        if windows[found] > best:
            start = span.start + found * hop
            best, place = float(windows[found]), Excerpt(index, start, start + frames)
    return place


def _energies(span: Span, hop: int) -> npt.NDArray[np.float64]:
    """The wet energy of each whole hop of a span."""
    found = []
    whole = span.start + span.frames // hop * hop
    # Blocks of whole hops; a hop longer than a block is summed from several.
    frames = hop * max(BLOCK // hop, 1)
    for start in range(span.start, whole, frames):
        stop = min(start + frames, whole)
        if hop > BLOCK:
            parts = (span.read_wet(at, min(at + BLOCK, stop)) for at in range(start, stop, BLOCK))
            found.append(np.array([sum(float(np.sum(np.square(part, dtype=np.float64))) for part in parts)]))
        else:
            squares = np.square(span.read_wet(start, stop), dtype=np.float64)
            found.append(squares.reshape(-1, hop).sum(axis=1))
    return np.concatenate(found) if found else np.zeros(0)
