"""MLflow: the store (`store`) and its runs (`runs`), runs of twins (`twin`) and searches (`search`), tags of withdrawn
tracks (`exclusion_tags`) and of the tracks of a dataset (`tracks`), and the settings (`settings`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
