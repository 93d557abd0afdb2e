"""Fuzz test of `align`: randomly damaged takes with known truth for every dry sample.

A seed determines a take or pair of real music, one to three faults, and a file format. Each sample of a damaged
recording carries its dry position through all cuts and pastes, and its value without damage. The oracle follows:

* A dry sample is **answered** by the places of the file that recorded it, in runs of at least 20 ms of the programme;
  several places may answer it (a repeated buffer). A shorter run is damage, indistinguishable from a crackle.
* A place is **damaged** and answers nothing if it was zeroed, overwritten or is not finite, or if over 5 ms the added
  signal (noise, flipped bits, clipping) has at least the power of the original. Softer additions, other gains and DC
  are no damage.
* A place with another polarity than the estimated one answers nothing.

The verdict `ok` is wrong if an answered dry sample of the audible programme (above -50 dBFS rms over 20 ms), checked
every 5 ms, is 0.05 samples or more from its estimated position, or if more than 20 ms in a row have no answer, both
outside `excluded`. Damage shorter than 20 ms (some zeros, a flipped bit, one buffer of 512 samples) may pass: it does
not spoil a segment of music. A pair may lack half a second at its ends (latency), a take may not.

    python -m tests.alignment.fuzz --count 1000 --out /tmp/fuzz.jsonl
"""

from .faults import KINDS, Mutilation, mutilate, reel_of
from .oracle import wrongs
from .recordings import POOL, Recording, base, music_of
from .run import Outcome, attempt, described, table

__all__ = [
    "KINDS",
    "POOL",
    "Mutilation",
    "Outcome",
    "Recording",
    "attempt",
    "base",
    "described",
    "music_of",
    "mutilate",
    "reel_of",
    "table",
    "wrongs",
]
