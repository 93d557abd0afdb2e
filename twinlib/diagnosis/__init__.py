"""Diagnosis of an aligned capture: whether the wet file follows one fixed device, and the likely cause if not.

`pipeline.diagnose` takes a finished alignment and returns it with its findings, reasons and verdict amended. The
alignment finds faults of clocks and lost samples; the diagnosis finds a knob that moved, an effect that was left on,
and reflections. `messages` holds the sentences, `amend` replaces findings of the alignment that the diagnosis explains.
`witness` compares the repeats of the witness (`repeats`). `known.apply_known` applies what the user knows about a pair.
`foreign_sound` finds voices over a take; `sections` and `confirm` compare the sections before and after a change.
`captures.compare_captures` compares all captures of a device, and `same_settings` the witness of its takes.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
