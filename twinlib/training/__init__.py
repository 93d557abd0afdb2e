"""Training: from a dataset and a network's description to a twin.

`settings` is the section of the configuration, `losses`, `schedule` and `optimiser` are the recipe, `checkpoint` makes
it resumable, `data` is what it learns from, and `loop` runs it.
"""

from twinlib.training.settings import Training

__all__ = ["Training"]
