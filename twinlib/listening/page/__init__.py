"""The files of the listening page: its script, its style, and its parts as HTML with `$names` to be filled in."""

from pathlib import Path
from string import Template


def text(name: str) -> str:
    """The content of a file of this folder, such as `listening.js`."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def filled(name: str, **values: str) -> str:
    """The HTML of a file of this folder with a value, HTML too, for each of its `$names`; KeyError if one lacks."""
    return Template(text(name)).substitute(values)
