"""How good is a twin? Errors beside honest baselines, figures and listening clips.

An error alone says little: a mild device leaves the dry signal itself close to the wet one. So every error stands
beside those of the dry signal, of the best gain and of the best linear filter.

Look in `settings` (what the user may choose), `metrics` and `loudness` (errors, pooled over a whole split), `breakdown`
(errors by track, by level and over time), `perceptual` (a model of hearing), `baselines` (dry, gain, linear filter, the
floor of noise), `spans` (what is judged, as streams), `judge` (one split), `statistics` (what the figures show),
`figures`, `clips`, `evaluate` (all of it, for a trained twin), `summary` (the table of several twins) and `comparison`
(the page of several twins).

A probe reel is measured by `harmonics`, `intermodulation` and `dynamics`, all of it together in `measurements`, and
drawn by `probe_figures`. `listening` is a page on which one hears and is tested, made of `sounds`, `pictures` and the
files in `page`; `report` is the page of one twin.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
