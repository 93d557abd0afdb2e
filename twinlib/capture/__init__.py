"""Capture: dry/wet signals of a device, recorded from reels or given as pairs.

`settings` describes the captures of a device, `pairs` reads a list of pairs, `silence` finds their pauses and `takes`
names the recordings of the reels. `ingest` measures a recording (`levels`, `hum`, `dc_step`) and checks it
(`file_checks`, `take_checks`); the result is a `take` (take/1). `concatenate` joins folders of short clips.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
