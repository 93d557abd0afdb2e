"""What came from what: code digests (`code`), stage records (`record`) and all those of a folder (`results`), the
versions of a recording (`history`), and mtimes that follow contents (`settle`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
