"""The music corpus: sources, artists and licences.

`index` tabulates all sources of the layouts `medleydb` and `folder`, which share the types of `sources`;
`exclusions` lists withdrawn tracks; `settings` is the section `corpus` of the configuration.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
