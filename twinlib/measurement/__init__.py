"""Measurements of a device or a twin from its probe reel: harmonics, intermodulation, dynamics and noise."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
