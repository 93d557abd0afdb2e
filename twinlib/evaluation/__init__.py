"""Evaluation of a twin: errors pooled over whole splits, with baselines without distortion.

An error alone means little, because the dry signal of a mild device is already close to the wet signal. Each error is
therefore reported with the errors of the dry signal, the best gain, the best linear filter and, if known, the noise
floor of the device.

`residuals` and `outliers` find takes, or stretches of them, whose error is an outlier for its level; `verdict` judges
the twin and its takes in words (`messages`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
