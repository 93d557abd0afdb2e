"""What a listener would say, as far as a model of hearing knows: ViSQOL."""

from collections.abc import Callable

import numpy as np
import soxr

from twinlib.audio import Signal
from twinlib.errors import ConfigError

SAMPLE_RATE = 48000
"""The rate in Hz at which the audio mode of ViSQOL works."""

SHORTEST_SECONDS = 1.0
"""Less than this is not judged: ViSQOL compares patches of 0.6 s, and one alone says little."""

Rating = Callable[[Signal, Signal, int], float | None]
"""Rates a twin `(frames,)` after its device `(frames,)` at a sample rate in Hz; None if there is too little."""


def visqol() -> Rating:
    """The MOS-LQO of ViSQOL 3 in audio mode, the device as reference: 1 is bad, 4.73 is what equal signals get.

    Chinen et al. 2020, arXiv 2004.09584. Both signals go in at 48 kHz, and ViSQOL brings them to one level first, so a
    wrong gain costs nothing. Takes about 0.15 s of CPU for a second of audio, and 10 s more when its code is compiled,
    which happens once an installation. Raises `ConfigError` if the package is missing.
    """
    try:
        from visqol import VisqolApi
    except ModuleNotFoundError as error:
        if error.name != "visqol":
            raise
        raise ConfigError(
            "evaluation.visqol needs ViSQOL, which is not installed: install the extra `perceptual` "
            "(`pip install -e '.[perceptual]'`), or set evaluation.visqol: false"
        ) from None
    model = VisqolApi()
    model.create(mode="audio")

    def rate(device: Signal, twin: Signal, sample_rate: int) -> float | None:
        if len(device) < SHORTEST_SECONDS * sample_rate:
            return None
        one, other = (soxr.resample(samples, sample_rate, SAMPLE_RATE).astype(np.float64) for samples in (device, twin))
        return float(f"{model.measure_from_arrays(one, other, SAMPLE_RATE).moslqo:.6g}")

    return rate
