"""Samples of a probe reel with noise instead of music, band-limited to 0.35 of the rate as by a converter."""

import numpy as np
from scipy.signal import butter, sosfilt

from twinlib.audio import Signal
from twinlib.excitation.probe_reel import ProbeLayout, synthesise
from twinlib.excitation.sync_click import make_click


def probe_samples(plan: ProbeLayout) -> Signal:
    """Return the whole reel, float32 `(frames,)`; both excerpts are the same noise."""
    reel = np.zeros(plan.frames, np.float32)
    for place in (plan.clicks[0], plan.clicks[-1]):
        reel[place : place + plan.click_frames] = make_click(plan.sample_rate)
    for section in plan.sections:
        length = section.stop - section.start
        if section.kind == "music":
            samples = 0.2 * sosfilt(butter(8, 0.7, output="sos"), np.random.default_rng(7).standard_normal(length))
            reel[section.start : section.stop] = np.clip(samples, -0.9, 0.9)
        else:
            reel[section.start : section.stop] = synthesise(section, plan.sample_rate)
    return reel
