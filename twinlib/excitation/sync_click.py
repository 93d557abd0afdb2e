"""The click at both ends of a reel."""

import numpy as np

from twinlib.audio import Signal
from twinlib.db import db_to_amp

CLICK_SECONDS = 0.02
FADE_SECONDS = 0.001
CLICK_DBFS = -1.0


def make_click(sample_rate: int) -> Signal:
    """Return the click, float32 `(frames,)`: a linear sweep from 100 Hz to 18 kHz in 20 ms, 1 ms fades, -1 dBFS peak.

    A sweep has the energy of a long signal and the autocorrelation of a short one (pulse compression: Klauder et al.,
    "The theory and design of chirp radars", Bell System Technical Journal, 1960). Its flat spectrum survives devices
    that remove low or high frequencies.
    """
    frames = round(CLICK_SECONDS * sample_rate)
    seconds = np.arange(frames) / sample_rate
    low, high = 100.0, min(18000.0, 0.41 * sample_rate)
    phase = 2 * np.pi * (low * seconds + (high - low) * seconds**2 / (2 * CLICK_SECONDS))
    from_edge = np.minimum(np.arange(frames), np.arange(frames)[::-1]) / sample_rate
    fades = np.sin(0.5 * np.pi * np.minimum(1.0, from_edge / FADE_SECONDS)) ** 2
    sweep = np.sin(phase) * fades
    loud: Signal = (sweep / np.max(np.abs(sweep)) * db_to_amp(CLICK_DBFS)).astype(np.float32)
    return loud
