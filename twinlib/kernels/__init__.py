"""Compiled kernels of the WaveNet for CPUs: streaming inference, and forward and backward passes for training.

`source` holds the C++ code, one copy for all instruction sets; `build` compiles it, `library` loads it and chooses the
instruction set, `handles` are its objects for Python. Without a compiler, torch computes the same at lower speed.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
