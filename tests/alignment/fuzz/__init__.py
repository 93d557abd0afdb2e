"""Fuzz test of `align`: randomly damaged takes with known truth for every dry sample.

A seed determines a take or pair of real music, one to three faults, and a file format. Each sample of a damaged
recording carries its dry position through all cuts and pastes, and its value without damage. The oracle follows:

* A position of the file **matches** the dry sample that it recorded, in runs of at least 20 ms of the programme;
  several positions may match one sample (a repeated buffer). A shorter run is damage, indistinguishable from a
  crackle.
* A position is **damaged** and matches nothing if it was zeroed, overwritten or is not finite, or if over 5 ms the
  added signal (noise, flipped bits, clipping) has at least the power of the original. Softer additions, other gains
  and DC are not damage.
* A position with another polarity than the estimated one matches nothing.

The verdict `ok` is wrong if, outside `excluded`, a matched dry sample of the audible programme (above -50 dBFS rms over
20 ms), checked every 5 ms, is 0.05 samples or more from its estimated position, or if more than 20 ms in a row have no
match. Damage shorter than 20 ms (some zeros, a flipped bit, one buffer of 512 samples) may pass: it does not spoil a
segment of music. Half a second may be missing at the ends of a pair (latency), but not of a take.

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
