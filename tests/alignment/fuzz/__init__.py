"""Takes that were mutilated at random, what became of every dry sample in them, and whether `align` sees through it.

A seed names a mutilation: a take or pair of real music, one to three things done to it, and the kind of file it is
written as. With its samples every mutilated recording carries the dry position of each, through all that is cut and
pasted, and what the sample would be if nothing but that had been done. Of this the truth is made:

* A dry sample is **answered** by a place of the file that was recorded of it, in a run of such places that holds 20 ms
  or more of the programme; several places may answer to it (a repeated buffer). What is shorter than that cannot be
  told from a crackle, so it counts as damage and not as a shift.
* A place is **damaged**, and answers to nothing, where it was zeroed, overwritten or is no number, and where over 5 ms
  what was added (noise, flipped bits, clipping) has at least the power of what was there: the device is then not the
  better half of what is heard. What is softer, another gain, and DC leave the answer in its place.
* A place of the other polarity than the one that is found answers to nothing.

`verdict` "ok" is wrong where an answered dry sample of the sounding programme (above -50 dBFS rms over 20 ms), looked
at every 5 ms, lies 0.05 samples or more from where it is said to be, and where more than 20 ms in a row have no answer,
both outside of `excluded`. Damage that is shorter than 20 ms (a few zeros, a flipped bit, one buffer of 512 samples)
may go unnoticed: a segment of music is not spoilt by it. A pair may lack half a second at its ends, as `judge` says of
latency; a take may not.

    python -m tests.alignment.fuzz --count 1000 --out /tmp/mutilations.jsonl
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
