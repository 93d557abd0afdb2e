"""Cuts aligned captures into segments and shards, and hands them to training without a leak.

`source` says what one capture is, `segments` tiles it, `shards` writes and opens its audio, `manifest` joins the
captures of a device into a dataset, `leaks` proves that its splits share nothing, and `loader` draws crops and streams
stretches.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
