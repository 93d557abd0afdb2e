"""The corpus: what music there is, whose it is, and under which licence.

`settings` the section `corpus` of the configuration · `medleydb` and `folder` where the files of a layout are ·
`sources` the words both share · `index` the table of all sources · `exclusions` what is withdrawn.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
