"""Reports: the plot of an alignment, figures, the page of a twin, the comparison of twins and their summary."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
