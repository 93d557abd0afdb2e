"""Division of aligned captures into segments and shards, and access to them for training, without leaks.

`source` holds the ranges and faults of a capture, `segments` divides it, `shards` writes and opens its audio,
`manifest` joins the captures of a device into a dataset, `leaks` proves that its splits are disjoint (`fingerprint`
and `duplicates` detect copies under other names), and `loader` reads random crops and contiguous stretches.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
