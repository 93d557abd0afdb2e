"""Exports for other programs: a segment as audio, a dataset as Croissant, a run as an RO-Crate."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
