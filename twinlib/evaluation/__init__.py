"""Evaluation of a twin: errors pooled over whole splits, with baselines without distortion.

An error alone means little, because the dry signal of a mild device is already close to the wet signal. Each error is
therefore reported with the errors of the dry signal, the best gain, the best linear filter and, if known, the noise
floor of the device.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
