"""Excitations: named, immutable sets of reels to play through a device.

`splits` assigns artists to splits, `layout` positions everything on a reel, and `cue_sheet` draws slices of `sources`
and `sweeps` (sine sweeps). `reels` renders them as WAV files with a `sync_click` at both ends and the repeats of the
`witness`; `probe_reel` renders the reel of test signals, and `recording_guide` writes the instructions. `take_files`
finds the recordings of the reels, and `recorded` protects recorded reels. `settings` is the section `excitations` of
the configuration.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
