"""The music corpus: sources, artists and licences.

`index` tabulates all sources of the layouts `medleydb`, `mirdata` and `folder`, which share the types of `sources`;
`artists` joins the names of one artist and artists with common tracks, `near_names` finds similar names;
`passed_over` counts files of other formats; `exclusions` lists withdrawn tracks; `settings` is the section `corpus` of
the configuration.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
