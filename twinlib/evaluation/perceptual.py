"""What a listener would say, as far as a model of hearing knows: ViSQOL."""

import numpy as np
import soxr

from twinlib.audio import Signal
from twinlib.errors import DatasetError

SAMPLE_RATE = 48000
"""The rate in Hz at which the audio mode of ViSQOL works."""

SHORTEST_SECONDS = 1.0
"""Less than this is not judged: ViSQOL compares patches of 0.6 s, and one alone says little."""


def visqol(device: Signal, twin: Signal, sample_rate: int) -> float | None:
    """The MOS-LQO of a twin `(frames,)` beside its device `(frames,)`: 1 is bad, 4.73 is what equal signals get.

    ViSQOL 3 in audio mode (Chinen et al. 2020, arXiv 2004.09584), the device as reference, both at 48 kHz. It brings
    both to one level first, so a wrong gain costs nothing. None if there is less than a second. Raises `DatasetError`
    if the package is missing. Takes a second of CPU for 10 s of audio, and once eight more where its code is compiled.
    """
    try:
        from visqol import VisqolApi
    except ModuleNotFoundError as error:
        if error.name != "visqol":
            raise
        raise DatasetError(
            "evaluation.visqol needs ViSQOL, which is not installed: install the extra `perceptual` "
            "(`pip install -e '.[perceptual]'`), or set evaluation.visqol: false"
        ) from None
    if len(device) < SHORTEST_SECONDS * sample_rate:
        return None
    model = VisqolApi()
    model.create(mode="audio")
    one, other = (soxr.resample(samples, sample_rate, SAMPLE_RATE).astype(np.float64) for samples in (device, twin))
    return float(f"{model.measure_from_arrays(one, other, SAMPLE_RATE).moslqo:.6g}")
