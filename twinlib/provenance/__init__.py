"""Provenance: code digests, stage records and their chain, stale outputs, the history of takes."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
