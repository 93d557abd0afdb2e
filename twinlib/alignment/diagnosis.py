"""Why nothing of a programme is recognised in a recording: silence, hum, another speed, or another programme."""

import numpy as np
import soxr

from twinlib.alignment.search import candidates, excerpt_size, loud_places, vote
from twinlib.alignment.signals import Channel
from twinlib.audio import Signal

SILENT = 1e-4
"""A peak below -80 dB of full scale is silence."""

HUM_SHARE = 0.8
"""Of the energy, at multiples of 50 or 60 Hz: more is no music."""

SPEEDS = (0.5, 2.0, 44100 / 48000, 48000 / 44100, 44100 / 96000, 96000 / 44100, 2.0 / 3.0, 1.5)
"""How fast a wet file may run against its dry one when a tape machine or a header is set wrong."""

SURE = 12.0
"""The prominence of an excerpt at another speed that proves it."""

_REACH_SECONDS = 15.0


def why_nothing(dry: Channel, wet: Channel, clicked: bool) -> str:
    """A sentence: what is wrong with a wet file in which nothing of the dry one was found, and what to do."""
    if _peak(wet) < SILENT:
        return "the wet file is silent: check the cables and the input, and record again"
    if _hum_share(wet) > HUM_SHARE:
        return "the wet file holds nothing but hum: the device is unplugged or off; check the cables and record again"
    speed = wrong_speed(dry, wet)
    if speed is not None:
        return speed
    if clicked:
        return (
            "the clicks are there but the programme between them is another: it is the recording of another reel; "
            "check which take belongs to which reel"
        )
    return (
        "nothing of the dry signal was found in the wet one: it is the recording of another file, or of none; check "
        "the pairing and record again"
    )


def wrong_speed(dry: Channel, wet: Channel) -> str | None:
    """A sentence, if the programme is found at another speed."""
    speed = another_speed(dry, wet)
    if speed is None:
        return None
    rates = f"{wet.reader.info.sample_rate} Hz, the dry one's {dry.rate} Hz"
    return (
        f"the wet file runs at {1.0 / speed:.4g} times the speed of the dry one: the tape machine ran at another "
        f"speed, or the file's sample rate ({rates}) is not the one it was recorded at; set it right and record again"
    )


def another_speed(dry: Channel, wet: Channel) -> float | None:
    """How many times longer the wet file lasts than it should, if its loud excerpts are found at such a speed.

    Music repeats itself, so that some agree at any speed; on the true one, be it the right one, most do.
    """
    size = excerpt_size(dry.stop - dry.start, dry.rate)
    places = loud_places(dry, size, 5)
    reach = round(_REACH_SECONDS * dry.rate)
    best = (0.0, 1.0)
    for speed in (1.0, *SPEEDS):
        excerpts = []
        for place in places:
            samples = dry.read(place, place + int(size / speed) + 1)
            slow = soxr.resample(samples, dry.rate, dry.rate * speed, "HQ").astype(np.float32)[:size]
            excerpts.append((round(place * speed), np.pad(slow, (0, size - len(slow)))))
        found = [one for one in candidates(excerpts, wet, (-reach, reach)) if one.prominence >= SURE]
        agreed = vote(found, len(places))
        if agreed is not None and agreed.share > 0.5 and len(places) > 1:
            best = max(best, (agreed.score, speed))
    return best[1] if best[1] != 1.0 else None


def _windows(wet: Channel, count: int = 8) -> list[Signal]:
    """Seconds of the recording, evenly over its length."""
    size = 2 * wet.rate
    last = max(wet.start, wet.stop - size)
    return [wet.read(start, start + size) for start in np.linspace(wet.start, last, count).astype(int).tolist()]


def _peak(wet: Channel) -> float:
    return max(float(np.abs(samples - samples.mean()).max()) for samples in _windows(wet))


def _hum_share(wet: Channel) -> float:
    """The part of the energy that lies within 2 Hz of the first harmonics of 50 or of 60 Hz."""
    shares = []
    for samples in _windows(wet):
        power = np.abs(np.fft.rfft((samples - samples.mean()) * np.hanning(len(samples)))) ** 2
        hertz = np.arange(len(power)) * wet.rate / len(samples)
        shares.append(
            max(
                float(power[(np.abs(hertz - mains * np.round(hertz / mains)) < 2.0) & (hertz < 20.5 * mains)].sum())
                for mains in (50.0, 60.0)
            )
            / (float(power.sum()) + 1e-30)
        )
    return float(np.median(shares))
