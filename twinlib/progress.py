"""Progress reports: a bar on a terminal, plain lines in a log."""

import os
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


SECONDS, MAX_SECONDS = 30.0, 600.0
"""Time until the first line of progress, and longest time between two lines.

Each line comes after twice the time of the one before, so that a slow machine prints few more lines than a fast one.
"""
SECONDS_VARIABLE = "TWINLIB_PROGRESS_SECONDS"
"""Environment variable with a fixed time between lines, for programs that read them."""

MIN_SHARE = 0.01
"""Share of the work from which the time left is known."""


class _Lines:
    """Progress as lines; work that ends before the first line prints none."""

    def __init__(self, title: str, total: float, unit: str) -> None:
        self._title, self._total, self._unit = title, total, unit
        self._interval = float(os.environ.get(SECONDS_VARIABLE, SECONDS))
        self._longest = self._interval if SECONDS_VARIABLE in os.environ else MAX_SECONDS
        self._done, self._start = 0.0, time.monotonic()
        self._last = self._start

    def __call__(self, n: float, note: str = "") -> None:
        self._done += n
        now = time.monotonic()
        elapsed, since = now - self._start, now - self._last
        finished = self._done >= self._total
        is_first = self._last == self._start
        if since < self._interval and (is_first or not finished):
            return
        self._last = now
        self._interval = min(max(self._interval, elapsed), self._longest)
        ending = f"{elapsed:.0f} s"
        if self._done > MIN_SHARE * self._total and not finished:
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
