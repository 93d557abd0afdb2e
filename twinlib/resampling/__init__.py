"""Signals on another clock: one channel of a file at another sample rate (`channel`), and along a slowly varying lag.

`time_map` defines the lag over time in pieces, and `fractional_delay` interpolates a channel along it by windowed sinc.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
