"""Progress reports: a bar on a terminal, plain lines in a log."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from tqdm import tqdm


class Progress(Protocol):
    """Callback for long computations: `advance(n)` reports `n` units done, with an optional short note."""

    def __call__(self, n: float, note: str = "") -> None:
        """Report `n` more units."""


def no_progress(n: float, note: str = "") -> None:
    """Ignore all progress."""


class SubProgress:
    """Progress of a subtask: its `total` units advance the `whole` by at most `part` units."""

    def __init__(self, whole: Progress, part: float, total: float) -> None:
        self._whole, self._left, self._rate = whole, part, part / max(total, 1.0)

    def __call__(self, n: float, note: str = "") -> None:
        """Report `n` more units of the subtask."""
        step = min(n * self._rate, self._left)
        self._left -= step
        self._whole(step, note)


class _Lines:
    """Progress as lines: at most one every `seconds`, and one at the end."""

    def __init__(self, title: str, total: float, unit: str, seconds: float = 10.0) -> None:
        self._title, self._total, self._unit, self._seconds = title, total, unit, seconds
        self._done, self._start, self._last = 0.0, time.monotonic(), time.monotonic()

    def __call__(self, n: float, note: str = "") -> None:
        self._done += n
        now = time.monotonic()
        finished = self._done >= self._total
        if now - self._last < self._seconds and not finished:
            return
        self._last = now
        elapsed = now - self._start
        ending = f"{elapsed:.0f} s"
        if self._done and not finished:
            ending += f", {elapsed * (self._total - self._done) / self._done:.0f} s left"
        counts = f"{self._done:.0f}/{self._total:.0f} {self._unit}"
        print(f"{self._title}: {counts}, {ending}{', ' + note if note else ''}", file=sys.stderr, flush=True)


@contextmanager
def show_progress(title: str, total: float, unit: str) -> Iterator[Progress]:
    """Yield a `Progress` that shows the number of completed units out of `total`."""
    if not sys.stderr.isatty():
        yield _Lines(title, total, unit)
        return
    with tqdm(total=total, desc=title, unit=f" {unit}", unit_scale=True, dynamic_ncols=True) as bar:

        def advance(n: float, note: str = "") -> None:
            bar.set_postfix_str(note, refresh=False)
            bar.update(n)

        yield advance
