"""Listening tests of a twin: stimuli, spectrograms, and one page that needs no network."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
