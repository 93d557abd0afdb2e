"""Answers for auditors, from the files of `results` alone: `command` holds the questions of `twin audit`.

`trace` (with `origins`, `trace_text`, `extract`) goes back from a segment, a twin or a file; `withdraw`, `verify`,
`leaks` and `licences` (with `terms`, `counts`) answer what their names say; `card` (with `facts`, `card_sections`,
`card_page`, `card_figures`) is a datasheet; `croissant` and `crate` tell the same to other programs; `mlflow` fills a
lost store.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
