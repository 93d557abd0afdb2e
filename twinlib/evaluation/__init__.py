"""How good is a twin? Errors beside honest baselines, figures and listening clips.

An error alone says little: a mild device leaves the dry signal itself close to the wet one. So every error stands
beside those of the dry signal, of the best gain and of the best linear filter.

Look in `settings` (what the user may choose), `metrics` and `loudness` (errors, pooled over a whole split), `breakdown`
(errors by track, by level and over time), `perceptual` (a model of hearing), `baselines` (dry, gain, linear filter, the
floor of noise), `spans` (what is judged, as streams), `judge` (one split), `statistics` (what the figures show),
`figures`, `clips`, `evaluate` (all of it, for a trained twin), `summary` (the table of several twins) and `comparison`
(the page of several twins).
"""

from twinlib.evaluation.settings import Evaluation

__all__ = ["Evaluation"]
