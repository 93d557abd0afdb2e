"""Training: from a dataset and a network's description to a twin.

`settings` is the section of the configuration, `losses`, `schedule` and `optimiser` are the recipe, `checkpoint` makes
it resumable, `data` is what it learns from, `loop` runs it and `seeds` runs several. `averaging`, `warm` and
`distributed` are for averaged weights, warm starts and several processes.

A search for a better network and recipe is `search`: its section is `search_settings`, its memory `study`, what it did
`trials`, and what it found `best`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
