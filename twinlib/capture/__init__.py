"""Capture: dry/wet couples, whichever way they come.

`settings` describes a device and where its wet signals come from, `pairs` reads a list of pairs, `takes` names the
recordings of the reels, `ingest` judges one (take/1). `circuits` holds the simulated devices, `oversampling` their
filters, and `simulate` records a reel through one as a sound card would (simulated-take/1).
`clips` joins folders of short files, as published sets of pairs often are.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
