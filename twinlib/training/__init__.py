"""Training of twins, and the search for networks and recipes.

`settings` is the section `training:` of the configuration. `run` trains on the files of a dataset, `seeds` repeats
`loop` for several seeds. `losses`, `schedule`, `optimiser`, `ema` and `normalisation` are the recipe; `checkpoint`
makes it resumable; `data` and `validation` supply the signals; `warm_start`, `signals` and `distributed` handle initial
weights, stops and several processes. `convergence` judges the learning curve.

`search` runs trials: `search_settings` is the section `search:`, `optuna_study` the shared study, `trials` the results,
`best_config` the file of the best trial.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
