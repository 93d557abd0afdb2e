"""How good is a twin? Errors beside honest baselines, figures and listening clips.

An error alone says little: a mild device leaves the dry signal itself close to the wet one. So every error stands
beside those of the dry signal, of the best gain and of the best linear filter.

Look in `settings` (what the user may choose), `metrics` and `loudness` (errors, pooled over a whole split), `baselines`
(dry, gain, linear filter), `spans` (what is judged, as streams), `judge` (one split), `statistics` (what the figures
show), `figures`, `clips`, `listening` (a page on which one hears and is tested, made of `sounds`, `pictures` and the
files in `page`), `evaluate` (all of it, for a trained twin) and `summary` (the table of several twins).
"""

from twinlib.evaluation.settings import Evaluation

__all__ = ["Evaluation"]
