"""Perceptual quality of a twin by a model of hearing: ViSQOL."""

from collections.abc import Callable

import numpy as np
import soxr

from twinlib.audio import Signal
from twinlib.errors import ConfigError

SAMPLE_RATE = 48000
"""The sample rate in Hz of ViSQOL's audio mode."""

MIN_SECONDS = 1.0
"""The duration of the shortest rated signal: ViSQOL compares patches of 0.6 s."""

Rating = Callable[[Signal, Signal, int], float | None]
"""Rates a twin `(frames,)` against its device `(frames,)` at a sample rate in Hz; None below `MIN_SECONDS`."""


def load_visqol() -> Rating:
    """Return a function for the MOS-LQO of ViSQOL 3 (audio mode, device as reference): 1 is bad, 4.73 is identical.

    Chinen et al. 2020, arXiv 2004.09584. Both signals are resampled to 48 kHz. ViSQOL normalises their levels, so it
    ignores gain errors. It takes about 0.15 s of CPU time per second of audio, plus 10 s for its compilation on first
    use. Raises `ConfigError` if the package is missing.
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
        if len(device) < MIN_SECONDS * sample_rate:
            return None
        reference, degraded = (
            soxr.resample(samples, sample_rate, SAMPLE_RATE).astype(np.float64) for samples in (device, twin)
        )
        return float(f"{model.measure_from_arrays(reference, degraded, SAMPLE_RATE).moslqo:.6g}")

    return rate
