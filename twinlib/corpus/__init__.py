"""The corpus: what music there is, whose it is, and under which licence.

`settings` the section `corpus` of the configuration · `medleydb` and `folder` where the files of a layout are ·
`sources` the words both share · `index` the table of all sources · `exclusions` what is withdrawn.
"""

from twinlib.corpus.settings import Corpus

__all__ = ["Corpus"]
