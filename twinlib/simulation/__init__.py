"""Simulated devices with known ground truth, for the demo and the tests.

`circuits` solves the circuit equations with `oversampling`, `recorder` simulates a sound card, and `simulate` plays a
reel through both.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
