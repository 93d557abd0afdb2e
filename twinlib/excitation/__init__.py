"""The excitation: a named, frozen set of reels to be played through a device.

`settings` the section `excitations` of the configuration · `splits` who learns from which artist · `layout` what
stands where on a reel, from the settings alone · `click` the marker at both ends · `slices` reading an excerpt of a
source · `plan` drawing the cue sheet · `render` the cue sheet as a WAV file · `guide` how to record it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
