"""Recording: play the reels, record the takes, check them.

`check` judges one take. `content` finds which reels a file holds, and `placement` puts them where the configuration
expects the takes. `session` records the missing reels: `levels` measures the levels first, `passes` plays and records
one reel through a `sound_system`, such as `portaudio`; `card_questions` asks for the card of the device.
`guide_page` is the recording guide as a page.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
