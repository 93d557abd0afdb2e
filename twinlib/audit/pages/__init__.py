"""Answers as readable text: console texts and the datasheet, rendered from the Jinja2 templates in `templates`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
