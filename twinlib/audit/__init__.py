"""Audit of a results folder, from its files alone.

`command` defines the sub-commands of `twin audit`, `actions` runs them. Each question has a function that returns plain
data: `trace` (with `lineage`), `withdraw`, `verify` (with `untracked`), `leaks`, `licences` (with `licence_terms`),
`card` (with `dataset_facts`) and `mlflow`, which rebuilds a lost store. `results_folder` reads the files. `pages`
renders the answers as text and as the datasheet, `exports` writes them for other programs.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
