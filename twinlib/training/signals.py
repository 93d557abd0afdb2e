"""Stopping in good order: Ctrl-C and SIGTERM wait for the end of a step."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_requests() -> Iterator[Callable[[], BaseException | None]]:
    """While the context lasts, SIGINT and SIGTERM only leave a note; the value of the context, called, returns it.

    The note is the exception to raise when all is saved. The same signal again takes its usual effect at once; but the
    other does not, for who starts programs passes a Ctrl-C on as a SIGTERM. Outside the main thread, where Python
    delivers no signals, nothing is changed.
    """
    asked: list[BaseException] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, frame: FrameType | None) -> None:
        asked.append(KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number))
        signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, note)
    try:
        yield lambda: asked[0] if asked else None
    finally:
        restore()
