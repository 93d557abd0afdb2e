"""Graceful stop: SIGINT, SIGTERM and SIGHUP take effect at the end of a step."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_requests() -> Iterator[Callable[[], BaseException | None]]:
    """Defer SIGINT, SIGTERM and SIGHUP; yield a function that returns the exception to raise, or None.

    The same signal again has its default effect at once. Another one does not: process managers forward Ctrl-C as
    SIGTERM. A signal that the process ignores, such as SIGHUP under `nohup`, stays ignored. Outside the main thread,
    where Python delivers no signals, the context has no effect.
    """
    requests: list[BaseException] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    handlers = {number: handler for number, handler in handlers.items() if handler is not signal.SIG_IGN}

    def defer(number: int, frame: FrameType | None) -> None:
        requests.append(KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number))
        signal.signal(number, handlers[signal.Signals(number)])

    for number in handlers:
        signal.signal(number, defer)
    try:
        yield lambda: requests[0] if requests else None
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
