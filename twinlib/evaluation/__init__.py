"""Evaluation of a twin: errors pooled over whole splits, next to the baselines that need no distortion.

An error alone means little, because the dry signal of a mild device is already close to the wet one. Every error is
therefore reported with those of the dry signal, the best gain, the best linear filter and, where known, the noise
floor of the device.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
